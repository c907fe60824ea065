"""Polls a feed: finish, wait, start again; never a timer that cancels."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from typing import Protocol

from dstack_api_client.feed import Update

#: A wait is longer or shorter by up to this share, so that many dashboards do not poll in step.
_JITTER = 0.1


class Polled(Protocol):
    """What a poller polls; `dstack_api_client.feed.Feed` is one."""

    def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        """Polls once; a failure is an update too, never an exception."""
        ...

    def focus(
        self,
        *,
        services: Collection[str] = (),
        fleets: Collection[str] = (),
        opened_service: str | None = None,
        opened_fleet: str | None = None,
    ) -> None:
        """Tells what is on screen, by ids."""
        ...


class Poller:
    """Runs the polls of one feed and hands on what each brings.

    Args:
        feed: What to poll. It reports failures as states, so a poll never raises for one.
        hand_on: Called with every update, in the event loop.
        interval: Seconds between the end of a poll and the start of the next.
    """

    def __init__(
        self, feed: Polled, hand_on: Callable[[Update], object], *, interval: float
    ) -> None:
        self._feed = feed
        self._hand_on = hand_on
        self._interval = interval
        self._wake = asyncio.Event()
        self._paused = False
        self._full = False

    def refresh(self) -> None:
        """Reads everything again, now; while paused, once."""
        self._full = True
        self._wake.set()

    def hurry(self) -> None:
        """Starts the next poll now: something new came on screen."""
        self._wake.set()

    def pause(self, paused: bool) -> None:
        """Holds polls or lets them go on."""
        self._paused = paused
        self._wake.set()

    async def run(self) -> None:
        """Polls until cancelled."""
        while True:
            full, self._full = self._full, False
            self._wake.clear()
            async for update in self._feed.poll(full=full):
                self._hand_on(update)
            await self._rest()

    async def _rest(self) -> None:
        delay = self._interval * (1 + random.uniform(-_JITTER, _JITTER))
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), None if self._paused else delay)
            except asyncio.TimeoutError:
                return
            self._wake.clear()
            if self._full or not self._paused:
                return
