"""What a poll that brings nothing new costs the dashboard, with few replicas and with many.

The server is in memory, in the same process; what it takes itself is left out. Processor time, of
the feed and of the app with each of its lists in front. What comes once after the first read, the
past of the trends, is waited for.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import Update
from dstack_api_client.routers.watch import OverSsh, RouterWatch
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.actions import places
from dstack_fleets_tui.app.app import FleetsApp
from tests.builders import answers
from tests.builders.apps import app_reading
from tests.builders.followed_feed import Clock
from tests.servers.fake_server import FakeServer
from tests.waiting import until

from .figures import Figure
from .soak import turn
from .table import Table

REPLICAS = (100, 1_000, 10_000)
POLLS = 40
LISTS = (places.FLEETS, places.SERVICES, places.PROBLEMS)
SIZE = (140, 40)
#: What dstack's server takes for its answers, measured: 0.9 s for 11 MB.
_SECONDS_A_BYTE = 0.9 / 11e6
#: Seconds between polls, by which what was read is not late; each is asked for.
_INTERVAL = 60.0
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
            answer = super().__call__(request)
            content = answer.read()
            self.now += len(content) * _SECONDS_A_BYTE
            return httpx.Response(
                answer.status_code, headers=answer.headers, stream=httpx.ByteStream(content)
            )
        finally:
            self.seconds += time.process_time() - began

    def _events(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Those after what was seen last, without a look at all: that would cool the caches."""
        last = query.get("prev_recorded_at")
        if (
            not query.get("ascending")
            or last is None
            or {"target_jobs", "target_instances"} & {*query}
        ):
            return super()._events(query)
        first = len(self.events)
        while first and answers.seconds(self.events[first - 1]["recorded_at"]) > answers.seconds(
            last
        ):
            first -= 1
        return self.events[first:][: query["limit"]]

    async def over_a_line(self, request: httpx.Request) -> httpx.Response:
        """Answers after others had their turn, as they have while a socket is waited for."""
        await turn()
        return self(request)


class SteppedFeed(Feed):
    """Polls when it is told to, and says what each poll took."""

    def __init__(self, client: Client, server: LargeServer, routers: RouterWatch) -> None:
        clock = Clock(server)
        super().__init__(client, "main", routers=routers, now=clock.now, monotonic=clock.monotonic)
        self.server = server
        self.go = asyncio.Event()
        self.polls = 0
        self.updates = 0

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        await self.go.wait()
        self.go.clear()
        self.server.now += 2.0
        async for update in super().poll(full=full):
            self.updates += 1
            yield update
        self.polls += 1


@asynccontextmanager
async def dashboard(replicas: int, folder: Path) -> AsyncIterator[tuple[FleetsApp, SteppedFeed]]:
    """The dashboard on a project with so many replicas."""
    server = LargeServer(replicas)
    clock = Clock(server)
    async with (
        server.client(
            monotonic=clock.monotonic, transport=httpx.MockTransport(server.over_a_line)
        ) as client,
        RouterWatch(client, "main", over_ssh=OverSsh.NONE, now=clock.now) as routers,
    ):
        feed = SteppedFeed(client, server, routers)

        app = app_reading(feed, client, folder, interval=_INTERVAL, now=clock.now)
        async with app.run_test(size=SIZE):
            yield app, feed


class Callbacks:
    """The longest callback of the event loop, in milliseconds of processor time.

    What the server in this process takes is left out.
    """

    def __init__(self, server: LargeServer) -> None:
        self._server = server
        self.longest = 0.0

    def __enter__(self) -> Callbacks:
        run = asyncio.events.Handle._run

        def timed(handle: asyncio.events.Handle) -> None:
            served, began = self._server.seconds, time.thread_time()
            run(handle)
            took = time.thread_time() - began - (self._server.seconds - served)
            self.longest = max(self.longest, took * 1000)

        self._patch = mock.patch.object(asyncio.events.Handle, "_run", timed)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


