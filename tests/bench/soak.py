"""Hours of polls at speed: what the dashboard holds at the end, beside what it held early on.

Runs, instances, fleets and events come and go, the connection is lost now and then, and somebody
goes through the screens. It is measured three times on the same screens at rest: after the first
fifth of the polls, after half of them, and at the end. It fails where what Python has allocated is
a twentieth more at the end than after a fifth, or the memory of the process than after half: free
pieces between what is used add up for some hours before they are used again.

What functions remember of their results up to a number is not looked at: it is emptied before each
look, since Textual and Rich have so many such caches that they fill for hours (pieces of lines up
to 16,384, areas up to 4,096 for each thing that is done with them). A cache without a bound counts.

The list of events follows what is new at both times, and keeps its newest 1,000. Whether somebody
looks further back, for which it keeps 5,000, hangs on the keys that were pressed: that would hide
what grows, or look like it.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import os
import random
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from textual.events import Key, Resize
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widget import Widget

from dstack_api_client.events.stream import FOLLOWED
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import Update
from dstack_api_client.routers.watch import OverSsh, RouterWatch
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.events_view import EventsView
from tests.builders.apps import app_reading
from tests.builders.followed_feed import Clock
from tests.servers.churn import Churn, ChurningServer
from tests.waiting import until

from .table import Table

#: Eight hours of a poll every two seconds.
POLLS = 14_400
SIZE = (140, 40)
#: It takes minutes: it runs only where it is named.
ONLY_IF_NAMED = True
#: The share of memory that may be more at the end.
FLAT = 0.05
#: What `functools.lru_cache` makes of a function.
_CACHED = functools._lru_cache_wrapper
_WRAPPED = (classmethod, staticmethod)
#: Polls between two things that somebody does.
_EVERY = 12
_TURNS = 10
#: Seconds that some polls take at most: on a busy machine, where this gives way, minutes.
_LIMIT = 300


def forget_results() -> None:
    """Empties the caches of functions that remember results up to a number."""
    for each in remembering():
        each.cache_clear()


def remembering() -> Iterator[Any]:
    """The functions and methods of all modules that remember results up to a number.

    Not by the collector: it does not know of what the app has frozen.
    """
    for module in list(sys.modules.values()):
        for found in list(vars(module).values()):
            members = list(vars(found).values()) if isinstance(found, type) else [found]
            for member in members:
                called = member.fget if isinstance(member, property) else member
                called = called.__func__ if isinstance(called, _WRAPPED) else called
                if isinstance(called, _CACHED) and called.cache_parameters()["maxsize"] is not None:
                    yield called


def _trim() -> None:
    """Gives memory that is free back to the system, where the C library can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class Held:
    """What the process holds.

    Attributes:
        resident: Kilobytes of memory.
        blocks: Blocks that Python has allocated.
        objects: What the collector of garbage knows.
        tasks: Tasks of the loop.
        threads: Threads.
        descriptors: Open files and sockets.
        widgets: Widgets and screens that the app knows.
        left: Those that it knows no more, and that something holds all the same.
        timers: Timers and other calls that the loop has before it.
    """

    resident: int
    blocks: int
    objects: int
    tasks: int
    threads: int
    descriptors: int
    widgets: int
    left: int
    timers: int

    @classmethod
    def by(cls, app: FleetsApp) -> Held:
        """What is held now."""
        forget_results()
        for _ in range(3):
            gc.collect()
        _trim()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        loop: Any = asyncio.get_running_loop()
        known = set(map(id, app._registry))
        return cls(
            resident=pages * os.sysconf("SC_PAGE_SIZE") // 1024,
            blocks=sys.getallocatedblocks(),
            objects=len(gc.get_objects()) + gc.get_freeze_count(),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
            widgets=len(app._registry),
            left=sum(
                isinstance(each, Widget) and id(each) not in known for each in gc.get_objects()
            ),
            timers=sum(not each.cancelled() for each in loop._scheduled),
        )


