"""A drain, followed until nothing is left, or what is left stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from dstack_api_client import errors
from dstack_api_client.edits.follow.following import EVERY, Progress, State, polled
from dstack_api_client.model.cordon import Occupant, left_line
from dstack_api_client.transport.client import Client

#: Looks in a row at which all that is left stays, after which it is not waited for.
_STUCK = 3


async def follow_drain(
    client: Client,
    project: str,
    name: str,
    *,
    there: Sequence[Occupant] = (),
    limit: float = 600.0,
    every: float = EVERY,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Progress]:
    """Looks at what is drained until it is empty.

    Args:
        client: Where.
        project: The project.
        name: What is drained, as `Cordon.name` has it.
        there: What was there when it was planned.
        limit: Seconds after which looking ends.
        every: Seconds between two looks.
        sleep: How to wait.

    Yields:
        How far it has come; the last one is `final`, and failed where the drain was cancelled.
    """
    left, stuck = tuple(there), 0

    async def look() -> Progress:
        nonlocal left, stuck
        try:
            cordon = await client.cordons.on(project, name)
        except errors.ApiError:
            stuck = 0
            raise
        if cordon is None or cordon.draining_since is None:
            left = ()
            return Progress(State.FAILED, 0.0, waiting=(f"The drain of {name} was cancelled.",))
        left = tuple(cordon.left)
        stuck = stuck + 1 if all(each.action == "stay" for each in left) else 0
        if not left:
            return Progress(State.DONE, 0.0)
        state = State.STILL_WAITING if stuck >= _STUCK else State.MOVING
        return Progress(state, 0.0, waiting=(left_line(left),))

    async for last in polled(look, limit=limit, every=every, sleep=sleep):
        yield replace(last, left=left)
