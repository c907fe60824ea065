"""Rows that are kept are those that would be made."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.analysis.health import desired_of
from dstack_api_client.join.join import Answers
from dstack_fleets_tui.tables import fleets, services
from dstack_fleets_tui.tables.kept_rows import KeptRows
from dstack_fleets_tui.tables.looks import Looks
from tests.builders.joined_answers import joined, projects
from tests.builders.snapshots import NOW


def test_a_row_is_made_again_when_what_it_is_made_of_is_another() -> None:
    rows, made = KeptRows(), []

    def make(key: str) -> list[str]:
        made.append(key)
        return [key]

    first = rows.of({"b": (1, "x"), "a": (2,)}, make)
    assert list(first) == ["b", "a"]
    second = rows.of({"a": (2,), "b": (1, "y")}, make)
    assert made == ["b", "a", "b"]
    assert list(second) == ["a", "b"]
    assert second["a"] is first["a"]
    rows.of({"b": (1, "y")}, make)
    rows.of({"a": (2,)}, make)
    assert made == ["b", "a", "b", "a"], "what was not in the list is forgotten"


@given(st.lists(st.tuples(projects(), st.integers(0, 3)), min_size=2, max_size=3))
def test_kept_rows_of_lists_are_those_that_would_be_made(
    history: list[tuple[Answers, int]],
) -> None:
    of_fleets, all_fleets, of_services = KeptRows(), KeptRows(), KeptRows()
    now, before = NOW, None
    for answers, hours in history:
        now += timedelta(hours=hours)
        looks = Looks(now)
        before = joined(answers, previous=before)
        shot = before.snapshot
        made = {key: fleets.cells(each, shot, looks) for key, each in shot.fleets.items()}
        parts = {
            key: fleets.made_of(each, shot, looks, fleets.Was())
            for key, each in shot.fleets.items()
        }
        assert of_fleets.of(parts, lambda key: made[key]) == made  # noqa: B023
        kept = all_fleets.whole(fleets.all_made_of(shot, looks), lambda: made)  # noqa: B023
        assert kept == made
        known = {key: services.Known(desired_of(shot, each)) for key, each in shot.services.items()}
        wanted = {
            key: services.cells(each, looks, known[key]) for key, each in shot.services.items()
        }
        parts = {
            key: services.made_of(each, looks, known[key]) for key, each in shot.services.items()
        }
        assert of_services.of(parts, lambda key: wanted[key]) == wanted  # noqa: B023
