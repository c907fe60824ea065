"""Polls at speed while all comes and goes: what the dashboard holds does not grow.

`python -m tests.bench soak` does eight hours' worth of it, and looks at memory too: that is flat
once caches are full, after some 2,400 polls.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import weakref
from typing import Any

import pytest
from textual import events
from textual.screen import Screen
from textual.strip import Strip

from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.app.reading import _spare_the_collector
from tests.bench import soak as soaking
from tests.bench.soak import soak
from tests.builders import answers, routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.generation import SEED
from tests.screens import SIZE, filled
from tests.servers import churn as churn_of_server
from tests.servers.churn import Churn, ChurningServer
from tests.waiting import until

POLLS = 600
#: After which share of the polls it is measured first: by then all has been opened once.
EARLY = 0.4
#: A screen that was opened since stays, with its widgets and tasks; 30 things were done since.
SOME = 20
#: Widgets of a screen that was just left: what it asked for may still hold it.
LEFT = 150


def test_what_is_left_after_a_long_time_goes() -> None:
    """As screens that were open for a while: each is a ring of objects, and old when it is left."""
    thresholds = gc.get_threshold()
    _spare_the_collector(again=False)  # what all tests before left is not walked through
    try:
        here = len(gc.get_objects())
        rings: list[list[Any]] = []
        for _ in range(300):
            rings.append([])
            for _ in range(5000):
                ring: list[Any] = []
                ring.append(ring)
                rings[-1].append(ring)
            del rings[:-60]
        assert len(gc.get_objects()) - here < 800_000, "of 1,500,000, 300,000 in use"
    finally:
        gc.set_threshold(*thresholds)


async def test_what_was_drawn_of_a_screen_goes_with_it() -> None:
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        held = []
        for _ in range(6):
            app.open_service(routed_service.RUN)
            await pilot.pause()
            await pilot.press("o", "escape")
            await until(lambda: len(app.screen_stack) == 1, what="the list")
            await pilot.pause()
            gc.collect()
            held.append(sum(type(each) is Strip for each in gc.get_objects()))
        # The last one may not have gone yet.
        assert min(held[-3:]) < held[0] + 150, held


class _Keeping(Screen[None]):
    """Keeps the keys that come, as an editor does whose fields are not there yet."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[events.Key] = []

    def on_key(self, event: events.Key) -> None:
        self.kept.append(event)


async def test_a_screen_that_was_left_with_keys_that_wait_goes() -> None:
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await app.push_screen(_Keeping())
        left = weakref.ref(app.screen)
        await pilot.press("4")
        await until(lambda: isinstance(app.screen, _Keeping) and app.screen.kept, what="the key")
        await app.pop_screen()
        await pilot.press("down", "up")  # what came last is remembered, and where it went

        def is_gone() -> bool:
            gc.collect()
            return left() is None

        await until(is_gone, limit=10, what="that nothing holds the screen")


@pytest.mark.slow
@pytest.mark.generated
async def test_nothing_grows_with_the_polls() -> None:
    sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={SEED}\n")
    done = await soak(POLLS, SEED, early=EARLY)
    early, late = done.early, done.late
    assert done.polls >= POLLS
    assert done.lost
    for name in ("tasks", "threads", "descriptors", "widgets", "timers"):
        assert getattr(late, name) <= getattr(early, name) + SOME, (name, done)
    assert late.left <= LEFT, done


async def test_the_server_that_is_polled_piles_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the process whose memory the bench measures."""
    monkeypatch.setattr(churn_of_server, "_TIMES", 500)
    server = ChurningServer()
    churn = Churn(server, random.Random(SEED))
    held = []
    async with server.client(monotonic=lambda: server.now) as client:
        feed = Feed(client, "main", monotonic=lambda: server.now)
        for number in range(1, 801):
            server.now += 2.0
            churn.between_polls()
            async for _ in feed.poll():
                pass
            if number % 400 == 0:
                held.append((len(server.wanted), answers.seconds.cache_info().currsize))
                assert len(server.events) <= 400
    for wanted, times in held:
        assert wanted <= 2
        assert times <= 1_100, "one poll reads those of 400 events"


def test_results_that_are_remembered_up_to_a_number_are_not_looked_at() -> None:
    names = {each.__qualname__ for each in soaking.remembering()}
    assert names >= {
        "Segment._split_cells", "Region.union", "Region.intersection", "Region.shrink",
        "Region.grow", "Region.__contains__", "Scalar.resolve", "Color.blend", "Style._add",
    }  # fmt: skip
    soaking.forget_results()
    assert {each.cache_info().currsize for each in soaking.remembering()} == {0}


@pytest.mark.slow
@pytest.mark.parametrize(("kilobytes", "is_wrong"), [(0, False), (1, True)])
async def test_a_kilobyte_with_each_poll_is_found(kilobytes: int, is_wrong: bool) -> None:
    """In a process of its own: what other tests left would be most of its memory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LEAKING, str(kilobytes), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert bool(said.strip()) is is_wrong, said
    if is_wrong:
        assert b"Memory grew by" in said


#: Measures as the soak does, before and after what leaks in half of its polls.
_LEAKING = """
import asyncio, random, sys, tempfile
from pathlib import Path
from tests.bench.soak import POLLS, Held, Soaked, Somebody, dashboard
from tests.waiting import until

async def main(kilobytes):
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        async with dashboard(rng, Path(folder)) as (app, pilot, feed, churn):
            somebody = Somebody(app, pilot, churn.server.runs[0]["id"], rng)
            await until(lambda: feed.stands_still, what="the first poll")
            feed.go_on(1)
            await until(lambda: feed.stands_still, what="the second")
            await somebody.all_acts()
            await somebody.rest()
            early = Held.by(app)
            leaked = [bytearray(1024 * kilobytes) for _ in range(POLLS // 2)]
            await somebody.rest()
            done = Soaked(early, early, Held.by(app), POLLS, 0, 0, 0)
            print(*done.wrong)
            assert len(leaked)

asyncio.run(main(int(sys.argv[1])))
"""
