"""Keys on the logs of a service while ten replicas write 5,000 lines a second.

The same keys on the same screen, with replicas that write nothing, with those that write, and with
those that write into a filter. From the key to the write to the terminal that shows the cursor on
another line, in processor time of the dashboard's own thread: what it does meanwhile for the lines
counts, what other programs do does not. It polls as often as it does by default.
"""

from __future__ import annotations

import asyncio
import base64
import statistics
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

from dstack_api_client.transport import wire
from dstack_fleets_tui.screens.logs import LogsScreen
from tests.bench.livetable import CountingDriver
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.snapshots import NOW, replica, service, snapshot
from tests.waiting import until

from .table import Table

REPLICAS = 10
LINES_A_SECOND = 5000
SIZE = (160, 50)
KEYS = 150
_TEXT = (
    'INFO:     10.0.{0}.{1}:54028 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    "INFO engine.py:812] Avg prompt throughput: 15{1}.1 tokens/s, Running: {0} reqs, Waiting: 0",
    "ERROR request {0}-{1} was aborted: the client has gone away",
)


class WritingDriver(CountingDriver):
    """Says when something was written."""

    wrote = asyncio.Event()

    def write(self, data: str) -> None:
        super().write(data)
        WritingDriver.wrote.set()


class WritingClient(GivenClient):
    """Its replicas write at a steady rate, by the clock."""

    def __init__(self, lines_a_second: float) -> None:
        super().__init__()
        self._rate = lines_a_second / REPLICAS
        self._began = time.monotonic()
        self.read = self._given = 0
        self.logs = SimpleNamespace(poll=self._poll)

    def write_now(self, lines: int) -> None:
        """Has each replica write lines at once, and nothing then."""
        self._given = lines // REPLICAS

    async def _poll(
        self, project: str, run_name: str, submission_id: str, **asked: object
    ) -> wire.Logs:
        start, limit = asked["start"], asked["limit"]
        assert isinstance(limit, int)
        written = self._given + int((time.monotonic() - self._began) * self._rate)
        first = 0
        if isinstance(start, datetime):
            first = max(0, round((start - NOW).total_seconds() * (self._rate or 1)))
        numbers = range(max(first, written - limit), written)
        self.read += len(numbers)
        # As JSON that a server sends, from elsewhere: to take it apart is the dashboard's work.
        body = await asyncio.to_thread(self._body, numbers)
        return wire.msgspec.json.decode(body, type=wire.Logs)

    def _body(self, numbers: range) -> bytes:
        return wire.msgspec.json.encode({"logs": [self._event(each) for each in reversed(numbers)]})

    def _event(self, number: int) -> dict[str, str]:
        text = _TEXT[number % len(_TEXT)].format(number % 256, number % 97)
        at = NOW + timedelta(seconds=number / (self._rate or 1))
        message = base64.b64encode(f"{text}\n".encode()).decode()
        return {"timestamp": at.isoformat(), "message": message}


async def measure(lines_a_second: float, *before: str) -> tuple[list[float], int, int]:
    """Milliseconds that each key takes, how many lines were read, and how many are shown."""
    replicas = [replica("chat", number) for number in range(REPLICAS)]
    shot = snapshot(
        services=[service(replica_keys=tuple(each.key for each in replicas))], replicas=replicas
    )
    client = WritingClient(lines_a_second)
    app = app_on(GivenFeed(live(shot)), None, client)
    app.now = lambda: datetime.now(timezone.utc)
    app.driver_class = WritingDriver
    WritingDriver.wrote = asyncio.Event()
    times = []
    async with app.run_test(headless=False, size=SIZE) as pilot:
        await until(lambda: app.snapshot is not None)
        app.open_logs("s-chat")
        await until(lambda: isinstance(app.screen, LogsScreen) and app.screen.is_mounted)
        log = app.screen.log_lines
        await pilot.press("colon", *"since start", "enter")
        if lines_a_second:
            await until(lambda: len(log.lines) > 15_000)
        else:
            client.write_now(2000)
            await until(lambda: len(log.lines) == 2000)
        await pilot.press(*before, "up")
        for turn in range(KEYS):
            # Between keys people look; what is read meanwhile must not hold the next key up.
            await asyncio.sleep(0.05)
            known, begin = log.entry, time.thread_time()
            app.simulate_key(("up", "up", "pageup", "down", "pagedown")[turn % 5])
            while log.entry is known or not WritingDriver.wrote.is_set():
                WritingDriver.wrote.clear()
                await asyncio.wait_for(WritingDriver.wrote.wait(), 30)
            times.append((time.thread_time() - begin) * 1000)
        return times, client.read, len(log.passing)


def _row(title: str, times: list[float], base: list[float], read: int) -> tuple[str, ...]:
    slow = statistics.quantiles(times, n=20)[-1]
    return (
        title,
        f"{statistics.median(times):.1f}",
        f"{slow:.1f}",
        f"{max(times):.0f}",
        f"{statistics.median(times) / statistics.median(base):.1f}",
        f"{slow / statistics.quantiles(base, n=20)[-1]:.1f}",
        f"{read:,}",
    )


def run() -> Table:
    quiet, _, _ = asyncio.run(measure(0))
    rows = [_row("nothing new", quiet, quiet, 0)]
    for title, before in (
        ("5,000 lines a second", ()),
        ("the same, filtered", ("slash", *"error", "enter")),
    ):
        times, read, _ = asyncio.run(measure(LINES_A_SECOND, *before))
        rows.append(_row(title, times, quiet, read))
    return Table(
        f"Keys on the logs of a service of {REPLICAS} replicas, {SIZE[0]}x{SIZE[1]}",
        ("", "median ms", "95 % ms", "slowest", "ratio", "95 % ratio", "lines read"),
        rows,
        f"Of {KEYS} keys in a row; the replicas are read every two seconds.",
    )
