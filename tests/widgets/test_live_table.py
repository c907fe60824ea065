from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.events import MouseScrollDown
from textual.message import Message
from textual.pilot import Pilot

from dstack_widgets.drawing.glyphs import ASCII
from dstack_widgets.table.live_table import CellValue, Column, LiveTable, Row
from tests.waiting import until, until_equal

COLUMNS = (
    Column("name", "NAME"),
    Column("state", "STATE"),
    Column("price", "$/H", justify="right"),
)


class TableApp(App[None]):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.table = LiveTable(options.pop("columns", COLUMNS), **options)
        self.messages: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        self.messages.append(message)

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        self.messages.append(message)

    def on_live_table_header_clicked(self, message: LiveTable.HeaderClicked) -> None:
        self.messages.append(message)

    def on_live_table_selection_changed(self, message: LiveTable.SelectionChanged) -> None:
        self.messages.append(message)

    def lines(self) -> list[str]:
        """What stands on the screen."""
        return [strip.text for strip in self.screen._compositor.render_strips()]


@asynccontextmanager
async def running(
    size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[tuple[TableApp, LiveTable, Pilot[None]]]:
    app = TableApp(**options)
    async with app.run_test(size=size) as pilot:
        yield app, app.table, pilot


def rows(count: int, first: int = 0) -> dict[str, tuple[str, ...]]:
    return {
        f"r{index}": (f"fleet-{index}", "busy", f"{index * 1.5:.2f}")
        for index in range(first, first + count)
    }


async def test_rows_are_shown_with_their_header_and_a_cursor() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(3))
        await pilot.pause()
        lines = app.lines()
        assert lines[0].split() == ["NAME", "STATE", "$/H"]
        assert lines[1].rstrip() == "▸ fleet-0  busy   0.00"
        assert lines[3].rstrip() == "  fleet-2  busy   3.00"
        assert table.cursor_key == "r0"
        assert [message.key for message in app.messages] == ["r0"]


async def test_rows_may_come_before_the_table_is_mounted() -> None:
    app = TableApp()
    app.table.set_rows(rows(5))
    app.table.sort_by("price", reverse=True)
    app.table.filter_text = "fleet"
    assert app.table.move_cursor_to("r2")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.lines()[3].startswith("▸ fleet-2")


async def test_the_cursor_stays_with_its_row_through_refresh_sort_and_filter() -> None:
    async with running() as (_, table, pilot):
        table.set_rows(rows(20))
        await pilot.press("down", "down", "j", "k", "down")
        await until_equal(lambda: table.cursor_key, "r3")
        table.set_rows(rows(10, first=1))
        await until_equal(lambda: table.cursor_key, "r3")
        table.sort_by("price", reverse=True)
        await until_equal(lambda: table.cursor_key, "r3")
        table.filter_text = "FLEET-3"
        assert table.keys == ("r3",)
        assert table.cursor_key == "r3"
        table.filter_text = ""
        table.sort_by(None)
        await pilot.press("down")
        assert table.cursor_key == "r4"


async def test_when_the_row_goes_the_cursor_goes_to_its_neighbour() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(4))
        table.move_cursor_to("r1")
        table.update_rows(removed=["r1"])
        assert table.cursor_key == "r2"
        table.update_rows(removed=["r2", "r3"])
        assert table.cursor_key == "r0"
        await pilot.pause()
        assert [message.key for message in app.messages][-2:] == ["r2", "r0"]


async def test_an_empty_table_remembers_where_the_cursor_was() -> None:
    async with running(empty_text="No fleets yet") as (app, table, pilot):
        table.set_rows(rows(9))
        table.move_cursor_to("r5")
        table.set_rows({})
        await pilot.pause()
        assert table.cursor_key is None
        assert app.lines()[1].strip() == "No fleets yet"
        table.set_rows(rows(9))
        await pilot.pause()
        assert table.cursor_key == "r5"
        assert app.lines()[6].startswith("▸ fleet-5")


async def test_the_text_for_no_rows_and_for_no_match() -> None:
    async with running(empty_text="No [red]fleets yet") as (app, table, pilot):
        await pilot.pause()
        assert app.lines()[1].strip() == "No [red]fleets yet"
        table.set_rows(rows(3))
        table.filter_text = "nothing has this"
        await pilot.pause()
        assert app.lines()[1].strip() == "No row matches the filter"
        assert table.row_count == 3
        table.empty_text = "none"
        table.set_rows({})
        await pilot.pause()
        assert app.lines()[1].strip() == "none"


