"""Bytes of a minute in which nothing happens: the clock goes on, and polls bring the same.

The minute is played at once: sixty seconds on the clock of the app, with a poll every other one.
All is painted before the next second begins: a busy machine would paint several seconds in one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.base import LiveScreen
from tests.bench.livetable import CountingDriver
from tests.builders import routed_service
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.snapshots import NOW
from tests.builders.trending import watch_half_an_hour
from tests.painting import all_painted
from tests.waiting import until

from .figures import Figure
from .table import Table

SIZE = (160, 45)
SECONDS = 60
#: No cooldown ends any more and no problem is young: ages are of minutes.
QUIET_FROM = timedelta(minutes=15)
LISTS = {"fleets": "1", "services": "2", "problems": "3"}


async def _written(*, trends: bool) -> dict[str, list[float]]:
    """Bytes for each list, with details and without."""
    shot = routed_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    app.driver_class = CountingDriver
    now = NOW + QUIET_FROM
    app.now = lambda: now
    watch_half_an_hour(app.trends, shot)
    if not trends:
        app.session.trends = TrendWatch()
        app.trends.look = lambda *_: None  # type: ignore[method-assign]
    found: dict[str, list[float]] = {}
    async with app.run_test(headless=False, size=SIZE) as pilot:
        await until(lambda: app.snapshot is not None)
        for name, key in LISTS.items():
            for details in (True, False):
                app.views.change(details=details)
                await pilot.press(key)
                await pilot.pause()
                screen = app.screen
                assert isinstance(screen, LiveScreen)
                screen.show()
                await all_painted(app, pilot)
                before = CountingDriver.written
                for second in range(SECONDS):
                    now += timedelta(seconds=1)
                    if second % 2:
                        read = live(replace(shot, observed_at=now), app.snapshot)
                        app.post_message(FleetsApp.Read(read, CONNECTION))
                    screen.show_state()
                    await all_painted(app, pilot)
                kilobytes = (CountingDriver.written - before) / 1000
                found.setdefault(name, []).append(kilobytes)
    return found


async def measure() -> Table:
    with_trends, without = await _written(trends=True), await _written(trends=False)
    return Table(
        f"A minute in which nothing happens, {SIZE[0]}x{SIZE[1]}",
        ("", "with details", "without", "no trends: with details", "without"),
        [
            (name, *(f"{each:.1f} kB" for each in (*with_trends[name], *without[name])))
            for name in LISTS
        ],
        "Ages that go on are written, as they are in a terminal; so are sparklines that move.",
        [Figure(f"a quiet minute of the {name}", with_trends[name][0], "kB") for name in LISTS],
    )


def run() -> Table:
    return asyncio.run(measure())
