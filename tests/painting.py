"""Waiting until a running app has painted what it has to."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.pilot import Pilot

from tests.waiting import until


async def all_painted(app: App[Any], pilot: Pilot[Any]) -> None:
    """Waits until nothing is left to be painted: Textual puts it off to its next frame."""
    screen = app.screen
    await pilot.pause()
    await until(
        lambda: (
            not (
                screen._layout_required
                or screen._repaint_required
                or screen._dirty_widgets
                or screen._callbacks
            )
        ),
        what="all is painted",
    )
    await pilot.pause()
