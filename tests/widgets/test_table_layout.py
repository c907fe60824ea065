from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dstack_widgets.table.cells import CellValue, Column
from dstack_widgets.table.table_layout import SHRINK_AFTER, ColumnWidths, arrange, cell_width


def shown(layout: object) -> list[str]:
    return [place.column.key for place in layout.places]  # type: ignore[attr-defined]


def test_cells_are_measured_as_they_are_drawn() -> None:
    assert cell_width("日本") == 4
    assert cell_width("e\u0301") == 1
    assert cell_width("שלום") == 4
    assert cell_width(CellValue("\x1b[0m")) == 4


def test_widths_grow_at_once_and_shrink_late() -> None:
    columns = [Column("a", "A")]
    widths = ColumnWidths()
    assert widths.measure(columns, [("x" * 10,)], None) == [10]
    assert widths.measure(columns, [("x" * 12,)], None) == [12]
    seen = [widths.measure(columns, [("x" * 5,)], None)[0] for _ in range(SHRINK_AFTER)]
    assert seen[:-1] == [12] * (SHRINK_AFTER - 1)
    assert seen[-1] == 5


def test_a_wide_look_in_between_starts_the_count_again() -> None:
    columns = [Column("a", "A")]
    widths = ColumnWidths()
    for _ in range(3 * SHRINK_AFTER):
        assert widths.measure(columns, [("x" * 12,)], None) == [12]
        assert widths.measure(columns, [("x" * 5,)], None) == [12]


def test_the_sort_mark_gets_room() -> None:
    columns = [Column("a", "PRICE"), Column("b", "B", width=2)]
    assert ColumnWidths().measure(columns, [], "a") == [7, 2]


def test_the_lowest_priority_goes_first_and_the_first_column_never() -> None:
    columns = [Column("a", "A", priority=-5), Column("b", "B", priority=1), Column("c", "C")]
    widths = [10, 10, 10]
    assert shown(arrange(columns, widths, 40, 2, everything=False)) == ["a", "b", "c"]
    assert shown(arrange(columns, widths, 30, 2, everything=False)) == ["a", "b"]
    narrow = arrange(columns, widths, 20, 2, everything=False)
    assert shown(narrow) == ["a", "b"]
    assert narrow.width > 20
    assert narrow.dropped == 1
    assert shown(arrange(columns, widths, 20, 2, everything=True)) == ["a", "b", "c"]


def test_gaps_give_way_before_columns() -> None:
    columns = [Column("a", "A"), Column("b", "B", priority=-1)]
    assert arrange(columns, [10, 10], 24, 2, everything=False).gap == 2
    layout = arrange(columns, [10, 10], 23, 2, everything=False)
    assert (layout.gap, layout.dropped) == (1, 0)


def test_flexible_columns_give_way_before_others_go() -> None:
    columns = [
        Column("a", "A"),
        Column("b", "B", flexible=True, min_width=5, max_width=99),
        Column("c", "C", priority=-1),
    ]
    layout = arrange(columns, [10, 40, 10], 40, 2, everything=False)
    assert [place.width for place in layout.places] == [10, 16, 10]
    assert layout.width == 40
    assert layout.dropped == 0


def test_a_flexible_column_has_no_more_than_it_needs() -> None:
    columns = [Column("a", "A", min_width=9), Column("b", "B", min_width=20, flexible=True)]
    assert ColumnWidths().measure(columns, [("x", "x" * 6)], None) == [9, 6]


def test_no_text_takes_all_the_room() -> None:
    layout = arrange([Column("a", "A"), Column("b", "B")], [300, 5], 80, 2, everything=False)
    assert layout.places[0].width == 39
    assert layout.width <= 80


@given(
    st.lists(
        st.tuples(
            st.integers(1, 60), st.integers(-2, 2), st.booleans(), st.booleans(), st.integers(1, 9)
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(10, 120),
    st.booleans(),
)
def test_columns_never_overlap(
    shapes: list[tuple[int, int, bool, bool, int]], room: int, everything: bool
) -> None:
    columns = [
        Column(
            f"c{index}", "X", priority=priority, hidden=hidden, flexible=flexible, min_width=least
        )
        for index, (_, priority, hidden, flexible, least) in enumerate(shapes)
    ]
    layout = arrange(columns, [shape[0] for shape in shapes], room, 2, everything=everything)
    x = 2
    for place in layout.places:
        assert place.x >= x
        assert place.width >= 1
        assert not place.column.hidden
        x = place.x + place.width + layout.gap
    visible = [column for column in columns if not column.hidden]
    assert len(layout.places) + layout.dropped == len(visible)
    if visible:
        assert layout.places[0].column is visible[0]
    if everything:
        assert layout.dropped == 0
    if layout.dropped:
        kept = min((place.column.priority for place in layout.places[1:]), default=99)
        gone = [column for column in visible if column.key not in shown(layout)]
        assert max(column.priority for column in gone) <= kept
