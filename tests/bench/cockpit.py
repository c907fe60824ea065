"""The service screen with 3,000 replicas and 1,000 workers: keys, and polls that change nothing.

From the key to the last write to the terminal that it caused, in the app as it runs, by the clock
and in processor time: where other programs take the processor, only the latter says much.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from textual.pilot import Pilot

from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.service.service import ServiceScreen
from tests.bench.livetable import CountingDriver
from tests.builders import crowded_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.waiting import until

from .figures import Figure
from .table import Table

SIZE = (160, 50)
REPEATS = 15
_OPENING = f"opening a service with {crowded_service.REPLICAS:,} replicas"
VIEWS = {"distribution": "d", "replicas": "r", "router": "o", "rollout": "t"}


class TimedDriver(CountingDriver):
    """Knows when it last wrote."""

    wrote_at = (0.0, 0.0)

    def write(self, data: str) -> None:
        super().write(data)
        TimedDriver.wrote_at = _now()


class Taken(NamedTuple):
    """What something took, in milliseconds."""

    wall: float
    cpu: float


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def _since(begin: tuple[float, float], end: tuple[float, float]) -> Taken:
    return Taken((end[0] - begin[0]) * 1000, (end[1] - begin[1]) * 1000)


async def timed(act: Callable[[], Awaitable[Any]], pilot: Pilot[int]) -> Taken:
    """What it takes from an act to the last write that it causes."""
    await pilot.pause()
    gc.collect()
    begin = TimedDriver.wrote_at = _now()
    await act()
    await pilot.pause()
    await pilot.pause()
    return _since(begin, TimedDriver.wrote_at)


async def measure(views: tuple[str, ...] = tuple(VIEWS)) -> Table:
    shot = crowded_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    app.driver_class = TimedDriver
    async with app.run_test(headless=False, size=SIZE) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2")
        await pilot.pause()
        rows = []
        opened = []
        for _ in range(REPEATS):
            opened.append(await timed(lambda: pilot.press("enter"), pilot))
            assert isinstance(app.screen, ServiceScreen)
            assert app.screen.table.row_count
            await pilot.press("escape")
            await pilot.pause()
        await pilot.press("enter")
        rows.append(("opening, to the last write", *_figures(opened), ""))
        for view in views:
            shown, polled, written = [], [], []
            for turn in range(REPEATS):
                other = "t" if view != "rollout" else "d"
                await pilot.press(other)
                await pilot.pause()
                shown.append(await timed(lambda key=VIEWS[view]: pilot.press(key), pilot))
                for same in range(2):
                    later = replace(
                        shot, observed_at=shot.observed_at + timedelta(seconds=turn * 2 + same)
                    )
                    before = CountingDriver.written
                    begin = _now()
                    app.post_message(FleetsApp.Read(live(later, shot), app.session.connection))
                    await pilot.pause()
                    if same:  # the first one may still paint what the key brought
                        polled.append(_since(begin, _now()))
                        written.append(CountingDriver.written - before)
            rows.append((f"key to {view}", *_figures(shown), ""))
            bytes_ = str(round(statistics.median(written)))
            rows.append((f"poll without a change: {view}", *_figures(polled), bytes_))
    return Table(
        f"A service with {crowded_service.REPLICAS:,} replicas"
        f" and {crowded_service.WORKERS:,} workers, {SIZE[0]}x{SIZE[1]}",
        ("", "cpu ms", "wall ms", "slowest", "bytes"),
        rows,
        f"Medians of {REPEATS}. The clock of the app stands still, so that ages are no change.",
        [Figure(_OPENING, statistics.median(each.cpu for each in opened), goal=60, before=152)],
    )


def _figures(taken: list[Taken]) -> tuple[str, str, str]:
    cpu, wall = (
        statistics.median(each) for each in zip(*((t.cpu, t.wall) for t in taken), strict=True)
    )
    return f"{cpu:.0f}", f"{wall:.0f}", f"{max(each.wall for each in taken):.0f}"


def run() -> Table:
    return asyncio.run(measure())