@dataclass(frozen=True)
class Taken:
    """Milliseconds of processor time.

    Attributes:
        first: The first read.
        updates: How often it was shown.
        loading: The longest callback in it.
        medians: The middle one of the polls after it, by the list in front.
        dearest: The dearest of those.
        quiet: The longest callback in them.
    """

    first: float
    updates: int
    loading: float
    medians: dict[str, float]
    dearest: float
    quiet: float


async def step(app: FleetsApp, feed: SteppedFeed) -> float:
    """Polls once, and has it shown.

    Returns:
        Processor time, in seconds, without the server's.
    """
    polls, served = feed.polls, feed.server.seconds
    began = time.process_time()
    feed.go.set()
    if app.session.poller is not None:
        app.session.poller.hurry()
    while feed.polls == polls or app.message_queue_size or app.screen.message_queue_size:
        await turn()
    return time.process_time() - began - (feed.server.seconds - served)


async def measure(replicas: int) -> Taken:
    """The first read, and the polls after it."""
    with tempfile.TemporaryDirectory() as folder:
        async with dashboard(replicas, Path(folder)) as (app, feed):
            first = 0.0
            with Callbacks(feed.server) as loading:
                while app.snapshot is None or not app.snapshot.complete:
                    first += await step(app, feed)
            updates = feed.updates
            await until(lambda: not _past(app), what="what was before the first read")
            took: dict[str, list[float]] = {}
            quiet = Callbacks(feed.server)
            for name in LISTS:
                app.switch_mode(name)
                await until(lambda: len(app.screen.query("LiveTable")) > 0, what="the list")
                for _ in range(5):
                    await step(app, feed)
                with quiet:
                    took[name] = [await step(app, feed) * 1000 for _ in range(POLLS)]
            return Taken(
                first * 1000,
                updates,
                loading.longest,
                {name: statistics.median(each) for name, each in took.items()},
                max(map(max, took.values())),
                quiet.longest,
            )


def _past(app: FleetsApp) -> bool:
    """Whether trends are still filled with what was before."""
    return any(each.group.startswith("past") and not each.is_finished for each in app.workers)


def run() -> Table:
    found = {replicas: asyncio.run(measure(replicas)) for replicas in REPLICAS}
    least = found[REPLICAS[0]]
    rows = [
        (
            f"{replicas:,} replicas",
            *(
                f"{value:,.1f} ms ({value / one:.1f})"
                for value, one in (
                    (taken.first, least.first),
                    *((taken.medians[name], least.medians[name]) for name in LISTS),
                    (taken.dearest, least.dearest),
                )
            ),
            f"{taken.updates}",
            f"{taken.loading:.1f} ms",
            f"{taken.quiet:.1f} ms",
        )
        for replicas, taken in found.items()
    ]
    most, fewer = found[10_000], found[1_000]
    before = {1_000: 14.0, 10_000: 136.0}
    return Table(
        "Processor time of the dashboard for polls of a project in which nothing changes",
        (
            *("", "first read", *(f"poll, {name}" for name in LISTS), "dearest poll"),
            *("updates of the first read", "longest callback, loading", "quiet"),
        ),
        rows,
        "In brackets: times as much as with the fewest replicas.",
        [
            *(
                Figure(
                    f"a poll that changes nothing, {replicas:,} replicas, {name} in front",
                    found[replicas].medians[name],
                    goal=5,
                    before=before[replicas] if name == places.FLEETS else None,
                )
                for name in LISTS
                for replicas in before
            ),
            Figure("the first read of 10,000 replicas", most.first, before=11_300),
            Figure(
                "the first read, from 1,000 to 10,000 replicas",
                *(most.first / fewer.first, "times"),
                goal=10,
                before=27,
            ),
            Figure("longest callback, loading 10,000", most.loading, goal=20, before=235),
            Figure("longest callback, quiet with 10,000", most.quiet, goal=20, before=129),
        ],
    )
