"""What a poll that brings nothing new costs the dashboard, with few replicas and with many.

The server is in memory, in the same process; what it takes itself is left out. Processor time, of
the feed and of the app with a list in front, at its own interval of polls.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from dstack_api_client.feed.feed import Feed, Update
from dstack_api_client.routers.watch import OverSsh, RouterWatch
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.app.app import FleetsApp
from tests.builders import answers
from tests.builders.apps import app_reading
from tests.builders.followed_feed import Clock
from tests.servers.fake_server import FakeServer
from tests.waiting import until

from .soak import turn
from .table import Table

REPLICAS = (100, 1_000, 10_000)
POLLS = 40
SIZE = (140, 40)
_PER_SERVICE = 100
_PER_FLEET = 50


class LargeServer(FakeServer):
    """A project of services of a hundred replicas each, one instance for each replica.

    Attributes:
        seconds: Processor time that its answers took.
    """

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.seconds = 0.0
        self.now = 10_000.0
        for number in range(-(-replicas // _PER_FLEET)):
            self.fleets.append(answers.fleet(number))
        for number in range(replicas):
            fleet = self.fleets[number // _PER_FLEET]
            self.instances.append(answers.instance(number, fleet, hostname=f"host-{number}"))
        for number in range(-(-replicas // _PER_SERVICE)):
            first = number * _PER_SERVICE
            jobs = [
                self._job(replica, first + replica, f"s-{number}")
                for replica in range(min(_PER_SERVICE, replicas - first))
            ]
            counts = {"replicas": {"min": len(jobs), "max": len(jobs)}}
            name = f"s-{number}"
            self.runs.append(answers.run(number, *jobs, name=name, configuration=counts))
        events = [
            answers.event(
                number,
                "Job assigned to instance",
                ("job", answers.ident(100_000 + number), ""),
                ("instance", answers.ident(1000 + number), ""),
                seconds=number * 1e-3 - 100,
            )
            for number in range(1, replicas + 1)
        ]
        self.events += events

    def _job(self, replica: int, number: int, name: str) -> dict[str, Any]:
        submission = answers.submission(number)
        submission["job_provisioning_data"]["hostname"] = f"host-{number}"
        return answers.job(replica, submission, name=name)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        began = time.process_time()
        try:
            # As it comes over a line, so that the client counts what it reads.
            content = super().__call__(request).content
            return httpx.Response(200, stream=httpx.ByteStream(content))
        finally:
            self.seconds += time.process_time() - began


class SteppedFeed(Feed):
    """Polls when it is told to, and says what each poll took."""

    def __init__(self, client: Client, server: LargeServer, routers: RouterWatch) -> None:
        clock = Clock(server)
        super().__init__(client, "main", routers=routers, now=clock.now, monotonic=clock.monotonic)
        self.server = server
        self.go = asyncio.Event()
        self.polls = 0

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        await self.go.wait()
        self.go.clear()
        self.server.now += 2.0
        async for update in super().poll(full=full):
            yield update
        self.polls += 1


@asynccontextmanager
async def dashboard(replicas: int, folder: Path) -> AsyncIterator[tuple[FleetsApp, SteppedFeed]]:
    """The dashboard on a project with so many replicas."""
    server = LargeServer(replicas)
    clock = Clock(server)
    async with (
        server.client(monotonic=clock.monotonic) as client,
        RouterWatch(client, "main", over_ssh=OverSsh.NONE, now=clock.now) as routers,
    ):
        feed = SteppedFeed(client, server, routers)

        app = app_reading(feed, client, folder, interval=0.0, now=clock.now)
        async with app.run_test(size=SIZE):
            yield app, feed


async def step(app: FleetsApp, feed: SteppedFeed) -> float:
    """Polls once, and has it shown.

    Returns:
        Processor time, in seconds, without the server's.
    """
    polls, served = feed.polls, feed.server.seconds
    began = time.process_time()
    feed.go.set()
    while feed.polls == polls or app.message_queue_size or app.screen.message_queue_size:
        await turn()
    return time.process_time() - began - (feed.server.seconds - served)


async def measure(replicas: int) -> tuple[float, float, float]:
    """The first read, and the middle and the dearest of the polls after it, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        async with dashboard(replicas, Path(folder)) as (app, feed):
            first = 0.0
            while app.snapshot is None or not app.snapshot.complete:
                first += await step(app, feed)
            await until(lambda: len(app.screen.query("LiveTable")) > 0, what="the list")
            for _ in range(5):
                await step(app, feed)
            took = [await step(app, feed) * 1000 for _ in range(POLLS)]
            return first * 1000, statistics.median(took), max(took)


def run() -> Table:
    rows = []
    base: tuple[float, ...] | None = None
    for replicas in REPLICAS:
        found = asyncio.run(measure(replicas))
        base = base or found
        cells = [
            f"{value:,.1f} ms ({value / one:.1f})" for value, one in zip(found, base, strict=True)
        ]
        rows.append((f"{replicas:,} replicas", *cells))
    return Table(
        "Processor time of the dashboard for polls of a project in which nothing changes",
        ("", "first read", "poll, median", "poll, dearest"),
        rows,
        "In brackets: times as much as with the fewest replicas.",
    )
