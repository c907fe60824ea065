"""What following a large project costs its server and the line, beside reading everything again.

Times are from sending a request to the last byte of its answer on loopback, so what the server
needs and a little more. Following is measured over as many polls as a full read in the background
is spread over; the clock that paces it is moved on between polls, so that nobody waits.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import Update
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE
from dstack_api_client.transport.transport import Meter
from dstack_fleets_tui.live.poller import Poller
from dstack_simulator import Simulator

from .figures import Figure
from .table import Table

INTERVAL = 2.0
POLLS = 150
CHANGES = 5
LISTED = 20
_FIRST = "the server's time for the first read against one plain read"
_POLL = "a poll with its background read"


class Clock:
    """Real time, and what was skipped of it."""

    skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped


@dataclass(frozen=True)
class Cost:
    """What reading took from the server and the line."""

    requests: int
    bytes: int
    seconds: float


@dataclass
class Polls:
    """What polls cost, without and with the full read in the background."""

    alone: list[Cost]
    all: list[Cost]


async def plain_full_read(client: Client, project: str) -> Cost:
    """Everything, as simply as can be."""
    before = replace(client.meter)
    await client.fleets.list(project)
    after = None
    while runs := await client.runs.page(project, limit=PAGE, after=after):
        after = runs[-1].submitted_at, runs[-1].id
    return spent(client.meter, before)


def spent(now: Meter, before: Meter) -> Cost:
    return Cost(
        now.requests - before.requests, now.bytes - before.bytes, now.seconds - before.seconds
    )


async def polled(client: Client, feed: Feed) -> tuple[list[Update], list[Cost]]:
    """The updates of a poll, what each cost, and what came after the last."""
    updates, costs, before = [], [], replace(client.meter)
    async for update in feed.poll():
        updates.append(update)
        costs.append(spent(client.meter, before))
        before = replace(client.meter)
    # A read in the background that brings nothing is no update.
    return updates, [*costs, spent(client.meter, before)]


async def follow(client: Client, feed: Feed, clock: Clock) -> Polls:
    polls = Polls([], [])
    for _ in range(POLLS):
        clock.skipped += INTERVAL
        _, costs = await polled(client, feed)
        polls.alone.append(costs[0])
        polls.all.append(added(costs))
    return polls


def added(costs: list[Cost]) -> Cost:
    return Cost(
        sum(cost.requests for cost in costs),
        sum(cost.bytes for cost in costs),
        sum(cost.seconds for cost in costs),
    )


async def changes_seen(feed: Feed, sim: Simulator, services: list[Service]) -> list[float]:
    """Seconds from another client's change to the update that shows it, polling as the app does."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    def look(update: Update) -> None:
        for key in update.difference.services.changed:
            if update.snapshot and update.snapshot.services[key].status == "terminating":
                seen.put_nowait((key, loop.time()))

    polling = asyncio.create_task(Poller(feed, look, interval=INTERVAL).run())
    took = []
    for number, service in enumerate(services):
        await asyncio.wait({loop.create_future()}, timeout=0.3 + number * 0.4)
        await sim.stop_run(service.name)
        changed_at = loop.time()
        while (shown := await asyncio.wait_for(seen.get(), 30))[0] != service.id:
            continue
        took.append(shown[1] - changed_at)
    polling.cancel()
    return took


def row(name: str, costs: list[Cost], pick: Callable[[list[float]], float]) -> list[str]:
    return [
        name,
        f"{pick([cost.requests for cost in costs]):.1f}",
        f"{pick([cost.bytes for cost in costs]) / 1000:,.1f} kB",
        f"{pick([cost.seconds for cost in costs]) * 1000:,.1f} ms",
    ]


def mean(values: list[float]) -> float:
    return statistics.fmean(values)


async def measure(sim: Simulator) -> Table:
    clock = Clock()
    async with Client(sim.server_url, sim.token) as client:
        plain = [await plain_full_read(client, sim.project) for _ in range(3)]
        feed = Feed(client, sim.project, monotonic=clock)
        updates, costs = await polled(client, feed)
        snapshot = updates[-1].snapshot
        assert snapshot is not None
        first = added(costs)
        plainly = statistics.median(cost.seconds for cost in plain)
        means, largest = [], []
        rows = [
            row("plain full read", plain, statistics.median),
            row("first read of the feed, page by page", [first], mean),
        ]
        services = list(snapshot.services.values())
        shown = [service.id for service in services[:LISTED]]
        usual = min(services, key=lambda service: abs(service.active - 30))
        settings = {
            "nothing on screen": {},
            f"{LISTED} services listed": {"services": shown},
            f"a service of {usual.active} replicas open": {"opened_service": usual.id},
            "a fleet of 100 instances open": {"opened_fleet": next(iter(snapshot.fleets))},
        }
        for name, focus in settings.items():
            feed.focus(**focus)
            polls = await follow(client, feed, clock)
            rows.append(row(f"a poll, {name}: mean", polls.alone, mean))
            rows.append(row("  with the background read: mean", polls.all, mean))
            rows.append(row("  with the background read: largest", polls.all, max))
            means.append(mean([cost.bytes for cost in polls.all]) / 1000)
            largest.append(max(cost.bytes for cost in polls.all) / 1000)
        feed.focus(services=shown)
        seen = await changes_seen(feed, sim, services[:CHANGES])
    return Table(
        f"Reading {counted(snapshot)}, a poll every {INTERVAL:g} s",
        ["what", "requests", "bytes", "time"],
        rows,
        f"Another client's change was shown after {', '.join(f'{each:.1f}' for each in seen)} s"
        f" (most: {max(seen):.1f} s).",
        [
            Figure(_FIRST, first.seconds / plainly, "times", goal=1.2, before=2.3),
            Figure(f"{_POLL}, mean of the dearest list", max(means), "kB", goal=50, before=91),
            Figure(f"{_POLL}, the largest", max(largest), "kB", goal=300, before=820),
        ],
    )


def counted(snapshot: Snapshot) -> str:
    return (
        f"{len(snapshot.fleets)} fleets, {len(snapshot.instances)} instances,"
        f" {len(snapshot.services)} services, {len(snapshot.replicas)} replicas"
    )


def run() -> Table:
    with Simulator("large") as sim:
        return asyncio.run(measure(sim))
