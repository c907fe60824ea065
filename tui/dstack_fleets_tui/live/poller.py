"""Polls something: finish, wait, start again; never a timer that cancels."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from typing import Generic, Protocol, TypeVar

from dstack_api_client.feed.update import Update
from dstack_api_client.transport import wire
from dstack_api_client.waking import woken

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: A wait is longer or shorter by up to this share, so that many dashboards do not poll in step.
_JITTER = 0.1


class Pollable(Protocol[T_co]):
    """What a poller polls."""

    def poll(self, *, full: bool = False) -> AsyncIterator[T_co]:
        """Polls once; a failure is something it brings too, never an exception."""
        ...


class Polled(Pollable[Update], Protocol):
    """What the whole dashboard shows; `dstack_api_client.feed.feed.Feed` is one."""

    @property
    def events(self) -> list[wire.Event]:
        """The newest events that were read."""
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


class WhileWanted(Generic[T]):
    """Lets polls through only while somebody wants what they bring.

    Args:
        source: What to poll.
        is_wanted: Tells whether to; asked before every poll.
    """

    def __init__(self, source: Pollable[T], is_wanted: Callable[[], bool]) -> None:
        self._source = source
        self._is_wanted = is_wanted

    async def poll(self, *, full: bool = False) -> AsyncIterator[T]:
        """Polls once, if that is wanted or asked for."""
        if full or self._is_wanted():
            async for brought in self._source.poll(full=full):
                yield brought


class Poller(Generic[T]):
    """Runs the polls of one source and hands on what each brings.

    Args:
        source: What to poll. It reports failures as states, so a poll never raises for one.
        hand_on: Called with everything that is brought, in the event loop.
        interval: Seconds between the end of a poll and the start of the next.
        on_fault: Called with what a poll raises all the same, a fault of this program; polls go
            on after it. Without it, it ends them.
    """

    def __init__(
        self,
        source: Pollable[T],
        hand_on: Callable[[T], object],
        *,
        interval: float,
        on_fault: Callable[[Exception], object] | None = None,
    ) -> None:
        self._source = source
        self._hand_on = hand_on
        self._interval = interval
        self._on_fault = on_fault
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
            await self._poll(full=full)
            await self._rest()

    async def _poll(self, *, full: bool) -> None:
        poll = self._source.poll(full=full)
        while True:
            try:
                brought = await anext(poll)
            except StopAsyncIteration:
                return
            except Exception as error:
                if self._on_fault is None:
                    raise
                self._on_fault(error)
                return
            self._hand_on(brought)

    async def _rest(self) -> None:
        delay = self._interval * (1 + random.uniform(-_JITTER, _JITTER))
        while True:
            if not await woken(self._wake, None if self._paused else delay):
                return
            self._wake.clear()
            if self._full or not self._paused:
                return
