"""`D` on runs: stopped, followed and deleted, after a question whose first answer is Cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.runs import RunsScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_widgets.inputs.choices import Choices
from tests.builders.apps import app_reading
from tests.builders.changing_server import ChangingServer
from tests.screens import screen_text
from tests.servers.dashboards import shown
from tests.waiting import until, until_equal

STOP, DELETE = "/api/project/main/runs/stop", "/api/project/main/runs/delete"


@asynccontextmanager
async def services_of(
    server: ChangingServer, folder: Path, *, protected: bool = False
) -> AsyncIterator[tuple[Any, Any]]:
    """The dashboard on the list of services."""
    async with server.client() as client:
        feed = Feed(client, "main")
        app = app_reading(feed, client, folder, interval=0.5, protected=protected)
        async with app.run_test(size=(120, 32)) as pilot:
            await until(lambda: app.snapshot is not None and app.snapshot.complete, what="data")
            await pilot.press("2")
            await shown(app, ServicesScreen)
            await until(lambda: app.screen.table.cursor_key, what="the service")
            yield app, pilot


async def test_a_service_is_stopped_followed_and_deleted(tmp_path: Path) -> None:
    server = ChangingServer()
    async with services_of(server, tmp_path) as (app, pilot):
        await pilot.press("D")
        await shown(app, AskScreen)
        text = screen_text(app)
        assert "Stop service chat in main" in text
        assert "Ends: 1 replica" in text
        await pilot.press("enter")
        await shown(app, ServicesScreen)
        assert not server.writes, "the first answer is Cancel"

        await pilot.press("D")
        await shown(app, AskScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until_equal(lambda: server.writes, [STOP])
        await until(lambda: "The stop of chat is sent." in screen_text(app), what="that it is sent")
        await until(lambda: "1 replica to stop" in screen_text(app), what="what is waited for")
        server.runs[0]["status"] = "terminated"
        server.runs[0]["jobs"][0]["job_submissions"][0]["status"] = "terminated"
        await until(lambda: "done" in screen_text(app), what="the end")
        assert not {"edit", "undo", "replicas"} & {title for _, title in app.screen.footer_keys()}
        await pilot.press("escape")
        await shown(app, ServicesScreen)

        app.do_runs("")
        await shown(app, RunsScreen)
        await pilot.press(*":stop chat", "enter")
        await shown(app, AskScreen)
        assert "Delete service chat in main" in screen_text(app)
        await pilot.press("right", "enter")
        await until_equal(lambda: server.writes, [STOP, DELETE])
        await until(lambda: "chat is deleted." in screen_text(app), what="that it is gone")


async def test_in_a_protected_project_its_name_is_typed(tmp_path: Path) -> None:
    server = ChangingServer()
    async with services_of(server, tmp_path, protected=True) as (app, pilot):
        await pilot.press("D")
        await shown(app, AskScreen)
        await pilot.press(*"chat", "enter")
        await until(lambda: app.screen.query_one(Choices).has_focus, what="the answers")
        await pilot.press("right", "right", "enter")
        await until_equal(lambda: server.writes, [STOP])
        await until(lambda: "The abort of chat is sent." in screen_text(app), what="the abort")
