"""Looking at a running app in tests."""

from __future__ import annotations

from textual.widgets import Static

from dstack_fleets_tui.app.app import FleetsApp
from dstack_widgets.screen.status_header import StatusHeader
from dstack_widgets.table.cells import plain_text
from tests.builders.apps import CONNECTION, live
from tests.painting import all_painted
from tests.waiting import until

SIZE = (120, 30)


def table(app):
    return app.screen.table


def texts(app, key):
    live_table = table(app)
    cells = live_table.get_cells(key)
    return {c.key: plain_text(cell) for c, cell in zip(live_table.columns, cells, strict=True)}


def header(app):
    return app.screen.query_one(StatusHeader).text


def summary(app):
    return str(app.screen.query_one("#summary", Static).content)


async def on_screen(app, kind):
    await until(lambda: isinstance(app.screen, kind) and app.screen.is_mounted, what=str(kind))


async def filled(app):
    await until(lambda: app.snapshot is not None and table(app).row_count, what="rows")


async def brought(app, pilot, snapshot):
    """Has a poll bring a snapshot, and waits until it is shown."""
    app.post_message(FleetsApp.Read(live(snapshot, app.snapshot), CONNECTION))
    await until(lambda: app.snapshot is snapshot, what="the snapshot")
    await all_painted(app, pilot)


def screen_text(app):
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)
