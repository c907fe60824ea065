"""A service's screen in an app: opened, with keys pressed, and what it shows."""

from __future__ import annotations

from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import plain_text
from tests.builders import routed_service
from tests.screens import on_screen
from tests.waiting import until

SIZE = (160, 40)


async def opened(app, pilot, *keys, view="", row=None):
    """Opens the service of the cockpit and presses some keys there."""
    await until(lambda: app.snapshot is not None, what="a snapshot")
    app.open_service(routed_service.RUN, view, row)
    await on_screen(app, ServiceScreen)
    await pilot.pause()
    for key in keys:
        await pressed(app, pilot, key)


async def pressed(app, pilot, *keys):
    """Presses keys, and waits until the view in front is filled: it is when it has its size."""
    await pilot.press(*keys)
    await pilot.pause()
    await until(
        lambda: (view := getattr(app.screen, "_in_front", None)) is None or view.table.columns
    )


def rows(app):
    """The rows in front, each with its texts by column."""
    table = app.screen.table
    return {
        key: {
            column.key: plain_text(cell).strip()
            for column, cell in zip(table.columns, table.get_cells(key), strict=True)
        }
        for key in table.keys
    }


def said(app):
    """What is said below the table in front."""
    findings = app.screen.query_one(f"#{app.screen.view}").query_one(Findings).findings
    return [(each.style, each.subject, each.text) for each in findings]


def line(app):
    """The line above the table in front."""
    return app.screen.query_one(f"#{app.screen.view}").query_one(Flow).text
