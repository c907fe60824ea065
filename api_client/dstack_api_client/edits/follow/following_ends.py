"""A run that is to end, followed until it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.follow.following import EVERY, Progress, State, polled
from dstack_api_client.model.labels import counted
from dstack_api_client.model.replica import FINISHED, STOPPING
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client

_LOST = "dstack has lost the stop and goes on with the run. Stop it again."


async def follow_end(
    client: Client,
    run: Base,
    *,
    limit: float = 600.0,
    every: float = EVERY,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Progress]:
    """Looks at a run until it has ended.

    A server that can't be read is asked again. dstack 0.22.5 can lose a stop: what processes a run
    goes by the status that it had when it was picked, and writes `running` over `terminating`
    (`pipeline_tasks.runs`). Then it has failed.

    Args:
        client: Where.
        run: The run.
        limit: Seconds after which looking ends.
        every: Seconds between two looks.
        sleep: How to wait.

    Yields:
        How far it has come; the last one is `final`.
    """
    known: wire.Run | None = None

    async def look() -> Progress:
        nonlocal known
        known = await _look(client, run, known)
        if known.status not in (STOPPING, *FINISHED):
            return Progress(State.FAILED, 0.0, waiting=(_LOST,))
        return _progress(known, run)

    async for last in polled(look, limit=limit, every=every, sleep=sleep):
        yield last


async def _look(client: Client, run: Base, known: wire.Run | None) -> wire.Run:
    """The run as it is; every submission of its jobs is read once at most."""
    project = run.target.project
    if known is not None:
        now = await client.runs.now(project, run.id, known.submitted_at)
        if now is not None:
            return now
    return await client.runs.get(project, run_id=run.id)


def _progress(now: wire.Run, run: Base) -> Progress:
    if now.status in FINISHED:
        return Progress(State.DONE, 0.0)
    thing = "replica" if run.target.kind == "service" else "job"
    left = sum(submission.status not in FINISHED for _, submission in now.latest())
    waiting = f"{counted(left, thing)} to stop" if left else "the run itself to end"
    return Progress(State.MOVING, 0.0, waiting=(waiting,))