@dataclass(frozen=True)
class Soaked:
    """What came of it."""

    early: Held
    middle: Held
    late: Held
    polls: int
    lost: int
    happened: int
    keys: int

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is wrong with it: memory that is not flat."""
        grown = {
            "What is allocated": self.late.blocks / self.early.blocks - 1,
            "Memory": self.late.resident / self.middle.resident - 1,
        }
        return tuple(
            f"{what} grew by {share * 100:.1f} %: {FLAT:.0%} is the most."
            for what, share in grown.items()
            if share > FLAT
        )


class ChurningFeed(Feed):
    """Polls a project in which something happens before each poll; stands still when told to.

    Attributes:
        polls: How many polls there were.
        stop_at: Before which poll it stands still.
        goes_on: Set while it does not.
    """

    app: FleetsApp

    def __init__(self, client: Client, churn: Churn, clock: Clock, routers: RouterWatch) -> None:
        super().__init__(client, "main", routers=routers, now=clock.now, monotonic=clock.monotonic)
        self._churn = churn
        self.polls = 0
        self.stop_at = 1
        self.goes_on = asyncio.Event()

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        while self.polls >= self.stop_at:
            self.goes_on.clear()
            await self.goes_on.wait()
        self.polls += 1
        self._churn.server.now += 2.0
        self._churn.between_polls()
        async for update in super().poll(full=full):
            yield update
        while self.app.message_queue_size:
            await turn()  # the screens keep up, as they do in two seconds

    def go_on(self, polls: int) -> None:
        """Lets it poll so often."""
        self.stop_at = self.polls + polls
        self.goes_on.set()

    @property
    def stands_still(self) -> bool:
        """Whether it has polled as often as it was to."""
        return self.polls >= self.stop_at and not self.goes_on.is_set()


async def turn() -> None:
    """Lets the loop go round once."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(done.set_result, None)
    await done


class Somebody:
    """Goes through the screens, and changes nothing.

    Attributes:
        keys: How many keys were pressed.
    """

    def __init__(self, app: FleetsApp, pilot: Pilot[int], run_id: str, rng: random.Random) -> None:
        self._app = app
        self._pilot = pilot
        self._run_id = run_id
        self._rng = rng
        self.keys = 0
        self._acts: list[Callable[[], Any]] = [
            lambda: self._press(*rng.choices(("1", "2", "3", "4"), k=2)),
            lambda: self._press("down", "down", "enter", "tab", "escape"),
            self._service,
            self._replica,
            lambda: self._press("s", "S", "slash", "f", "escape"),
            lambda: self._press("question_mark", "escape"),
            lambda: self._press("ctrl+p", "f", "escape", "escape"),
            lambda: self._press("colon", "x", "escape"),
            lambda: self._press("e", "down", "escape", "escape"),
            self._pause,
            self._resize,
        ]

    async def act(self) -> None:
        """Does something."""
        await self._rng.choice(self._acts)()

    async def all_acts(self) -> None:
        """Does each thing once: what is made at the first time stays."""
        for act in self._acts:
            await act()
        await self._press("1", "2", "3", "4")

    async def rest(self) -> None:
        """Goes back to the list of the fleets, and waits until all is painted."""
        await self._resize(SIZE)

        async def at_rest() -> bool:
            app = self._app
            if len(app.screen_stack) > 1:
                await self._press("escape")
            elif app.current_mode != "fleets":
                await self._press("1")
            return len(app.screen_stack) == 1 and app.current_mode == "fleets"

        await until(at_rest, limit=_LIMIT, what="the list of the fleets")
        app = self._app
        for show in (app.do_services, app.do_problems, app.do_events, app.do_fleets):
            show("")  # each list is made when it is first gone to, and stays
            for _ in range(_TURNS):
                await turn()
        await self._follow_events()
        app.said.log.clear()
        for _ in range(_TURNS):
            await turn()
        await self._pilot.pause()

    async def _follow_events(self) -> None:
        """Has the list of events follow what is new, as where nobody looks further back."""
        self._app.do_events("")
        view = self._app.screen.query_one(EventsView)
        view.to_newest()
        view.table.filter_text = ""

        def follows() -> bool:
            view.reread()
            return len(view.table.keys) <= FOLLOWED

        await until(follows, limit=_LIMIT, what="the newest events")
        self._app.do_fleets("")

    async def _resize(self, size: tuple[int, int] | None = None) -> None:
        width, height = size or (self._rng.choice((60, 140)), self._rng.choice((16, 40)))
        self._app.post_message(Resize(Size(width, height), Size(width, height)))
        await self._press()

    async def _press(self, *keys: str) -> None:
        self.keys += len(keys)
        for key in keys:
            # A pilot would wait until nothing is done any more, which never is.
            self._app.post_message(Key(key, key if len(key) == 1 else None))
            for _ in range(_TURNS):
                await turn()
        app = self._app
        await until(
            lambda: not app.message_queue_size and app._keys.at_rest, limit=_LIMIT, what="the keys"
        )

    async def _pause(self) -> None:
        await self._press("p", "ctrl+r")
        if self._app.paused:
            self._app.do_pause("")

    async def _service(self) -> None:
        self._app.open_service(self._run_id)
        await self._press("down", *self._rng.choices(("d", "r", "o", "t", "v", "y"), k=4))
        await self._press("escape")

    async def _replica(self) -> None:
        if self._app.snapshot is not None and self._app.snapshot.replicas:
            self._app.open_replica(self._rng.choice(list(self._app.snapshot.replicas)))
            await self._press("tab", "escape")


