"""What would be left, on a screen: of what is at hand, of what is picked, of what is typed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import OptionList

from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.screens.whatif import WhatIfScreen
from dstack_widgets.inputs.command_line import CommandLine
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.two_fleets import project, service_on, spec, with_lanes
from tests.pictures import sized
from tests.screens import brought, filled, on_screen, screen_text, table, texts
from tests.waiting import until, until_equal


def shot(*, most: int = 3) -> Snapshot:
    """The service chat with lanes, and plain without them, which has no `retry`."""
    chat = with_lanes(["own", "own", "spot"])
    return project(chat, service_on("plain", ["spot"], spec()), idle={"own": 1}, most={"own": most})


async def asked(app, text):
    await until(lambda: text in app.screen.query_one("#asked", Flow).text, what=text)


async def offered(app):
    await on_screen(app, PickScreen)
    listed = app.screen.query_one(OptionList)
    return [str(option.prompt).split("  ")[0] for option in listed.options]


async def chosen(pilot, at):
    """Picks the name at a place, once the box takes keys."""
    await until(lambda: pilot.app.screen.takes_keys)
    await pilot.press(*["down"] * at, "enter")


async def test_what_is_at_hand_is_lost_or_what_is_picked_or_typed():
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=(120, 30)) as pilot:
        await filled(app)
        await pilot.press("W")
        await on_screen(app, WhatIfScreen)
        await asked(app, "Without own: 3 instances and 2 replicas are lost.")
        await asked(app, "1 minimum breaks")
        assert table(app).keys == ("s-chat",)
        row = texts(app, "s-chat")
        assert (row["outcome"], row["lost"], row["waits"]) == ("! minimum broken", "2", "2")
        (first, *_) = app.screen.query_one(Findings).findings
        assert (first.subject, first.text) == ("chat", "own holds 0 of its minimum of 2.")

        await pilot.press("escape")
        await on_screen(app, FleetsScreen)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await filled(app)
        await pilot.press("W")
        await on_screen(app, WhatIfScreen)
        await asked(app, "Without own/0: 1 instance and 1 replica are lost.")

        await pilot.press("colon", *"whatif spot chat=4", "enter")
        await asked(app, "Without spot: 2 instances and 2 replicas are lost.")
        await asked(app, "With chat=4.")
        assert table(app).keys == ("s-plain", "s-chat"), "what fails comes first"
        assert texts(app, "s-plain")["outcome"] == "✗ ends"
        await pilot.press("colon", *"whatif moon", "enter")
        await until(lambda: [n for n in app.said.log if "no moon in" in n.message])
        await asked(app, "With chat=4.")

        await pilot.press("W")
        regions = ["region:far", "region:near", "region:us-east-1"]
        assert await offered(app) == ["own", "spot", *regions, "backend:aws"]
        await chosen(pilot, 3)
        await asked(app, "Without region:near: 2 instances and 2 replicas are lost.")
        await pilot.press("down", "enter")
        await on_screen(app, ServiceScreen)
        await pilot.press("escape")
        await on_screen(app, WhatIfScreen)


async def test_of_a_service_it_is_picked_where_it_is_or_how_many_are_asked_for():
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=(120, 30)) as pilot:
        await filled(app)
        await pilot.press("2")
        await on_screen(app, ServicesScreen)
        await filled(app)
        await pilot.press("down", "W")
        names = ["spot", "region:far", "backend:aws", "replicas"]
        assert await offered(app) == names, "plain is nowhere else"
        await chosen(pilot, 0)
        await on_screen(app, WhatIfScreen)
        await until_equal(lambda: table(app).cursor_key, "s-plain")
        assert texts(app, "s-plain")["outcome"] == "✗ ends"
        await pilot.press("escape")
        await on_screen(app, ServicesScreen)
        await pilot.press("W")
        await on_screen(app, PickScreen)
        await chosen(pilot, 3)
        await until_equal(lambda: app.screen.query_one(CommandLine).text, "whatif plain=")
        await pilot.press("5", "enter")
        await on_screen(app, WhatIfScreen)
        await asked(app, "With plain=5.")


async def test_the_answer_follows_the_project():
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=(120, 30)) as pilot:
        await filled(app)
        await pilot.press("W")
        await on_screen(app, WhatIfScreen)
        await asked(app, "1 minimum breaks")
        await brought(app, pilot, project(with_lanes(["own", "spot", "spot"])))
        await asked(app, "Without own: 1 instance and 1 replica are lost.")
        gone = project(service_on("plain", ["spot"], spec()))
        left = {key: each for key, each in gone.fleets.items() if each.name == "spot"}
        await brought(app, pilot, replace(gone, fleets=left))
        await until(lambda: "There is no own in project main. It has:" in screen_text(app))


@pytest.mark.usefixtures("frozen")
async def test_how_it_looks(pictures):
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=(120, 30)) as pilot:
        await filled(app)
        await pilot.press("down", "W")
        await on_screen(app, WhatIfScreen)
        await filled(app)
        for size in ((120, 30), (80, 24), (200, 50)):
            await pilot.resize_terminal(*size)
            await pictures.take(pilot, sized(size))
