"""Long work in slices, between which others have their turn: a key, or what is drawn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

#: Seconds of a slice.
_SLICE = 0.01


class Slices:
    """Lets others run whenever a slice is over."""

    def __init__(self) -> None:
        self._end = time.monotonic() + _SLICE

    async def turn(self) -> None:
        """Is called now and then, after each small part of the work."""
        if time.monotonic() > self._end:
            await asyncio.sleep(0)
            self._end = time.monotonic() + _SLICE


async def in_slices(steps: Generator[None, None, T]) -> T:
    """Does work that yields after each small part, and gives what comes of it."""
    found: list[T] = []
    slices = Slices()
    for _ in _into(found, steps):
        await slices.turn()
    return found[0]


def at_once(steps: Generator[None, None, T]) -> T:
    """Does the same work without a pause."""
    found: list[T] = []
    for _ in _into(found, steps):
        continue
    return found[0]


def _into(found: list[T], steps: Generator[None, None, T]) -> Iterator[None]:
    found.append((yield from steps))
