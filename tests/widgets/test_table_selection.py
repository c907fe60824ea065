from __future__ import annotations

from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import Screen

from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.table.live_table import Column, LiveTable
from tests.waiting import until, until_equal

ROWS = {f"r{number}": (f"name-{number:02}", f"日本 {number}") for number in range(40)}


class TableApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.activated = 0

    def get_default_screen(self) -> Screen[Any]:
        return LeanScreen()

    def compose(self) -> ComposeResult:
        yield LiveTable([Column("name", "NAME"), Column("text", "TEXT")])

    def on_mount(self) -> None:
        self.query_one(LiveTable).set_rows(ROWS)

    def on_live_table_row_activated(self) -> None:
        self.activated += 1

    @property
    def table(self) -> LiveTable:
        return self.query_one(LiveTable)


async def drag(pilot: Pilot[Any], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.mouse_down(LiveTable, offset=start)
    await pilot.hover(LiveTable, offset=end)
    await pilot.mouse_up(LiveTable, offset=end)


async def test_dragging_selects_text_also_where_it_was_scrolled_and_signs_are_wide() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 10)) as pilot:
        table = app.table
        await until(lambda: table.visible_keys, what="rows")
        await drag(pilot, (2, 1), (8, 1))
        await until_equal(app.screen.get_selected_text, "name-00")
        assert table.cursor_key == "r0"
        assert not app.activated, "the end of a selection opens nothing"
        # In the first line from the second sign on, which begins in the third cell of the column.
        await drag(pilot, (13, 1), (3, 2))
        await until_equal(app.screen.get_selected_text, "本 0\n  na")
        table.action_last()
        await until(lambda: table.visible_keys[-1] == "r39")
        await drag(pilot, (2, 9), (8, 9))
        await until_equal(app.screen.get_selected_text, "name-39")
        await pilot.click(LiveTable, offset=(3, 5))
        await until(lambda: table.cursor_key == "r35", what="the cursor where it was clicked")
        assert not app.screen.get_selected_text()


async def test_a_click_paints_no_more_than_the_rows_of_the_cursor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = TableApp()
    async with app.run_test(size=(40, 10)) as pilot:
        await until(lambda: app.table.visible_keys, what="rows")
        await pilot.pause()
        painted: list[Region] = []
        refresh = app.screen.refresh

        def noted(*regions: Region, **how: bool) -> object:
            painted.extend(regions or [Region()])
            return refresh(*regions, **how)

        monkeypatch.setattr(app.screen, "refresh", noted)
        await pilot.click(LiveTable, offset=(3, 5))
        await until(lambda: app.table.cursor_key == "r4", what="the cursor")
        assert Region() not in painted, "the whole screen"
