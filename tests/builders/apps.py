"""Apps on a feed that hands out what a test puts in, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from dstack_api_client.clock import utc_now
from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.update import ConnectionState, Health, Update
from dstack_api_client.join.difference import Difference, diff
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.host.status_line import StatusLine
from dstack_fleets_tui.live.poller import Polled
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from dstack_widgets.inputs.command_line import History
from tests.builders.memory_client import GivenClient
from tests.builders.snapshots import NOW

CONNECTION = Connection(
    url="http://127.0.0.1:3000",
    project="main",
    token="not-a-token",
    sources=Sources("here", "here", "here"),
)


class GivenFeed:
    """Hands out updates that a test puts in."""

    def __init__(self, *updates: Update) -> None:
        self.waiting = list(updates)
        self.polls: list[bool] = []
        self.focused: dict[str, object] = {}
        self.events: list[wire.Event] = []

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        self.polls.append(full)
        while self.waiting:
            yield self.waiting.pop(0)

    def focus(
        self,
        *,
        services: Collection[str] = (),
        fleets: Collection[str] = (),
        opened_service: str | None = None,
        opened_fleet: str | None = None,
    ) -> None:
        self.focused = {
            "services": list(services),
            "fleets": list(fleets),
            "opened_service": opened_service,
            "opened_fleet": opened_fleet,
        }


def live(new: Snapshot, old: Snapshot | None = None) -> Update:
    """The update of a poll that went well."""
    then = new.observed_at
    health = Health(ConnectionState.LIVE, then, None, None, then)
    return Update(new, diff(old, new), health)


def failing(
    state: ConnectionState,
    message: str = "It is away.",
    hint: str = "Wait.",
    kept: Snapshot | None = None,
) -> Update:
    """The update of a poll that failed, the last data kept."""
    last = NOW - timedelta(seconds=90) if kept else None
    return Update(kept, Difference(), Health(state, NOW, message, hint, last))


def app_reading(
    feed: Polled,
    client: Client,
    folder: Path,
    *,
    interval: float,
    now: Callable[[], datetime] = utc_now,
    protected: bool = False,
) -> FleetsApp:
    """The app on a feed that reads a server, as if somebody had pressed a key.

    Args:
        feed: What it polls.
        client: What is read beside the feed.
        folder: Where it keeps what it keeps.
        interval: Seconds between polls.
        now: The clock.
        protected: Whether the project is protected.
    """

    @asynccontextmanager
    async def opened(connection: Connection) -> AsyncIterator[Source]:
        yield Source(feed, client, connection.project)

    projects = {CONNECTION.project: ProjectValues(protected=True)} if protected else {}

    app = FleetsApp(
        CONNECTION,
        Settings(projects=projects, interval=interval),
        now=now,
        open_source=opened,
        terminal_is_gone=lambda: False,
        store=Store(folder),
    )
    app.lookout.somebody_is_there = True
    return app


def app_on(
    feed: GivenFeed,
    settings: Settings | None = None,
    client: GivenClient | None = None,
    *,
    untouched: bool = False,
    kind: type[FleetsApp] = FleetsApp,
) -> FleetsApp:
    """The app on a given feed and a given client, at a given moment.

    Unless it is `untouched`, it begins as if somebody had pressed a key, with the fleets.
    """

    @asynccontextmanager
    async def opened(connection: Connection) -> AsyncIterator[Source]:
        yield Source(feed, client or GivenClient(), connection.project)

    app = kind(
        CONNECTION,
        settings or Settings(),
        now=lambda: NOW,
        open_source=opened,
        terminal_is_gone=lambda: False,
    )
    app.lookout.somebody_is_there = not untouched
    app.typed = History()
    app.said = StatusLine(clock=lambda: 0.0)
    return app
