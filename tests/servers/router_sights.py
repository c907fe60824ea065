"""What of a router stands on screen, and what is printed of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.router import RouterStatus, Sync
from dstack_api_client.routers.watch import OverSsh
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.headless.get import collect, observe
from dstack_fleets_tui.headless.looking import Asked
from dstack_fleets_tui.live.source import Source, open_source
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.service.workers import WorkersView
from dstack_fleets_tui.settings.settings import Settings
from dstack_simulator.handle.handle import Handle
from dstack_widgets.table.cells import plain_text
from tests.servers.routed_services import StockWatch
from tests.waiting import until

Opener = Callable[[Connection], AbstractAsyncContextManager[Source]]


@dataclass(frozen=True)
class Row:
    """A worker, called as in other tests: `decode2`, or by its state when it is not a replica."""

    name: str
    sync: str
    health: str | None
    job: str | None


@dataclass(frozen=True)
class Shown:
    """A router and its workers as somebody reads them."""

    status: str
    source: str
    said: str
    rows: tuple[Row, ...]

    def has(self, name: str, sync: Sync, health: str | None = None) -> bool:
        """Whether a worker is in a state, and the router says this of it where that is given."""
        return any(
            row.name == name and row.sync == sync.value and health in (None, row.health)
            for row in self.rows
        )


Holds = Callable[[Shown], bool]


def states(status: RouterStatus | None = None, **wanted: Sync) -> Holds:
    """That a router and its workers are in some states."""

    def holds(shown: Shown) -> bool:
        right = status is None or shown.status == status.value
        return right and all(shown.has(name, sync) for name, sync in wanted.items())

    return holds


class Sight(Protocol):
    """Where a router is read."""

    async def open(self, name: str) -> None:
        """Looks at the router of a service from now on."""

    async def read(self) -> Shown | None:
        """What is there now."""


@dataclass
class OnScreen:
    """The Router view of a dashboard that stays open."""

    app: FleetsApp

    async def open(self, name: str) -> None:
        snapshot = self.app.snapshot
        assert snapshot is not None
        service = snapshot.service_named(name)
        assert service is not None

        def front() -> bool:
            screen = self.app.screen
            return isinstance(screen, ServiceScreen) and screen.key == service.id

        if not front():
            # In the context of the app, whose tasks the new screen's become.
            self.app.call_later(self.app.open_service, service.id, "router")
            await until(front, what=f"the screen of {name}")

    async def read(self) -> Shown | None:
        found = self.app.screen.query(WorkersView)
        if not found or not found.first().line.text:
            return None
        view = found.first()
        head = view.line.text
        source = {"through the server": "server", "over SSH": "ssh"}
        rows = []
        for key in view.table.keys:
            cells = {
                column.key: plain_text(cell)
                for column, cell in zip(view.table.columns, view.table.get_cells(key), strict=True)
            }
            # Before each state is its mark.
            sync, health = cells["sync"][2:], cells["router"][2:] or None
            name = cells["replica"].replace(" ", "")
            job = cells["dstack"].rpartition(" ")[2]
            none = self.app.glyphs.dash
            rows.append(
                Row(sync if name == none else name, sync, health, None if job == none else job)
            )
        return Shown(
            head.split("  ")[1],
            next((each for words, each in source.items() if words in head), "none"),
            " ".join(f"{each.subject} {each.text}" for each in view.findings.findings),
            tuple(rows),
        )


@dataclass
class Printed:
    """What `get router` prints as JSON."""

    connection: Connection
    over_ssh: bool = True
    name: str = ""

    async def open(self, name: str) -> None:
        self.name = name

    async def read(self) -> Shown | None:
        asked = Asked("router", self.name, ssh=self.over_ssh)
        (item,) = collect(await observe(self.connection, asked), asked)["router"]
        return Shown(
            item["status"],
            item["source"],
            " ".join(
                text for text in (item["message"], *(w["message"] for w in item["workers"])) if text
            ),
            tuple(map(_row, item["workers"])),
        )


def _row(worker: dict[str, Any]) -> Row:
    name = worker["sync"]
    if worker["replica"] is not None:
        name = f"{worker['group']}{worker['replica']}"
    return Row(name, worker["sync"], worker["router_health"], worker["job_status"])


@dataclass
class Sights:
    """Every place where routers are read, by what to call it when it shows something else."""

    places: dict[str, Sight] = field(default_factory=dict)

    async def open(self, name: str) -> None:
        for place in self.places.values():
            await place.open(name)

    async def agree(
        self, holds: Holds, what: str, *, limit: float = 60, only: Collection[str] = ()
    ) -> dict[str, Shown]:
        """Waits until something stands in every place, at the same time or not.

        Args:
            holds: What is to stand there.
            what: What that is called.
            limit: Seconds.
            only: Just these places; all of them without it.

        Returns:
            By place, what stood there.
        """
        places = only or self.places
        found = await asyncio.gather(*(self._one(place, holds, what, limit) for place in places))
        return dict(zip(places, found, strict=True))

    async def _one(self, place: str, holds: Holds, what: str, limit: float) -> Shown:
        last: Shown | None = None

        async def there() -> Shown | None:
            nonlocal last
            last = await self.places[place].read()
            return last if last is not None and holds(last) else None

        try:
            shown: Shown = await until(there, limit=limit, every=0.2)
        except AssertionError:
            raise AssertionError(f"{what} is not {place}, but {last}") from None
        return shown


def connection_to(sim: Handle) -> Connection:
    return Connection(sim.url, sim.project, sim.token, Sources("test", "test", "test"))


@asynccontextmanager
async def _as_stock(connection: Connection) -> AsyncIterator[Source]:
    """A server with the add-on, of which a dashboard sees nothing."""
    async with (
        Client(connection.url, connection.token) as client,
        StockWatch(client, connection.project) as routers,
    ):
        feed = Feed(client, connection.project, routers=routers)
        yield Source(feed, client, connection.project)


@asynccontextmanager
async def dashboard(connection: Connection, opener: Opener) -> AsyncIterator[FleetsApp]:
    """A dashboard that runs beside tests: a task of its own keeps its context."""
    app = FleetsApp(
        connection, Settings(interval=1), open_source=opener, terminal_is_gone=lambda: False
    )
    up, end = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with app.run_test(size=(220, 60)) as pilot:
            await pilot.press("2")
            up.set()
            await end.wait()

    task = asyncio.create_task(run())
    try:
        await until(lambda: up.is_set() or task.done(), limit=30, what="the dashboard is up")
        await until(
            lambda: task.done() or (app.snapshot is not None and app.snapshot.complete),
            limit=30,
            what="a full read",
        )
        yield app
    finally:
        end.set()
        await task


@asynccontextmanager
async def sights(sim: Handle) -> AsyncIterator[Sights]:
    """Two dashboards, one as if the server had no add-on, and what the command prints."""
    connection = connection_to(sim)
    async with (
        dashboard(connection, open_source) as through_server,
        dashboard(connection, _as_stock) as over_ssh,
    ):
        yield Sights(
            {
                "on screen through the server": OnScreen(through_server),
                "on screen over SSH": OnScreen(over_ssh),
                "printed": Printed(connection),
            }
        )


@asynccontextmanager
async def stock_sights(sim: Handle, over_ssh: OverSsh) -> AsyncIterator[Sights]:
    """A dashboard on a server without the add-on, and what the command prints."""
    connection = connection_to(sim)
    async with dashboard(connection, partial(open_source, over_ssh=over_ssh)) as app:
        yield Sights(
            {
                "on screen": OnScreen(app),
                "printed": Printed(connection, over_ssh is not OverSsh.NONE),
            }
        )
