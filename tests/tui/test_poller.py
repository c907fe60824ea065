from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from dstack_fleets_tui.live.poller import Poller
from tests.builders.apps import GivenFeed, live
from tests.builders.snapshots import snapshot
from tests.waiting import until

NEVER = 3600.0


@asynccontextmanager
async def polling(feed, *, interval=NEVER, paused=False):
    seen = []
    poller = Poller(feed, seen.append, interval=interval)
    poller.pause(paused)
    task = asyncio.create_task(poller.run())
    try:
        yield poller, seen
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_hands_on_every_update_of_a_poll_and_then_waits():
    updates = [live(snapshot()), live(snapshot())]
    feed = GivenFeed(*updates)
    async with polling(feed) as (_, seen):
        await until(lambda: len(seen) == 2)
        assert seen == updates
        assert feed.polls == [False]


async def test_it_polls_again_after_its_interval():
    feed = GivenFeed()
    async with polling(feed, interval=0.01):
        await until(lambda: len(feed.polls) >= 3)
    assert not any(feed.polls)


async def test_refresh_wakes_it_for_one_full_read():
    feed = GivenFeed()
    async with polling(feed) as (poller, _):
        await until(lambda: feed.polls)
        poller.refresh()
        await until(lambda: len(feed.polls) == 2)
        poller.hurry()
        await until(lambda: len(feed.polls) == 3)
    assert feed.polls == [False, True, False]


async def test_paused_it_reads_only_on_request():
    feed = GivenFeed()
    async with polling(feed, interval=0.01) as (poller, _):
        await until(lambda: feed.polls)
        poller.pause(True)
        before = len(feed.polls)
        poller.hurry()
        poller.refresh()
        await until(lambda: True in feed.polls)
        assert len(feed.polls) <= before + 2
        poller.pause(False)
        reads = len(feed.polls)
        await until(lambda: len(feed.polls) > reads + 1)
