"""Carrying out a plan: read once more, send once, and look what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, Target, read_base
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.base.merging import ConflictError, three_way
from dstack_api_client.edits.base.outcome import Check, UnknownOutcomeError
from dstack_api_client.edits.errors import EditError, NotAppliedError, ReplacedError
from dstack_api_client.edits.plan.planning import Plan, refuse_moved
from dstack_api_client.edits.spec import fields
from dstack_api_client.errors import UnansweredError
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client

#: Seconds within which a change that was sent has to turn up, answered or not. On SQLite a write
#: waits up to 30 s for its turn, and the server answers before (0.22.5, `server/db.py`).
LATE = 40.0
#: Seconds for which a server that does not answer any more is asked again.
LIMIT = 90.0
#: The same where it answers and can't be read: that does not pass by waiting alone.
UNREADABLE_LIMIT = 10.0
_EVERY = 0.5
#: What the server says when the base is not what it has.
CHANGED = "resource has been changed"

Sleep = Callable[[float], Awaitable[None]]
#: Told just before a change is sent: what is there, and what is expected then.
OnSend = Callable[[Base, Base], None]


def _nothing(before: Base, after: Base) -> None:
    del before, after


@dataclass(frozen=True)
class Applied:
    """A change that was made and read back.

    Attributes:
        target: What was changed.
        before: As it was.
        now: As it is.
        answered: Whether the server answered the request; else it was found by reading.
        at: When that was known.
    """

    target: Target
    before: Base
    now: Base
    answered: bool
    at: datetime

    @property
    def line(self) -> str:
        """What happened, one sentence."""
        name = one_line(self.target.name)
        deployment = (
            f" as deployment {self.now.deployment}" if self.target.kind == "service" else ""
        )
        how = "" if self.answered else " (the server's answer got lost; this was read afterwards)"
        return f"The change of {name} was applied{deployment}{how}."


async def apply(
    client: Client,
    plan: Plan,
    *,
    sleep: Sleep = asyncio.sleep,
    limit: float = LIMIT,
    late: float = LATE,
    on_send: OnSend = _nothing,
) -> Applied:
    """Applies a plan to a service.

    The service is read again just before. The request is sent once; where no answer comes, reading
    tells what became of it.

    Args:
        client: Where.
        plan: An applicable plan.
        sleep: How to wait between reads.
        limit: Seconds to ask a server that does not answer.
        late: Seconds within which the change has to turn up.
        on_send: Told just before it is sent.

    Raises:
        NotInPlaceError: The plan is not applicable.
        EndedError: The service has ended since; nothing was sent.
        ConflictError: Somebody else changed it since the plan, or at the same moment.
        ReadOnlyError: The client only reads; nothing was sent.
        NotAppliedError: No answer came, and nothing was changed.
        UnknownOutcomeError: No answer came, and the server could not be read since.
        ReplacedError: What is there now is not what was sent.
        ApiError: The server refused it; nothing was changed.
    """
    if not plan.applicable:
        raise NotInPlaceError("This plan can't be applied.", "Change the edit and plan again.")
    return await send(
        client,
        plan.base,
        (plan.spec, plan.expected),
        lambda base: client.runs.apply(base.target.project, plan.spec, base.current),
        sleep=sleep,
        limit=limit,
        late=late,
        on_send=on_send,
    )


async def send(
    client: Client,
    planned: Base,
    specs: tuple[Mapping[str, Any], Mapping[str, Any]],
    request: Callable[[Base], Awaitable[object]],
    *,
    sleep: Sleep,
    limit: float,
    late: float,
    on_send: OnSend = _nothing,
) -> Applied:
    """Reads once more, sends a change once, and finds out what became of it.

    Args:
        client: Where.
        planned: What the plan was made on.
        specs: The spec that is sent, and the one that the server said it would store.
        request: Sends it, on what is there now.
        sleep: How to wait between reads.
        limit: Seconds to ask a server that does not answer.
        late: Seconds in which a change that got no answer may turn up.
        on_send: Told just before it is sent.

    Raises:
        EditError: As `apply`.
        ApiError: The same.
    """
    spec, expected = specs
    base = await read_base(client, planned.target)
    base.refuse_gone()
    refuse_moved(planned, base, spec)
    client.refuse_read_only()
    step = 1 if base.target.kind == "service" else 0
    on_send(base, replace(base, spec=expected, deployment=base.deployment + step))
    answered = True
    refusal: errors.ApiError | None = None
    try:
        await request(base)
    except UnansweredError:
        answered = False
    except errors.RefusedError as error:
        if CHANGED not in str(error).lower():
            raise
        raise await _conflict_of(client, base, spec, error) from error
    except (errors.UnauthorisedError, errors.ForbiddenError, errors.NotFoundError) as error:
        answered, refusal = False, error
    check = Check(base, spec, expected, answered=answered, refusal=refusal)
    now = await confirmed(client, check, sleep=sleep, limit=limit, late=late)
    return Applied(base.target, base, now, answered, utc_now())


async def _conflict_of(
    client: Client, base: Base, spec: Mapping[str, Any], error: errors.RefusedError
) -> errors.ApiError:
    """The conflict that the server has noticed, or its own words where it can't be shown."""
    try:
        return conflict(base, await read_base(client, base.target), spec)
    except errors.ApiError:
        return error


