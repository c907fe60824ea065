"""The keys that take fleets and instances out of service: a plan, a question, and what follows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from tests.builders.apps import app_reading
from tests.builders.audit_log import ends
from tests.screens import screen_text
from tests.servers.cordoning_server import CordoningServer
from tests.servers.dashboards import shown
from tests.waiting import until, until_equal


@asynccontextmanager
async def fleets_of(server: CordoningServer, folder: Path) -> AsyncIterator[tuple[Any, Any]]:
    """The dashboard on the list of fleets."""
    async with server.client() as client:
        app = app_reading(Feed(client, "main"), client, folder, interval=0.5)
        async with app.run_test(size=(120, 32)) as pilot:
            await until(lambda: app.snapshot is not None and app.snapshot.complete, what="data")
            await pilot.press("1")
            await shown(app, FleetsScreen)
            await until(lambda: "fleet-1" in screen_text(app), what="the fleets")
            yield app, pilot


async def test_a_fleet_is_drained_and_comes_back_after_a_plan_and_a_question(
    tmp_path: Path,
) -> None:
    server = CordoningServer()
    async with fleets_of(server, tmp_path) as (app, pilot):
        await pilot.press("X")
        await shown(app, AskScreen)
        assert "replica 0 of chat on fleet-1-0 moves to fleet-2" in screen_text(app)
        await pilot.press("enter")
        await shown(app, FleetsScreen)
        assert server.told == [], "to cancel is the first answer"
        await pilot.press("colon", *"drain new driver", "enter")
        await shown(app, AskScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until_equal(lambda: server.told, [("drain", "fleet-1", "new driver")])
        await until(lambda: "Fleet fleet-1 is drained: nothing new" in screen_text(app))
        await until(lambda: "1 job left: 1 on the way" in screen_text(app), what="what is left")
        assert "r replicas" not in screen_text(app), "a fleet has none of its own"
        server.cordons[0]["left"] = []
        await until(lambda: re.search(r" done +\d+ s", screen_text(app)), what="it is empty")
        await pilot.press("escape")
        await shown(app, FleetsScreen)
        await until(lambda: "drained by ada" in screen_text(app), what="who did it")
        await pilot.press("U")
        await shown(app, AskScreen)
        await pilot.press("right", "enter")
        await until(lambda: "Fleet fleet-1 is in service again." in screen_text(app))
    logged = [each["action"] for each in ends(Store(tmp_path).audit_path)]
    assert logged == ["drain", "uncordon"]


async def test_a_server_without_cordons_is_named_in_one_line(tmp_path: Path) -> None:
    server = CordoningServer()
    server.features.remove("cordons")
    async with fleets_of(server, tmp_path) as (app, pilot):
        await pilot.press("C")
        await until(
            lambda: any("can't cordon or drain" in each.message for each in app.said.log),
            what="what is missing",
        )
        assert (server.told, type(app.screen)) == ([], FleetsScreen)
