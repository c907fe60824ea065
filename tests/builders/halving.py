"""As few slips as still bring up a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.builders.crowd import Key

Slips = list[tuple[int, Key]]


async def halved(slips: Slips, fails: Callable[[Slips], Awaitable[bool]]) -> Slips:
    """As few of the slips as still bring up a failure: one, unless several have to meet.

    Args:
        slips: Those of all polls, by the poll and the record.
        fails: Whether some of them bring it up.
    """
    parts = 2
    while len(slips) > 1:
        size = -(-len(slips) // parts)
        for start in range(0, len(slips), size):
            end = start + size
            rest = slips[start:end] if parts == 2 else slips[:start] + slips[end:]
            if await fails(rest):
                slips, parts = rest, 2
                break
        else:
            if size == 1:
                break
            parts *= 2
    return slips
