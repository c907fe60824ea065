"""Bytes of a minute in which nothing happens: the clock goes on, and polls bring the same.

The minute is played at once: sixty seconds on the clock of the app, with a poll every other one.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.base import LiveScreen
from tests.bench.livetable import CountingDriver
from tests.builders import routed_service
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.snapshots import NOW
from tests.waiting import until

from .table import Table

SIZE = (160, 45)
SECONDS = 60
LISTS = {"fleets": "1", "services": "2", "problems": "3"}


async def measure() -> Table:
    shot = routed_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    app.driver_class = CountingDriver
    now = NOW
    app.now = lambda: now
    rows = []
    async with app.run_test(headless=False, size=SIZE) as pilot:
        await until(lambda: app.snapshot is not None)
        for name, key in LISTS.items():
            figures = []
            for details in (True, False):
                app.views.change(details=details)
                await pilot.press(key)
                await pilot.pause()
                screen = app.screen
                assert isinstance(screen, LiveScreen)
                screen.show()
                await pilot.pause()
                before = CountingDriver.written
                for second in range(SECONDS):
                    now += timedelta(seconds=1)
                    if second % 2:
                        app.post_message(FleetsApp.Read(live(shot, app.snapshot), CONNECTION))
                    screen.show_state()
                    await pilot.pause()
                figures.append(f"{(CountingDriver.written - before) / 1000:.1f} kB")
            rows.append((name, *figures))
    return Table(
        f"A minute in which nothing happens, {SIZE[0]}x{SIZE[1]}",
        ("", "with details", "without"),
        rows,
        "Ages that go on are written, as they are in a terminal.",
    )


def run() -> Table:
    return asyncio.run(measure())
