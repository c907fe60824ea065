"""Where one has been, without a screen."""

from __future__ import annotations

from dstack_fleets_tui.host.trail import Place, Trail

A, B, C, D = (Place(name, "services") for name in "ABCD")


def visited(*places: Place) -> Trail:
    trail = Trail()
    for place in places:
        trail.visit(place)
    return trail


def test_at_the_beginning_there_is_nowhere_to_go():
    trail = Trail()
    assert (trail.here, trail.before, trail.beside(-1), trail.beside(1)) == (None,) * 4


def test_going_back_keeps_what_is_ahead():
    trail = visited(A, B, C, B)
    assert (trail.beside(-1), trail.here, trail.beside(1), trail.before) == (A, B, C, C)
    trail.visit(C)
    assert (trail.here, trail.before) == (C, B)


def test_another_way_forgets_what_was_ahead():
    trail = visited(A, B, C, B, A, D)
    assert (trail.beside(-1), trail.here, trail.beside(1), trail.before) == (A, D, None, A)


def test_coming_to_where_one_is_changes_nothing():
    trail = visited(A, B, B)
    assert (trail.before, trail.beside(-1)) == (A, A)


def test_the_last_view_takes_turns():
    trail = visited(A, B, C, A)
    for wanted in (C, A, C):
        assert trail.before == wanted
        trail.visit(wanted)


def test_the_trail_is_bounded_and_can_be_forgotten():
    trail = visited(*(Place("service", "services", str(number)) for number in range(150)))
    steps = 0
    while (place := trail.beside(-1)) is not None:
        trail.visit(place)
        steps += 1
    assert steps == 99
    trail.forget()
    assert (trail.here, trail.before) == (None, None)
