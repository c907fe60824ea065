"""The clock of the machine is set while the dashboard runs: it reads on, and says what is so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import Update
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.live.lookout import Lookout
from dstack_fleets_tui.screens.fleets import FleetsScreen
from tests.builders import answers
from tests.builders.apps import GivenFeed, app_on, app_reading, live
from tests.builders.changing_server import ChangingServer
from tests.builders.snapshots import NOW, instance, snapshot
from tests.screens import SIZE, filled, header, texts
from tests.waiting import until

STEP = timedelta(minutes=25)
STEPS = pytest.mark.parametrize("step", [STEP, -STEP], ids=["forwards", "back"])


@dataclass
class Clock:
    """A clock that is set."""

    moment: datetime = answers.START + timedelta(hours=1)

    def now(self) -> datetime:
        return self.moment


class CountedFeed(Feed):
    """A feed that counts its polls."""

    polls = 0

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        self.polls += 1
        async for update in super().poll(full=full):
            yield update


@asynccontextmanager
async def dashboard(
    server: ChangingServer, clock: Clock, folder: Path
) -> AsyncIterator[tuple[FleetsApp, CountedFeed]]:
    """The dashboard on a server in memory, by a clock that is set."""
    async with server.client() as client:
        feed = CountedFeed(client, "main", now=clock.now)

        app = app_reading(feed, client, folder, interval=0.05, now=clock.now)
        async with app.run_test(size=SIZE):
            await until(lambda: isinstance(app.screen, FleetsScreen), what="the fleets")
            await filled(app)
            await until(lambda: "live" in header(app))
            yield app, feed


@STEPS
async def test_it_reads_on_no_more_and_no_less_often(tmp_path: Path, step: timedelta) -> None:
    server, clock = ChangingServer(), Clock()
    async with dashboard(server, clock, tmp_path) as (app, feed):
        for _ in range(2):
            before = feed.polls
            clock.moment += step
            server.asked.clear()
            await until(lambda before=before: feed.polls > before + 5, what="the next polls")
            await until(lambda: "live" in header(app), what="that it is live")
            polls = feed.polls - before
            assert server.asked["events/list"] <= polls + 1, "none asks twice"
            assert server.asked["server/get_info"] == 0, "the connection is the same"
            assert server.asked["runs/list"] <= 4 * polls
        assert app.is_running


@STEPS
async def test_what_changes_is_shown_and_ages_go_by_the_clock(
    tmp_path: Path, step: timedelta
) -> None:
    server, clock = ChangingServer(), Clock()
    server.fleets[0]["created_at"] = answers.at(3600 - 210)
    async with dashboard(server, clock, tmp_path) as (app, _):
        key = server.fleets[0]["id"]
        await until(lambda: texts(app, key)["age"] == "3m")
        clock.moment += step
        server.instances.append(answers.instance(1, server.fleets[0]))
        server.now = 3600.0
        server.happens("Instance created", ("instance", server.instances[0]["id"], "fleet-1"))
        assert app.snapshot is not None
        await until(lambda: app.snapshot and app.snapshot.instances, what="the instance")
        expected = "28m" if step > timedelta(0) else "0s"
        await until(lambda: texts(app, key)["age"] == expected)
        clock.moment -= step
        await until(lambda: texts(app, key)["age"] == "3m")


@STEPS
async def test_a_read_that_hangs_is_seen_though_the_clock_was_set(step: timedelta) -> None:
    """Set back, the last read would be in the future, and live for as long."""
    app = app_on(GivenFeed(live(snapshot())))
    moment = NOW
    app.now = lambda: moment
    async with app.run_test(size=SIZE):
        await filled(app)
        await until(lambda: "live" in header(app))
        moment = NOW + step
        assert app.header_state().connection == "late"


def test_problems_are_looked_for_though_the_clock_was_set_back() -> None:
    lookout = Lookout()
    shot = snapshot(instances=[instance("gpu-0", unreachable=True)])
    seen: list[datetime] = []
    look = lookout._watch.look
    lookout._watch.look = lambda snapshot, now, events: (  # type: ignore[method-assign]
        seen.append(now),
        look(snapshot, now, events),
    )[1]
    for moment in (NOW, NOW + timedelta(seconds=1), NOW - STEP, NOW - STEP + timedelta(seconds=1)):
        lookout.look(live(shot, shot), shot, moment, ())
    assert seen == [NOW, NOW - STEP]
