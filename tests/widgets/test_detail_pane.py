"""Details in the room there is, and tables of lines in them."""

from __future__ import annotations

from textual.content import Content

from dstack_widgets.panels.detail_pane import Section, detail_lines
from dstack_widgets.table.cells import CellValue, Column
from dstack_widgets.table.table_lines import table_lines

COLUMNS = (
    Column("fleet", "FLEET", priority=10, names=True),
    Column("ready", "READY", justify="right", priority=10),
    Column("spare", "SPARE", priority=1),
    Column("why", "WHY", min_width=16, max_width=240, priority=9, flexible=True),
)
ROWS = (
    ("gpu-reserved", "1", "", CellValue("in cooldown until 14:05:30, no capacity", "warn")),
    ("gpu-spot", "12", "", "room for 7 more"),
)


def plain(lines: list[Content]) -> list[str]:
    return [line.plain.rstrip() for line in lines]


def lines_of(*words: str) -> list[Content]:
    return [Content(word) for word in words]


def test_a_text_wraps_in_its_column() -> None:
    assert plain(table_lines(COLUMNS, ROWS, 54, wraps="why")) == [
        "FLEET        READY WHY",
        "gpu-reserved     1 in cooldown until 14:05:30, no",
        "                   capacity",
        "gpu-spot        12 room for 7 more",
    ]


def test_a_text_stands_below_its_row_where_the_column_would_be_narrow() -> None:
    assert plain(table_lines(COLUMNS, ROWS, 40, wraps="why")) == [
        "FLEET         READY",
        "gpu-reserved      1",
        "  in cooldown until 14:05:30, no",
        "  capacity",
        "gpu-spot         12",
        "  room for 7 more",
    ]


def test_a_name_is_cut_in_the_middle_and_a_text_at_its_end() -> None:
    columns = (Column("name", "NAME", width=7, names=True), Column("text", "TEXT", width=7))
    rows = (("gpu-reserved", "in cooldown"),)
    assert plain(table_lines(columns, rows, 20, titles=False)) == ["gpu…ved  in coo…"]


def test_the_longest_part_is_cut_first_and_says_so() -> None:
    shown = (
        Section("", lines_of("chat-70b")),
        Section("Nothing", ()),
        Section("Instances", lines_of(*"abcdefgh"), 2),
        Section("Last events", lines_of("1", "2")),
    )
    assert plain(detail_lines(shown, 11)) == [
        "chat-70b",
        "",
        "Instances",
        "a",
        "b",
        "c",
        "… and 7 more",
        "",
        "Last events",
        "1",
        "2",
    ]


def test_the_last_parts_go_where_there_is_hardly_any_room() -> None:
    shown = (Section("", lines_of("chat-70b")), Section("Lanes", lines_of(*"abc")))
    assert plain(detail_lines(shown, 3)) == ["chat-70b", "", ""]
    assert detail_lines(shown, 0) == []