async def test_the_keys_that_move() -> None:
    async with running(size=(60, 11)) as (_, table, pilot):
        table.set_rows(rows(50))
        await pilot.pause()
        for key, where in [
            ("end", "r49"),
            ("up", "r48"),
            ("pageup", "r38"),
            ("home", "r0"),
            ("up", "r0"),
            ("pagedown", "r10"),
            ("G", "r49"),
            ("down", "r49"),
            ("g", "r0"),
        ]:
            await pilot.press(key)
            await until_equal(lambda: table.cursor_key, where)
            await until(
                lambda number=int(where[1:]): 0 <= number - round(table.scroll_y) < 10,
                what="the cursor on the screen",
            )


async def test_enter_opens_the_row_under_the_cursor() -> None:
    async with running() as (app, table, pilot):
        await pilot.press("enter")
        table.set_rows(rows(3))
        await pilot.press("down", "enter")
        await until_equal(
            lambda: [each.key for each in app.messages if isinstance(each, LiveTable.RowActivated)],
            ["r1"],
        )


async def test_space_selects_and_the_selection_survives_refreshes() -> None:
    async with running(selectable=True) as (app, table, pilot):
        table.set_rows(rows(5))
        await pilot.press("space", "space", "down", "space")
        await until_equal(lambda: table.selected_keys, {"r0", "r1", "r3"})
        table.sort_by("price", reverse=True)
        table.set_rows(rows(5, first=1))
        await until_equal(lambda: table.selected_keys, {"r1", "r3"})
        await until(
            lambda: (
                isinstance(last := app.messages[-1], LiveTable.SelectionChanged)
                and last.keys == {"r1", "r3"}
            )
        )
        await until_equal(
            lambda: [line.split()[-3] for line in app.lines() if "•" in line],
            ["fleet-3", "fleet-1"],
        )


async def test_space_does_nothing_where_nothing_can_be_selected() -> None:
    async with running() as (_, table, pilot):
        table.set_rows(rows(5))
        await pilot.press("space")
        await until(lambda: not table.selected_keys)
        await until_equal(lambda: table.cursor_key, "r0")


async def test_a_click_moves_the_cursor_and_another_opens_the_row() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(5))
        await pilot.pause()
        await pilot.click(LiveTable, offset=(5, 3))
        await until_equal(lambda: table.cursor_key, "r2")
        app.messages.clear()
        await pilot.click(LiveTable, offset=(5, 3))
        await pilot.pause()
        await until_equal(lambda: [type(each) for each in app.messages], [LiveTable.RowActivated])


async def test_a_double_click_opens_once_whether_or_not_the_cursor_was_there() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(5))
        await pilot.pause()
        for line in (1, 4):
            app.messages.clear()
            await pilot.double_click(LiveTable, offset=(5, line))
            await pilot.pause()
            opened = [each for each in app.messages if isinstance(each, LiveTable.RowActivated)]
            assert [each.key for each in opened] == [f"r{line - 1}"]


async def test_clicks_on_the_header_and_below_the_rows() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(2))
        await pilot.pause()
        app.messages.clear()
        for x in (3, 12, 19):
            await pilot.click(LiveTable, offset=(x, 0))
        await pilot.click(LiveTable, offset=(70, 0))
        await pilot.click(LiveTable, offset=(5, 9))
        await pilot.pause()
        await until_equal(
            lambda: [each.column_key for each in app.messages], ["name", "state", "price"]
        )


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    async with running(size=(60, 11)) as (app, table, pilot):
        table.set_rows(rows(50))
        await pilot.pause()
        await pilot._post_mouse_events([MouseScrollDown], widget=LiveTable, offset=(5, 5), button=0)
        await pilot.pause()
        assert round(table.scroll_y) == 3
        assert table.cursor_key == "r0"
        assert app.lines()[1].startswith("  fleet-3 ")
        table.set_rows(rows(60, first=-5))
        await pilot.pause()
        assert app.lines()[1].startswith("  fleet-3 "), "rows above do not move what is read"
        await pilot.press("down")
        await until_equal(lambda: table.cursor_key, "r1")
        await until(lambda: round(table.scroll_y) <= 6)


async def test_the_cursor_stays_on_its_line_of_the_screen() -> None:
    async with running(size=(60, 11)) as (app, table, pilot):
        table.set_rows(rows(50))
        table.move_cursor_to("r30")
        await pilot.press("up", "up")
        line = next(index for index, text in enumerate(app.lines()) if text.startswith("▸"))
        more = {f"n{index}": ("new", "busy", "0") for index in range(7)}
        table.set_rows({**more, **rows(50)})
        await pilot.pause()
        await until(lambda: app.lines()[line].startswith("▸ fleet-28"))