async def confirmed(
    client: Client, check: Check, *, sleep: Sleep, limit: float, late: float
) -> Base:
    """Reads until it is clear what became of a request.

    Returns:
        What is there, which is what was sent.

    Raises:
        NotAppliedError: Nothing was changed.
        UnknownOutcomeError: The server could not be read within the limit.
        ReplacedError: Something else is there.
        ConflictError: Another change came first.
        ApiError: Nothing was changed, and this is the server's refusal.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    first_read: float | None = None
    while True:
        try:
            now = await read_base(client, check.base.target)
        except errors.ApiError as error:
            # Whatever it is, it says nothing about the change.
            passes = isinstance(error, errors.CannotConnectError | errors.ServerFailedError)
            if loop.time() - start > (limit if passes else min(limit, UNREADABLE_LIMIT)):
                raise UnknownOutcomeError(
                    f"The change of {one_line(check.base.target.name)} was sent, and what became of"
                    f" it can't be read: whether it was made is not known. {error.message}",
                    "Look at it when the server can be read again; the same plan can't be applied"
                    " twice.",
                    check,
                ) from error
        else:
            if judged(check, now):
                return now
            if check.refusal is not None:
                raise check.refusal
            first_read = loop.time() if first_read is None else first_read
            # A server answers before its database shows the change to others.
            if loop.time() - first_read > late:
                raise _not_applied(check)
        await sleep(_EVERY)


def judged(check: Check, now: Base) -> bool:
    """Compares what is there with what was sent.

    Returns:
        Whether it is what was sent; False while nothing has changed.

    Raises:
        ReplacedError: Something else is there.
        ConflictError: Another change came first.
    """
    base, name = check.base, one_line(check.base.target.name)
    is_service = base.target.kind == "service"
    if now.id != base.id:
        undo = f"Stop it with `dstack stop {name}`" if is_service else "Delete it"
        raise ReplacedError(
            f"{name} ended at the moment of the change, and the server started it again.",
            f"{undo} if that is not wanted.",
        )
    step = now.deployment - base.deployment
    stored = fields.same(now.spec, check.expected) or fields.same(now.spec, check.sent)
    if stored and (step == 1 or not is_service):
        return True
    if fields.same(now.spec, base.spec) and step == 0:
        return False
    if stored:
        raise ReplacedError(
            f"{name} has the spec that was sent, but {step} deployments came at once: somebody else"
            " changes it too.",
            "Look at its events.",
        )
    if check.answered:
        raise ReplacedError(
            f"The change of {name} was applied, but its spec is another one now.",
            "Somebody else changed it right after, or the server did; plan again to see it.",
        )
    raise conflict(base, now, check.sent)


def conflict(base: Base, now: Base, mine: Mapping[str, Any]) -> EditError:
    """What is raised when another change came first, which the server has noticed."""
    return ConflictError(
        f"Somebody else changed {one_line(base.target.name)} at the same moment; this change was"
        " not applied.",
        "Look at both changes and plan again.",
        three_way(base, now, mine),
    )


def _not_applied(check: Check) -> EditError:
    name = one_line(check.base.target.name)
    if check.answered:
        return ReplacedError(
            f"The server said that {name} was changed, but it is as before.",
            "Look at the server's log, and plan again.",
        )
    return NotAppliedError(
        f"The change of {name} was sent and no answer came; it is as it was before.",
        "Plan and apply it again; if the request is still on its way, the server refuses one of"
        " the two.",
    )
