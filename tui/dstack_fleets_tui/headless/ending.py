"""Commands that end in order when a signal says so: what was sent is looked up first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(command: Coroutine[Any, Any, T]) -> T:
    """Runs a command; the first signal cancels it, a second one ends the process at once.

    Raises:
        KeyboardInterrupt: It was ended by SIGINT.
        SystemExit: It was ended by SIGTERM or SIGHUP, with the code that shells give.
    """
    by: list[int] = []
    try:
        return asyncio.run(_until_signalled(command, by))
    except asyncio.CancelledError:
        if not by:
            raise
        if by[0] == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + by[0]) from None


@contextmanager
def at_once() -> Iterator[None]:
    """Has signals end the process at once, while it waits for an answer and the loop stands."""
    wakeup = signal.set_wakeup_fd(-1)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _heard():
        ends = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, ends)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)


def _heard() -> list[signal.Signals]:
    """The signals that are not ignored, as they are under `nohup`."""
    return [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


async def _until_signalled(command: Coroutine[Any, Any, T], by: list[int]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(command)
    heard = _heard()

    def end(number: int) -> None:
        by.append(number)
        for each in heard:
            loop.remove_signal_handler(each)
        task.cancel()

    for number in heard:
        loop.add_signal_handler(number, end, number)
    return await task