async def test_new_rows_above_show_while_the_top_is_looked_at() -> None:
    async with running(size=(60, 11)) as (app, table, pilot):
        table.set_rows(rows(50))
        table.set_rows({"n": ("new", "busy", "0"), **rows(50)})
        await pilot.pause()
        assert table.cursor_key == "r0"
        assert app.lines()[1].strip().startswith("new")
        assert app.lines()[2].startswith("▸ fleet-0")


async def test_text_is_literal_and_cannot_reach_the_terminal_as_control() -> None:
    names = [
        "[/x]",
        "[red]",
        "\x1b[31mred\x1b[0m",
        "日本語フリート",
        "שלום",
        "e\u0301clair",
        "x" * 300,
    ]
    columns = [Column("a", "A", max_width=20), Column("b", "B", max_width=20), COLUMNS[2]]
    async with running(columns=columns) as (app, table, pilot):
        table.set_rows({str(index): (name, name, "1") for index, name in enumerate(names)})
        await pilot.pause()
        lines = app.lines()
        assert lines[1].split()[1:3] == ["[/x]", "[/x]"]
        assert lines[2].split()[0] == "[red]"
        assert lines[3].split()[0] == "\ufffd[31mred\ufffd[0m"
        assert lines[4].split()[0] == "日本語フリート"
        assert "x…" in lines[7]
        assert not any("\x1b" in line for line in lines)
        for strip in app.screen._compositor.render_strips():
            assert strip.cell_length == 80
        price = {line.rstrip()[-1] for line in lines[1:8]}
        assert price == {"1"}, "the column after them stands where it should"


async def test_content_is_cut_with_its_styles() -> None:
    async with running(columns=[Column("a", "A", width=6)]) as (app, table, pilot):
        bar = Content.assemble(("███", "$text-success"), " 3 busy")
        table.set_rows({"1": (bar,), "2": (CellValue(bar, sort=3),)})
        await pilot.pause()
        assert app.lines()[2].strip() == "███ 3…"
        assert app.lines()[1].strip() == "▸ ███ 3…"
        styles = [
            each.style for each in app.screen._compositor.render_strips()[1] if "█" in each.text
        ]
        assert styles[0].color is not None


async def test_a_cell_shows_the_style_of_its_name() -> None:
    async with running() as (app, table, pilot):
        table.set_rows({"1": ("x", CellValue("failed", "bad"), "1"), "2": ("y", "fine", "1")})
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        failed = next(each for each in strips[1] if "failed" in each.text)
        fine = next(each for each in strips[2] if "fine" in each.text)
        assert failed.style.color != fine.style.color
        assert failed.style.bold


async def test_sorting_shows_a_mark_and_the_widths_follow_what_is_visible() -> None:
    async with running(glyphs=ASCII) as (app, table, pilot):
        table.set_rows(rows(3))
        table.sort_by("price", reverse=True)
        await pilot.pause()
        assert app.lines()[0].split() == ["NAME", "STATE", "$/H", "v"]
        assert app.lines()[1].startswith("  fleet-2")
        assert app.lines()[3].startswith("> fleet-0")
        table.sort_by("name")
        await pilot.pause()
        assert app.lines()[0].split() == ["NAME", "^", "STATE", "$/H"]
        table.update_rows({"r1": ("a-longer-name", "busy", "1")})
        await pilot.pause()
        assert app.lines()[1].startswith("  a-longer-name  busy")
        assert table.sort_column == "name"
        assert not table.sort_reverse


WIDE = [Column("name", "NAME")] + [Column(f"c{index}", f"COLUMN-{index}") for index in range(10)]


async def test_columns_that_do_not_fit_scroll_behind_the_first() -> None:
    async with running(size=(40, 8), columns=WIDE) as (app, table, pilot):
        table.set_rows({"a": ("fleet", *[f"value-{index}" for index in range(10)])})
        await pilot.pause()
        assert app.lines()[0].endswith(" »")
        for _ in range(40):
            await pilot.press("right")
        await until(lambda: app.lines()[1].rstrip().endswith("value-9"))
        assert app.lines()[1].startswith("▸ fleet")
        await until(lambda: not app.lines()[0].endswith(" »"))
        app.messages.clear()
        await pilot.click(LiveTable, offset=(36, 0))
        await pilot.pause()
        await until_equal(lambda: [each.column_key for each in app.messages], ["c9"])


