"""Waiting for an event or for some time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dstack_api_client.waking import woken


async def test_it_tells_whether_the_event_came() -> None:
    event = asyncio.Event()
    assert not await woken(event, 0.01)
    event.set()
    assert await woken(event, None)


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_that_comes_with_the_event_counts(turns: int) -> None:
    event, waits = asyncio.Event(), asyncio.Event()

    async def loop() -> None:
        while True:
            event.clear()
            waits.set()
            await woken(event, 600)

    def in_turns(number: int, call: Callable[[], object]) -> None:
        if number:
            asyncio.get_running_loop().call_soon(in_turns, number - 1, call)
        else:
            call()

    task = asyncio.create_task(loop())
    await waits.wait()
    in_turns(2, event.set)
    in_turns(2 + turns, task.cancel)
    await asyncio.wait({task}, timeout=30)
    assert task.cancelled()
