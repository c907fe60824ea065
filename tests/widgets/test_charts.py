"""Charts with axes."""

from __future__ import annotations

import pytest

from dstack_widgets.drawing.glyphs import ASCII
from dstack_widgets.panels.charts import (
    Chart,
    Curve,
    Strip,
    chart_lines,
    grid_lines,
    nice_top,
    squeezed,
)

TIMES = ("13:32", "14:02")


def drawn(chart, width=24, height=8, **how):
    return [line.plain.rstrip() for line in chart_lines(chart, width, height, **how)]


def test_a_chart_has_a_legend_two_axes_and_a_line():
    chart = Chart("Replicas", (Curve("ready", (4, 4, 2, 4)),), times=TIMES)
    assert drawn(chart) == [
        "Replicas  ━━ ready 4",
        "4 ┤▀▀▀▀▀▀▀▀▀▀▜     ▛▀▀▀▀",
        "  │          ▐     ▌",
        "  │          ▐▄▄▄▄▄▌",
        "  │",
        "  │",
        "0 └┬───────────────────┬",
        " 13:32             14:02",
    ]


def test_ascii_has_no_other_sign():
    desired = Curve("desired", (4,) * 4, "dim", dotted=True)
    chart = Chart("Replicas", (Curve("ready", (4, 4, 2, 4)), desired), times=TIMES)
    lines = drawn(chart, 36, glyphs=ASCII)
    assert lines == [
        "Replicas  ** ready 4  .. desired 4",
        "4 |***************** . . . .********",
        "  |                *        *",
        "  |                **********",
        "  |",
        "  |",
        "0 ++-------------------------------+",
        " 13:32                         14:02",
    ]
    assert "".join(lines).isascii()


def test_where_two_lines_lie_on_each_other_the_first_is_drawn():
    curves = (Curve("ready", (1, 1)), Curve("desired", (1, 1), "bad", dotted=True))
    line = chart_lines(Chart("x", curves), 24, 8)[1]
    assert {str(span.style) for span in line.spans} == {"dim", "$text-accent"}


def test_a_gap_is_left_empty():
    chart = Chart("x", (Curve("a", (2, None, None, 2)),))
    assert drawn(chart)[1] == "2 ┤▀▀▀▀▀▘          ▀▀▀▀▀"


def test_of_more_steps_than_there_is_room_for_none_is_lost():
    values = [4.0] * 200
    values[77] = 0.0
    lines = drawn(Chart("x", (Curve("a", values),)))
    assert [line[11] for line in lines[1:6]] == ["▛", *"▌▌▌▌"]


def test_the_newest_value_is_not_told_where_it_is_not_known():
    assert drawn(Chart("x", (Curve("a", (2, None)),)))[0] == "x  ━━ a ?"


def test_a_note_takes_the_place_of_a_plot_or_stands_below_it():
    none = Chart("GPU, %", (Curve("mean", (None, None)),), note="No metrics: none are kept.")
    assert drawn(none, 16) == ["GPU, %", "No metrics: none", "are kept.", *[""] * 5]
    some = Chart("x", (Curve("a", (None, 2)),), times=TIMES, note="since 13:47: no events")
    assert drawn(some)[-1] == "since 13:47: no events"
    assert drawn(some)[-2].endswith("14:02")
    assert drawn(some, 16)[-1] == "since 13:47: no…"


def test_strips_share_one_scale():
    chart = Chart("Load", strips=(Strip("decode 0", (0, 8)), Strip("decode 1", (2, 4))))
    assert drawn(chart, 20) == ["Load", "decode 0 ▁▁▁▁▁████ 8", "decode 1 ▃▃▃▃▃▅▅▅▅ 4", *[""] * 5]


def test_strips_that_have_no_room_are_counted():
    strips = tuple(Strip(f"w{number}", (1, 2)) for number in range(20))
    assert drawn(Chart("Load", strips=strips))[-1] == "and 14 more"


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 4), (4, 4), (7, 8), (11, 20), (98.32, 100), (0.81, 1)]
)
def test_a_scale_ends_at_a_round_number(most, top):
    assert nice_top(most) == pytest.approx(top)


def test_values_are_squeezed_to_the_greatest():
    assert squeezed((1, 5, None, 2, None, None), 3) == [5, 2, None]
    assert squeezed((1, 2), 4) == [1, 1, 2, 2]
    assert squeezed((), 4) == []


@pytest.mark.parametrize(("width", "count"), [(60, 32), (80, 16)])
def test_two_stand_side_by_side_where_it_is_wide(width, count):
    charts = [Chart(f"{number}", (Curve("a", (1, 2)),)) for number in range(4)]
    lines = grid_lines(charts, width, 16)
    assert len(lines) == count
    assert max(line.cell_length for line in lines) <= width


def test_before_there_is_room_nothing_is_drawn():
    assert grid_lines([Chart("x", note="Nothing.")], 0, 0) == []
