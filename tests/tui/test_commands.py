"""Commands that go somewhere by name, from any screen."""

from __future__ import annotations

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.lists import FleetsScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_widgets.command_line import CommandLine
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.sample_project import SNAPSHOT
from tests.screens import SIZE, filled, on_screen
from tests.waiting import until, until_equal


async def typed(pilot, text):
    """Enters a command; typed letter by letter it takes long."""
    pilot.app.screen.query_one(CommandLine).open(text)
    await pilot.press("enter")


async def test_commands_open_things_by_name_from_any_screen():
    app = app_on(GivenFeed(live(SNAPSHOT)))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        shot = app.snapshot
        service = next(each for each in shot.services.values() if each.replica_keys)
        fleet = next(iter(shot.fleets.values()))
        number = service.replica_keys[0].replica_num
        await typed(pilot, f"svc {service.name}")
        await on_screen(app, ServiceScreen)
        depth = len(app.screen_stack)
        await typed(pilot, f"events {service.name}")
        await until_equal(lambda: app.screen.view, "events_here")
        assert len(app.screen_stack) == depth
        await typed(pilot, f"logs {service.name}/{number}")
        await on_screen(app, LogsScreen)
        await typed(pilot, f"rep {number}")
        await on_screen(app, ReplicaScreen)
        assert app.screen.replica == service.replica_keys[0]
        await typed(pilot, f"open {fleet.name}")
        await on_screen(app, FleetScreen)
        await typed(pilot, "services nope")
        await until(lambda: "There is no service nope" in app.said.log[-1].message)
        await typed(pilot, "reverse nope")
        await until(lambda: "takes nothing" in app.said.log[-1].message)
        await on_screen(app, FleetScreen)
        await typed(pilot, "fleets")
        await on_screen(app, FleetsScreen)
        await pilot.press("colon", "up", "up")
        await until_equal(lambda: app.screen.query_one(CommandLine).text, "reverse nope")
