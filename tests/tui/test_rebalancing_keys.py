"""`b` while a rebalancing is under way: it is ended, where anything is left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from tests.builders import answers
from tests.builders.apps import app_reading
from tests.screens import screen_text
from tests.servers.dashboards import shown
from tests.servers.networked_server import NetworkedServer
from tests.waiting import until


class RebalancingServer(NetworkedServer):
    """A server on which the service is being rebalanced.

    Attributes:
        left: Whether a replica is still to move.
        cancelled: Whether it was told to end that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left = True
        self.cancelled = False
        self.placements["chat"]["rebalancing"] = {"since": answers.at(0), "left": 1}

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        answer = super()._answer(path, query)
        if path.endswith("/placement/preview") and not self.left:
            told = answer.json()
            told["replicas"][0]["action"] = "stay"
            return httpx.Response(200, json=told)
        if path.endswith("/placement/rebalance") and query.get("cancel"):
            self.cancelled = True
            self.placements["chat"]["rebalancing"] = None
            return httpx.Response(200, json={"rebalancing": None})
        return answer


@asynccontextmanager
async def service_of(server: RebalancingServer, folder: Path) -> AsyncIterator[tuple[Any, Any]]:
    """The dashboard on the service."""

    async with server.client() as client:
        app = app_reading(Feed(client, "main"), client, folder, interval=0.5)
        async with app.run_test(size=(120, 32)) as pilot:
            await until(lambda: app.snapshot is not None and app.snapshot.complete, what="data")
            app.open_service(server.runs[0]["id"])
            await shown(app, ServiceScreen)
            await until(lambda: app.snapshot is not None and app.snapshot.placements)
            yield app, pilot


async def test_it_is_ended_after_a_question_and_not_where_nothing_is_left(tmp_path: Path) -> None:
    server = RebalancingServer()
    async with service_of(server, tmp_path) as (app, pilot):
        server.left = False
        await pilot.press("b")
        await until(
            lambda: any("Nothing to move" in note.message for note in app.said.log), what="the word"
        )
        server.left = True
        await pilot.press("b")
        await shown(app, AskScreen)
        assert "End the rebalancing of chat" in screen_text(app)
        assert not server.cancelled
        await pilot.press("enter")
        await shown(app, ServiceScreen)
        assert not server.cancelled, "to let it go on is the first answer"
        await pilot.press("b")
        await shown(app, AskScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until(lambda: server.cancelled, what="the end of it")
        await until(lambda: "is cancelled" in screen_text(app), what="the word on it")
