"""Waiting for a condition, with a limit, instead of by the clock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from textual.css.query import NoMatches

#: Seconds between two looks at a condition.
_LOOK_EVERY = 0.02
#: Limits are written for an idle machine, and end only what never comes: a busy one gets so many
#: times as long.
_PATIENCE = 3
#: A look at a server takes its time from what it is to see: after each comes a pause this many
#: times as long, of so many seconds at most.
_SPARING, _LONGEST = 6, 1.5


async def until(
    condition: Callable[[], Any | Awaitable[Any]],
    *,
    limit: float = 10.0,
    what: str = "",
    every: float = _LOOK_EVERY,
) -> Any:
    """Looks at a condition again and again until it holds.

    Args:
        condition: Called without arguments; may be async. It holds when what it returns is true.
            A screen that is in front and has not made its widgets yet is looked at again.
        limit: Seconds that it takes at most on an idle machine.
        what: What is waited for, for the message.
        every: Seconds between two looks at least; more where a look takes long.

    Returns:
        The first true value.

    Raises:
        AssertionError: The condition did not hold within the limit.
    """
    never = asyncio.Event()
    loop = asyncio.get_running_loop()
    end = loop.time() + limit * _PATIENCE
    while True:
        began = loop.time()
        missing: NoMatches | None = None
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
        except NoMatches as error:
            value, missing = None, error
        if value:
            return value
        now = loop.time()
        if now > end:
            raise AssertionError(
                f"not within {limit * _PATIENCE:g} s: {what or condition}"
            ) from missing
        pause = max(every, min(_SPARING * (now - began), _LONGEST))
        try:
            await asyncio.wait_for(never.wait(), pause)
        except asyncio.TimeoutError:
            continue


async def until_equal(read: Callable[[], Any], expected: Any, *, limit: float = 10.0) -> None:
    """Waits until what is read equals a value.

    Raises:
        AssertionError: It did not within the limit; says what was read last.
    """
    value: Any = None

    def equal() -> bool:
        nonlocal value
        value = read()
        return bool(value == expected)

    try:
        await until(equal, limit=limit, what=f"{expected!r}")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {value!r}") from None
