"""What the editor of a fleet looks like, and its plan."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.model.short_forms import Nodes
from dstack_fleets_tui.screens.edit.fleet import FleetEditScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.inputs.edit_grid import Place
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.cloud_fleet_edit import edit
from tests.builders.fleet_edit_looks import EDITS, SHOT, plan, planning
from tests.pictures import sized
from tests.waiting import until

SIZES = [(80, 24), (120, 30), (200, 50)]

pytestmark = pytest.mark.usefixtures("frozen")


def editing(change: FleetEdit):
    async def go(pilot: Pilot[int]) -> None:
        await until(lambda: pilot.app.snapshot is not None)
        await pilot.app.push_screen(FleetEditScreen("gpu", "f-gpu", change))
        await pilot.pause()

    return go


async def test_form(pictures) -> None:
    app = app_on(GivenFeed(live(SHOT)))
    async with app.run_test(size=SIZES[0]) as pilot:
        for size in SIZES:
            await pilot.resize_terminal(*size)
            for name, change in EDITS.items():
                await editing(change)(pilot)
                await pictures.take(pilot, f"{name}-{sized(size)}")
                app.pop_screen()


async def test_form_in_ascii(pictures) -> None:
    app = app_on(GivenFeed(live(SHOT)), Settings(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await editing(EDITS["changed"])(pilot)
        await pictures.take(pilot)


async def test_plan(pictures) -> None:
    app = app_on(GivenFeed(live(SHOT)))
    async with app.run_test(size=SIZES[0]) as pilot:
        for size in SIZES:
            await pilot.resize_terminal(*size)
            for name in ("changed", "unfit"):
                await planning(plan(EDITS[name]))(pilot)
                await pictures.take(pilot, f"{name}-{sized(size)}")
                app.pop_screen()


async def test_plan_of_a_new_fleet(pictures) -> None:
    made = plan(edit().with_nodes(Nodes(5, 5, 5)), new=True)
    app = app_on(GivenFeed(live(SHOT)))
    async with app.run_test(size=(120, 30)) as pilot:
        await planning(made)(pilot)
        await pictures.take(pilot)


async def test_the_field_under_the_cursor_stays_in_sight_in_a_smaller_terminal() -> None:
    app = app_on(GivenFeed(live(SHOT)))
    async with app.run_test(size=(120, 40)) as pilot:
        await editing(edit())(pilot)
        screen = app.screen
        assert isinstance(screen, FleetEditScreen)
        await pilot.press(*["down"] * 20)
        place = Place("tags", "tags")
        await until(lambda: screen.grid.place == place, what="the last field")
        await pilot.resize_terminal(80, 16)
        form = screen.query_one("#form")

        def in_sight() -> bool:
            row = screen.grid.virtual_region.y + screen.grid._spots()[place].y
            return form.scroll_offset.y <= row < form.scroll_offset.y + form.size.height

        await until(in_sight, what="the field under the cursor")
