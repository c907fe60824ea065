"""Switching to another project while the dashboard runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from dstack_api_client.connect.connection import ConfigError
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.settings.projects import Projects
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from dstack_widgets.inputs.command_line import CommandLine
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient, event
from tests.builders.snapshots import fleet, snapshot
from tests.screens import SIZE, filled, header, on_screen, screen_text, table
from tests.waiting import until, until_equal


def found(name):
    if name == "prod":
        return replace(CONNECTION, project="prod")
    return ConfigError(f"Project {name} is not configured.", "Did you mean prod?")


def said(app):
    return app.said.log[-1].message if app.said.log else ""


async def entered(pilot, text):
    pilot.app.screen.query_one(CommandLine).open(text)
    await pilot.press("enter")


def reads(feeds, client=None, reached=None):
    """Opens the feed of a project, once it is reached: one that is left takes nothing from it."""

    @asynccontextmanager
    async def opened(connection):
        if reached is not None and connection.project != "main":
            await reached.wait()
        yield Source(feeds[connection.project], client or GivenClient(), connection.project)

    return opened


async def test_a_project_is_named_or_picked_and_nothing_of_the_last_stays():
    first, second = (
        live(snapshot()),
        live(replace(snapshot(fleets=[fleet("other")]), project="prod")),
    )
    feeds = {"main": GivenFeed(first), "prod": GivenFeed()}
    app = app_on(feeds["main"], Settings(projects={"prod": ProjectValues(read_only=True)}))
    app._open_source = reads(feeds)
    projects = Projects(lambda: ["main", "prod", "main"], found, lambda settings, _: settings)
    app._projects = app._switching._projects = projects
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.open_fleet("f-gpu")
        await on_screen(app, FleetScreen)
        await entered(pilot, "project prud")
        await until(lambda: said(app).startswith("Project prud is not configured. Did you mean"))
        await entered(pilot, "project main")
        await until_equal(lambda: said(app), "This is project main.")

        app._switching._in_the_way = lambda: ["An edit of chat is open."]
        await entered(pilot, "project prod")
        await until(lambda: "Finish or leave it before you switch" in said(app))
        app._switching._in_the_way = tuple

        await until_equal(lambda: app.screen.complete("project p"), ["project prod"])
        assert app.screen.complete("project ") == [
            f"project {name}" for name in ("main", "prod", "all")
        ]
        assert app.screen.complete("project prod,") == ["project prod,main"]
        await entered(pilot, "project")
        await on_screen(app, PickScreen)
        await until(lambda: app.screen.takes_keys, what="that it takes keys")
        await pilot.press("down", "enter")
        await on_screen(app, FleetsScreen)
        await until(lambda: "prod" in header(app), what="the other project")
        await until_equal(lambda: list(table(app).keys), [])
        await until(lambda: "f-gpu" not in screen_text(app), what="nothing of the last")
        feeds["prod"].waiting.append(second)
        await pilot.press("ctrl+r")
        await until_equal(lambda: list(table(app).keys), ["f-other"])
        await until_equal(lambda: (len(app.screen_stack), app.read_only), (1, True))
        await until(lambda: "READ-ONLY" in header(app), what="the loud word")


async def test_events_of_the_last_project_go_before_any_of_the_next_are_read():
    client, reached = GivenClient(), asyncio.Event()
    client.recorded = [event(number) for number in range(3)]
    feeds = {"main": GivenFeed(live(snapshot())), "prod": GivenFeed()}
    app = app_on(feeds["main"], client=client)
    app._open_source = reads(feeds, client, reached)
    projects = Projects(lambda: ["main", "prod"], found, lambda settings, _: settings)
    app._projects = app._switching._projects = projects
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await on_screen(app, EventsScreen)
        events = app.screen.query_one(EventsView)
        await until_equal(lambda: events.table.row_count, 3)
        await entered(pilot, "project prod")
        await until(lambda: "prod" in header(app), what="the other project")
        await until_equal(lambda: events.table.row_count, 0)
        client.recorded = client.recorded[:1]
        reached.set()
        feeds["prod"].waiting.append(live(replace(snapshot(), project="prod")))
        await pilot.press("ctrl+r")
        await until_equal(lambda: events.table.row_count, 1)
