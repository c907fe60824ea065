"""Commands that go somewhere by name, from any screen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.command import CommandList, CommandPalette

from dstack_api_client.trends.trend import Kind
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_widgets.inputs.command_line import CommandLine
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
        await until(lambda: "takes no argument" in app.said.log[-1].message)
        await on_screen(app, FleetScreen)
        await typed(pilot, "fleets")
        await on_screen(app, FleetsScreen)
        await pilot.press("colon", "up", "up")
        await until_equal(lambda: app.screen.query_one(CommandLine).text, "reverse nope")


async def test_back_and_forth_over_lists_screens_and_views():
    app = app_on(GivenFeed(live(SNAPSHOT)))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        service = next(each for each in app.snapshot.services.values() if each.replica_keys)

        async def at(screen, view="", **keys):
            await until_equal(lambda: app.screen.name_of_screen, screen)
            await until_equal(lambda: getattr(app.screen, "view", ""), view)
            await until(lambda: app.trail.here == app.screen.place, what="that it is known")

        await at("fleets")
        await typed(pilot, f"svc {service.name}")
        await at("service", "distribution")
        await pilot.press("r")
        await at("service", "replicas")
        await pilot.press("2")
        await at("services")
        await pilot.press("minus")
        await at("service", "replicas")
        await pilot.press("minus")
        await at("services")
        await pilot.press("left_square_bracket")
        await at("service", "replicas")
        await pilot.press("left_square_bracket")
        await at("service", "distribution")
        await pilot.press("left_square_bracket")
        await at("fleets")
        await until_equal(lambda: len(app.screen_stack), 1)
        await pilot.press("left_square_bracket")
        await until(lambda: "no view before" in app.said.log[-1].message)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await at("service", "replicas")
        await pilot.press("escape")
        await at("fleets")
        await pilot.press("W")
        await until_equal(lambda: app.screen.name_of_screen, "what if")
        await pilot.press("left_square_bracket")
        await at("fleets")
        await until_equal(lambda: len(app.screen_stack), 1)
        await pilot.press("T")
        await at("charts")
        await pilot.press("minus")
        await at("fleets")
        await pilot.press("minus")
        await at("charts")
        await typed(pilot, f"charts {service.name}")
        await until_equal(lambda: app.screen.subject.name, service.name)
        await pilot.press("left_square_bracket")
        await until_equal(lambda: app.screen.subject.kind, Kind.FLEET)
        await pilot.press("right_square_bracket")
        await until_equal(lambda: app.screen.subject.name, service.name)
        await pilot.press("left_square_bracket", "left_square_bracket")
        await at("fleets")
        await until_equal(lambda: len(app.screen_stack), 1)


async def test_the_palette_finds_names_by_letters_and_says_keys():
    app = app_on(GivenFeed(live(SNAPSHOT)))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        name = next(iter(app.snapshot.services.values())).name

        def offered():
            options = app.screen.query_one(CommandList).options
            return [str(getattr(each, "prompt", "")) for each in options]

        await pilot.press("ctrl+p")
        await until(lambda: CommandPalette.is_open(app), what="the palette")
        await until(lambda: any("1  Show the fleets" in each for each in offered()), what="a key")
        await pilot.press(name[0], *name[-2:])
        await until(lambda: any(each.startswith(f"{name}  service") for each in offered()))
        while str(app.screen.query_one(CommandList).highlighted_option.prompt)[: len(name)] != name:
            await pilot.press("down")
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        # What a command needs a name for says so, whichever way it is asked for.
        app.screen.action_do("replica")
        await until(lambda: app.said.log[-1].message.startswith("Write SERVICE/NUMBER after it"))


@pytest.mark.parametrize("command", ["open", "services", "fleets", "replica", "logs", "stop"])
async def test_a_name_that_was_not_read_yet_is_not_said_to_be_none(command):
    for complete, said in (
        (False, "nope is not in what was read of main so far."),
        (True, "There is no"),
    ):
        app = app_on(GivenFeed(live(replace(SNAPSHOT, complete=complete))))
        async with app.run_test(size=SIZE) as pilot:
            await filled(app)
            await typed(pilot, f"{command} nope")
            await until(lambda app=app: app.said.log, what="what is said")
            assert app.said.log[-1].message.startswith(said)