async def test_left_out_columns_come_in_with_the_right_key_and_go_with_the_left() -> None:
    columns = [Column("name", "NAME")] + [
        Column(f"c{index}", f"COLUMN-{index}", priority=-index) for index in range(10)
    ]
    async with running(size=(40, 8), columns=columns) as (_, table, pilot):
        table.set_rows({"a": ("fleet", *[f"value-{index}" for index in range(10)])})
        await pilot.pause()
        assert table.visible_columns == ("name", "c0", "c1", "c2")
        await pilot.press("right")
        await until_equal(lambda: len(table.visible_columns), 11)
        await pilot.press("left", "left")
        await pilot.pause()
        await until_equal(lambda: table.visible_columns, ("name", "c0", "c1", "c2"))


async def test_a_wider_terminal_brings_columns_back() -> None:
    columns = [Column("a", "AAAAAAAAAA"), Column("b", "BBBBBBBBBB", priority=-1)]
    async with running(size=(20, 8), columns=columns) as (_, table, pilot):
        table.set_rows({"1": ("x", "y")})
        await pilot.pause()
        assert table.visible_columns == ("a",)
        await pilot.resize_terminal(60, 8)
        await pilot.pause()
        assert table.visible_columns == ("a", "b")


async def test_columns_can_be_replaced_and_hidden() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(3))
        table.set_columns(
            [Column("name", "FLEET"), Column("state", "STATE", hidden=True), COLUMNS[2]]
        )
        await pilot.pause()
        assert app.lines()[0].split() == ["FLEET", "$/H"]
        table.filter_text = "busy"
        assert len(table.keys) == 3, "the filter looks into hidden columns"


async def test_rows_with_fewer_cells_than_columns_are_no_trouble() -> None:
    async with running() as (app, table, pilot):
        table.set_rows([Row("a", ("x",)), Row("b", ())])
        table.sort_by("price")
        table.update_rows({"a": ("x", "y", "z")})
        await pilot.pause()
        assert app.lines()[1].split() == ["▸", "x", "y", "z"]


async def test_moving_to_a_row_that_is_not_there_says_so() -> None:
    async with running() as (_, table, _pilot):
        table.set_rows(rows(3))
        table.filter_text = "fleet-1"
        assert not table.move_cursor_to("nope")
        assert not table.move_cursor_to("r0")
        assert table.move_cursor_to("r1")
        assert table.get_cells("r0")[0] == "fleet-0"
        with pytest.raises(KeyError):
            table.get_cells("nope")


async def test_a_new_theme_and_the_focus_repaint_the_cursor() -> None:
    async with running() as (app, table, pilot):
        table.set_rows(rows(3))
        await pilot.pause()

        def look() -> Any:
            return app.screen._compositor.render_strips()[1]._segments[0].style

        focused = look()
        app.screen.set_focus(None)
        await pilot.pause()
        blurred = look()
        assert blurred != focused
        app.theme = "textual-light"
        await pilot.pause()
        assert look().bgcolor != blurred.bgcolor


async def test_without_colour_the_cursor_is_reversed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running() as (app, table, pilot):
        table.set_rows({"a": ("x", CellValue("failed", "bad"), "1"), "b": ("y", "z", "1")})
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        assert all(each.style.reverse for each in strips[1])
        assert not any(each.style.reverse for each in strips[2])


async def test_a_table_with_a_border_of_its_own_is_drawn_within_it() -> None:
    async with running() as (app, table, pilot):
        table.styles.border = ("solid", "red")
        table.set_rows(rows(3))
        await pilot.pause()
        assert app.lines()[0].startswith("┌──")
        assert app.lines()[2].startswith("│▸ fleet-0")
        await pilot.click(LiveTable, offset=(5, 3))
        assert table.cursor_key == "r1"


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (7, 1), (12, 4)])
async def test_a_terminal_that_is_far_too_small_is_no_trouble(size: tuple[int, int]) -> None:
    async with running(size=size, selectable=True, empty_text="Nothing") as (app, table, pilot):
        await pilot.pause()
        table.set_rows(rows(9))
        table.sort_by("price", reverse=True)
        await pilot.press("down", "right", "right", "space", "end", "left")
        table.set_columns([])
        await pilot.pause()
        table.set_columns([Column("name", "日本語"), *WIDE])
        await pilot.pause()
        await until_equal(lambda: table.cursor_key, "r0")
        await until_equal(
            lambda: {strip.cell_length for strip in app.screen._compositor.render_strips()},
            {size[0]},
        )
