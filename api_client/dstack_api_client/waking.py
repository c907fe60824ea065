"""Waiting for an event or for some time, whichever comes first."""

from __future__ import annotations

import asyncio


async def woken(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits until an event is set, for some time at most.

    `asyncio.wait_for` loses a cancellation that comes with the event, before Python 3.12: a loop
    that waits with it would go on for ever.

    Args:
        event: What is waited for.
        seconds: How long; None for as long as it takes.

    Returns:
        Whether it was set within that time.
    """
    waiting = asyncio.ensure_future(event.wait())
    try:
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()
    return bool(done)
