"""Screens that are just opening or being left, and what comes for them then."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from dstack_api_client.model.replica import ReplicaKey
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.runs import RunsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from tests.builders.changing_dashboard import dashboard, shown
from tests.builders.changing_server import ChangingServer
from tests.waiting import until


def _screens(app: FleetsApp) -> list[Screen[None]]:
    assert app.snapshot is not None
    (run_id,) = app.snapshot.services
    (fleet_id,) = app.snapshot.fleets
    replica: ReplicaKey = next(iter(app.snapshot.replicas))
    return [
        ServiceScreen(run_id),
        ServiceScreen(run_id, "events"),
        ReplicaScreen(replica),
        ReplicaScreen(replica, "logs"),
        FleetScreen(fleet_id),
        EditScreen("chat", run_id),
        EventsScreen(),
        ProblemsScreen(),
        RunsScreen(),
    ]


async def test_everything_can_be_read_again_while_a_screen_opens(tmp_path: Path) -> None:
    async with dashboard(ChangingServer(), tmp_path) as (app, pilot):
        for screen in _screens(app):
            app.push_screen(screen)
            app.do_refresh("")
            await until(lambda screen=screen: app.screen is screen and screen.is_mounted)
            app.do_refresh("")
            await pilot.press("ctrl+r")
            await app.pop_screen()


WAYS = [(fails, first) for fails in (False, True) for first in (False, True)]


async def test_fields_that_come_for_an_editor_that_was_left_change_nothing(
    tmp_path: Path,
) -> None:
    server = ChangingServer()
    async with dashboard(server, tmp_path) as (app, pilot):
        for fails, released_first in WAYS:
            await _leave_an_editor(
                app, pilot, server, "runs/get", fails=fails, released_first=released_first
            )
            server.faults.clear()
            server.held.clear()
    assert not server.writes


@pytest.mark.parametrize(("fails", "released_first"), WAYS)
async def test_a_plan_that_comes_for_an_editor_that_was_left_changes_nothing(
    fails: bool, released_first: bool, tmp_path: Path
) -> None:
    """Each with a server of its own: an editor that was left keeps a draft."""
    server = ChangingServer()
    async with dashboard(server, tmp_path) as (app, pilot):
        await _leave_an_editor(
            app, pilot, server, "runs/get_plan", fails=fails, released_first=released_first
        )
    assert not server.writes


async def _leave_an_editor(
    app: FleetsApp,
    pilot: Pilot[int],
    server: ChangingServer,
    held: str,
    *,
    fails: bool,
    released_first: bool,
) -> None:
    if held == "runs/get":
        asked = server.asked[held]
        event = server.hold(held)
        await pilot.press("e")
        await shown(app, EditScreen)
    else:
        await pilot.press("e")
        await shown(app, EditScreen)
        editor = app.screen
        assert isinstance(editor, EditScreen)
        await until(lambda: editor.edit is not None, what="the fields")
        asked = server.asked[held]
        event = server.hold(held)
        assert editor.edit is not None
        editor._change(editor.edit.with_priority(7))
        editor.do_plan("")
    await until(lambda: server.asked[held] > asked, what="the question")
    if fails:
        server.faults[held] = lambda request: httpx.Response(400, text="no")
    editor = app.screen
    assert isinstance(editor, EditScreen)
    if released_first:
        event.set()
    editor.leave()
    await shown(app, ServiceScreen)
    await until(lambda: not editor.is_attached and not editor.children, what="it to go")
    event.set()
    await until(
        lambda: all(worker.is_finished for worker in app.workers if worker.node is editor),
        what="its reads to end",
    )
    editor.fill()
    assert app.is_running
