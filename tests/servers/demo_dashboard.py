"""The dashboard on the demo, and rows of its tables."""

from __future__ import annotations

from contextlib import asynccontextmanager

from dstack_api_client.connect.connection import Connection, Sources
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.detail import DetailScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_simulator.handle.handle import Handle
from dstack_widgets.table.cells import plain_text
from dstack_widgets.table.live_table import LiveTable
from tests.waiting import until

SIZE = (200, 40)


@asynccontextmanager
async def dashboard(sim: Handle, *, token: str | None = None, project: str | None = None):
    here = Sources("test", "test", "test")
    connection = Connection(sim.url, project or sim.project, token or sim.token, here)
    app = FleetsApp(connection, Settings(interval=1), terminal_is_gone=lambda: False)
    async with app.run_test(size=SIZE) as pilot:
        # Somebody is at the keys, so the problems of the demo do not come up by themselves.
        await pilot.press("1")
        yield app, pilot


def table(app):
    screen = app.screen
    return screen.table if isinstance(screen, DetailScreen) else screen.query_one(LiveTable)


def row(app, key):
    cells = table(app).get_cells(key)
    return {c.key: plain_text(cell) for c, cell in zip(table(app).columns, cells, strict=True)}


def rows(app, column):
    """The rows by what stands in one column."""
    return {row(app, key)[column]: row(app, key) for key in table(app).keys}


async def complete(app):
    await until(lambda: app.snapshot is not None and app.snapshot.complete, what="a full read")


async def opened(app, pilot, kind, name):
    await complete(app)
    await pilot.press("colon", *f"open {name}", "enter")
    await until(lambda: isinstance(app.screen, kind), what=f"{kind.__name__} of {name}")