@asynccontextmanager
async def dashboard(
    rng: random.Random, folder: Path
) -> AsyncIterator[tuple[FleetsApp, Pilot[int], ChurningFeed, Churn]]:
    """The dashboard on a project in which something happens all the time."""
    server = ChurningServer()
    churn = Churn(server, rng)
    clock = Clock(server)
    async with (
        server.client(monotonic=clock.monotonic) as client,
        RouterWatch(client, "main", over_ssh=OverSsh.NONE, now=clock.now) as routers,
    ):
        feed = ChurningFeed(client, churn, clock, routers)

        app = app_reading(feed, client, folder, interval=0.0, now=clock.now)
        feed.app = app
        async with app.run_test(size=SIZE) as pilot:
            yield app, pilot, feed, churn


async def soak(polls: int, seed: int, *, early: float = 0.2) -> Soaked:
    """Polls so often, and looks what is held.

    Args:
        polls: How often.
        seed: Where what happens comes from.
        early: After which share of them it is looked for the first time.
    """
    rng = random.Random(seed)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        async with dashboard(rng, Path(folder)) as (app, pilot, feed, churn):
            somebody = Somebody(app, pilot, churn.server.runs[0]["id"], rng)
            first = round(polls * early)

            def read() -> bool:
                if feed.stands_still:
                    feed.go_on(1)  # the connection may have been lost at the first
                return app.snapshot is not None and app.snapshot.complete

            await until(read, what="data")
            await somebody.all_acts()
            half = max(first, polls // 2)
            for part in (first, half - first, polls - half):
                end = feed.polls + part
                while feed.polls < end:
                    feed.go_on(min(_EVERY, end - feed.polls))
                    await somebody.act()
                    try:
                        await until(lambda: feed.stands_still, limit=_LIMIT, what="the polls")
                    except AssertionError as error:
                        here = f"{feed.polls} polls, {app.front!r}, paused: {app.paused}"
                        raise AssertionError(f"{error}: {here}, {app.return_value!r}") from None
                await somebody.rest()
                assert app.is_running
                measured.append(Held.by(app))
            return Soaked(*measured, feed.polls, churn.lost, churn.happened, somebody.keys)


def _more(before: int, after: int) -> str:
    return f"{(after / before - 1) * 100:+.1f} %" if before else ""


def run() -> Table:
    seed = random.randrange(2**32)
    done = asyncio.run(soak(POLLS, seed))
    looks = (done.early, done.middle, done.late)
    rows = [
        (each.name, *(f"{held:,}" for held in row), *(_more(held, row[-1]) for held in row[:-1]))
        for each, *row in zip(fields(Held), *map(astuple, looks), strict=True)
    ]
    return Table(
        f"{done.polls:,} polls, seed {seed}",
        ("held", "after a fifth", "half", "at the end", "more than after a fifth", "half"),
        rows,
        f"{done.happened:,} things happened, {done.lost:,} polls found no connection,"
        f" {done.keys:,} keys were pressed.",
        wrong=done.wrong,
    )
