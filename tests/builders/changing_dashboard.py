"""The dashboard on a server in memory with its service open, and keys pressed there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from textual import events
from textual.pilot import Pilot

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.settings.settings import Settings
from tests.builders.apps import CONNECTION
from tests.builders.changing_server import ChangingServer
from tests.waiting import until


@asynccontextmanager
async def dashboard(
    server: ChangingServer, folder: Path
) -> AsyncIterator[tuple[FleetsApp, Pilot[int]]]:
    """The dashboard on a server in memory, with the service open."""

    @asynccontextmanager
    async def opened(connection: Connection) -> AsyncIterator[Source]:
        async with server.client() as client:
            yield Source(Feed(client, connection.project), client, connection.project)

    app = FleetsApp(
        CONNECTION,
        Settings(interval=0.5),
        open_source=opened,
        terminal_is_gone=lambda: False,
        store=Store(folder),
    )
    app.lookout.somebody_is_there = True
    async with app.run_test(size=(120, 32)) as pilot:
        await pilot.press("2")
        await until(lambda: app.snapshot is not None and app.snapshot.complete, what="data")
        await until(lambda: isinstance(app.screen, ServicesScreen), what="the list")
        app.open_service(server.runs[0]["id"])
        await until(lambda: in_front(app, ServiceScreen), what="the service")
        yield app, pilot


def in_front(app: FleetsApp, kind: type) -> bool:
    """Whether a screen is in front, drawn, and takes keys."""
    screen = app.front
    return (
        isinstance(screen, kind)
        and screen.is_mounted
        and (not isinstance(screen, Asking) or screen.takes_keys)
    )


async def shown(app: FleetsApp, kind: type) -> None:
    await until(lambda: in_front(app, kind), what=kind.__name__)


def storm(app: FleetsApp, *keys: str) -> None:
    """Presses keys all at once, faster than any screen can change."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def applied_before(server: ChangingServer, store: Store) -> None:
    """Has something to be taken back."""
    async with server.client() as client:
        before = await read_service(client, "main", "chat")
        server.runs[0]["run_spec"]["configuration"]["priority"] = 7
        server.runs[0]["deployment_num"] += 1
        store.keep_applied(before, await read_service(client, "main", "chat"))


async def settled(app: FleetsApp, pilot: Pilot[int]) -> None:
    """Waits until everything that was pressed has done what it does."""
    await pilot.pause()
    await pilot.pause()
    assert app.is_running, "the dashboard has ended"
