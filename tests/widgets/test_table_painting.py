"""What the table writes to the terminal: enough to be right, and no more."""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.screen.status_header import HeaderState, StatusHeader
from dstack_widgets.table.live_table import CellValue, Column, LiveTable
from dstack_widgets.table.table_paint import Painter
from tests.builders.generation import SEED, cases
from tests.builders.terminal_driver import Terminal
from tests.painting import all_painted

COLUMNS = [
    Column("name", "NAME"),
    Column("state", "STATE"),
    Column("load", "LOAD", justify="right"),
    Column("note", "NOTE", flexible=True, priority=-1),
]
NAMES = ["fleet", "日本語", "[red]x", "שלום", "\x1b[31mx", "e\u0301"]
STATES = [("running", "busy"), ("failed", "bad"), ("pulling", "starting")]


class PaintApp(App[None]):
    def __init__(self, screen: type[Screen[Any]] = LeanScreen) -> None:
        super().__init__(driver_class=Terminal)
        self.screen_type = screen
        self.table = LiveTable(COLUMNS, empty_text="No rows yet", selectable=True)

    def get_default_screen(self) -> Screen[Any]:
        return self.screen_type(id="_default")

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield self.table

    @property
    def terminal(self) -> Terminal:
        assert isinstance(self._driver, Terminal)
        return self._driver

    def drawn_whole(self) -> list[str]:
        """What a full repaint would show."""
        return [strip.text for strip in self.screen._compositor.render_strips()]


def row(source: random.Random, key: int) -> tuple[Any, ...]:
    return (
        f"{source.choice(NAMES)}-{key}",
        CellValue(*source.choice(STATES)),
        source.choice(["–", str(source.randrange(100))]),
        "n" * source.choice([0, 3, 3, 3, 50]),
    )


def change(source: random.Random, table: LiveTable) -> None:
    """Does something at random. Changes of rows and their order leave the cursor on its row."""
    key = table.cursor_key
    if not _change(source, table) and key in table.keys:
        assert table.cursor_key == key


def _change(source: random.Random, table: LiveTable) -> bool:
    """Does something at random; tells whether it was to move the cursor."""
    step = source.randrange(9)
    if step == 0:
        first = source.randrange(10)
        table.set_rows(
            {f"k{key}": row(source, key) for key in range(first, first + source.randrange(60))}
        )
    elif step == 1:
        known = [*table.keys]
        table.update_rows(
            {f"k{key}": row(source, key) for key in source.sample(range(80), source.randrange(4))},
            source.sample(known, min(len(known), source.randrange(3))),
        )
    elif step == 2:
        table.sort_by(source.choice([None, "name", "load"]), reverse=source.choice([True, False]))
    elif step == 3:
        table.filter_text = source.choice(["", "", "fleet", "3", "nothing"])
    elif step == 4:
        table.action_sideways(source.choice([-1, 1]))
    elif step == 5:
        table.scroll_to(y=source.randrange(40), animate=False)
    elif step == 6 and table.cursor_key is not None:
        table.action_toggle_mark()
        return True
    else:
        source.choice(
            [
                table.action_page_down,
                table.action_page_up,
                table.action_last,
                table.action_first,
                table.action_cursor_down,
                table.action_cursor_up,
            ]
        )()
        return True
    return False


@pytest.mark.generated
@pytest.mark.parametrize(
    ("size", "screen"), [((30, 10), LeanScreen), ((60, 20), Screen), ((100, 30), LeanScreen)]
)
async def test_any_course_of_changes_leaves_the_screen_as_a_full_repaint_would(
    size: tuple[int, int], screen: type[Screen[Any]]
) -> None:
    sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={SEED}\n")
    source = random.Random(SEED)
    app = PaintApp(screen)
    seconds = 0
    async with app.run_test(size=size, headless=False) as pilot:
        for _ in range(cases(80)):
            for _ in range(source.randrange(1, 4)):
                change(source, app.table)
            seconds += source.randrange(3)
            now = datetime(2026, 1, 2) + timedelta(seconds=seconds)
            app.query_one(StatusHeader).show(HeaderState("main", "host", now, "live", now))
            await pilot.pause()
            assert app.terminal.lines == app.drawn_whole()
        assert not app.terminal.unknown
        lines = app.drawn_whole()
        cursor = [line for line in lines[2:] if line.startswith("▸")]
        assert len(cursor) <= 1


async def test_one_changed_cell_draws_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    row_of = Painter.row

    def counting(self: Painter, *arguments: Any) -> Strip:
        drawn.append(arguments[3][0])
        return row_of(self, *arguments)

    monkeypatch.setattr(Painter, "row", counting)
    app = PaintApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for load in "123":
            rows = {f"k{key}": (f"fleet-{key}", "running", load, "note") for key in range(100)}
            app.table.set_rows(rows)
            await pilot.pause()
        drawn.clear()
        app.table.update_rows({"k7": ("fleet-7", "running", "4", "note")})
        await pilot.pause()
        assert drawn == ["fleet-7"]
        drawn.clear()
        app.table.scroll_to(y=1, animate=False)
        await pilot.pause()
        assert drawn == ["fleet-22"]


async def written(app: PaintApp, pilot: Pilot[None], call: Any) -> int:
    await all_painted(app, pilot)
    app.terminal.written = 0
    call()
    await all_painted(app, pilot)
    return app.terminal.written


async def test_little_is_written_for_little_that_changed() -> None:
    app = PaintApp()
    async with app.run_test(size=(160, 50), headless=False) as pilot:
        rows = {f"k{key}": (f"fleet-{key}", "running", "10", "note") for key in range(1000)}
        table = app.table
        whole = await written(app, pilot, lambda: table.set_rows(rows))
        assert whole > 2000

        again = {key: tuple(cells) for key, cells in rows.items()}
        assert await written(app, pilot, lambda: table.set_rows(again)) == 0

        one = {"k7": ("fleet-7", "running", "11", "note")}
        assert 0 < await written(app, pilot, lambda: table.update_rows(one)) < 100

        unseen = {"k700": ("fleet-700", "failed", "11", "note")}
        assert await written(app, pilot, lambda: table.update_rows(unseen)) == 0

        assert await written(app, pilot, table.action_cursor_down) < 1000

        more = {"new": ("fleet-0000", "running", "10", "note")}
        assert await written(app, pilot, lambda: table.update_rows(more)) < 2000
        assert table.row_count == 1001


async def test_on_an_ordinary_screen_a_changed_cell_is_still_cheap() -> None:
    app = PaintApp(Screen)
    async with app.run_test(size=(160, 50), headless=False) as pilot:
        rows = {f"k{key}": (f"fleet-{key}", "running", "10", "note") for key in range(1000)}
        await written(app, pilot, lambda: app.table.set_rows(rows))
        one = {"k7": ("fleet-7", "running", "11", "eton")}
        assert 0 < await written(app, pilot, lambda: app.table.update_rows(one)) <= 303
        assert app.terminal.lines == app.drawn_whole()


async def test_a_clock_that_ticks_costs_the_clock_and_not_the_line() -> None:
    app = PaintApp()
    async with app.run_test(size=(160, 50), headless=False) as pilot:
        header = app.query_one(StatusHeader)

        def show(second: int) -> None:
            now = datetime(2026, 1, 2, 3, 4, second)
            header.show(HeaderState("main", "host", now, "live", now, "0.22.5"))

        await written(app, pilot, lambda: show(5))
        assert 0 < await written(app, pilot, lambda: show(6)) < 200
        assert await written(app, pilot, lambda: show(6)) == 0


async def test_a_column_of_names_keeps_both_ends() -> None:
    app = PaintApp()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_columns([Column("name", "NAME", max_width=12, names=True)])
        app.table.set_rows({"a": ("gpu-reserved-us-east-1a",), "b": ("gpu-reserved-us-east-1b",)})
        await all_painted(app, pilot)
        drawn = "\n".join(app.drawn_whole())
        assert "gpu-re…st-1a" in drawn
        assert "gpu-re…st-1b" in drawn


async def test_drawn_rows_of_a_list_that_goes_on_for_ever_are_few() -> None:
    """Rows that are gone would stay as they were drawn, in each table that somebody has opened."""
    app = PaintApp()
    async with app.run_test(size=(60, 10)) as pilot:
        await all_painted(app, pilot)
        for number in range(2000):
            app.table.set_rows({f"k{number}": (f"fleet-{number}", "running", "10", "note")})
            assert f"fleet-{number}" in app.table.render_line(1).text
        assert len(app.table._strips) <= 256


async def test_a_layout_is_not_painted_again_with_the_next_cell_that_changes() -> None:
    app = PaintApp()
    async with app.run_test(size=(60, 20), headless=False) as pilot:
        table = app.table
        table.set_rows({f"k{key}": (f"row {key}", "running", "1", "") for key in range(10)})
        for height in (12, 15):
            table.styles.height = height
            await all_painted(app, pilot)
        one = {"k5": ("row 5", "running", "2", "")}
        assert 0 < await written(app, pilot, lambda: table.update_rows(one)) < 100
        assert app.terminal.lines == app.drawn_whole()
