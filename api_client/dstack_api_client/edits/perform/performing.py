"""Applying with everything that goes with it: the way back is kept, and the audit log written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.base.outcome import Check, UnknownOutcomeError
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.fleet.fleets import FleetPlan, apply_fleet
from dstack_api_client.edits.fleet.new_fleets import create_fleet
from dstack_api_client.edits.plan.applying import LATE, LIMIT, Applied, Sleep, apply, confirmed
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.recording import Record, doubt_of
from dstack_api_client.errors import ReadOnlyError
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client

#: Seconds before a server that could not be read is asked again, once nobody waits for it.
_READ_AGAIN = 2.0


@dataclass(frozen=True)
class Performed:
    """What was done.

    Attributes:
        now: What is there now.
        applied: The change; None for a new fleet.
        notices: What could not be kept on this machine, a line each.
        line: What was done, one sentence.
    """

    now: Base
    applied: Applied | None
    notices: tuple[str, ...] = ()
    line: str = ""


async def who(client: Client) -> str:
    """The server's user, for the audit log; empty where the server does not tell."""
    try:
        me = await client.users.me(wire.User, "this user")
    except errors.ApiError:
        return ""
    return one_line(me.username)


async def perform(
    client: Client,
    plan: Plan | FleetPlan,
    store: Store,
    *,
    user: str = "",
    action: str = "apply",
    on_notice: Callable[[str], None] | None = None,
) -> Performed:
    """Applies a plan, keeps the way back, and writes the audit log whatever came of it.

    Args:
        client: Where.
        plan: An applicable plan of a service's edit, a fleet's edit or a new fleet.
        store: Where things are kept.
        user: The server's user, by `who`.
        action: What it is called in the log: `apply`, `undo`, `create`.
        on_notice: Told what could not be kept when applying fails as well.

    Raises:
        EditError: As `apply`, `apply_fleet` and `create_fleet` raise.
        ApiError: The same.
    """
    record = Record(store, target_of(client, plan), plan.changes, user=user, action=action)
    try:
        applied, now = await _carry_out(client, plan, record)
    except ReadOnlyError:
        raise
    except BaseException as error:
        record.failed(error)
        for notice in record.notices:
            if on_notice is not None:
                on_notice(notice)
        doubt = doubt_of(error, record, f"The change of {one_line(plan_name(plan))}")
        if doubt is not None:
            raise doubt from error
        if (
            isinstance(error, errors.ApiError)
            and not isinstance(error, EditError)
            and (error.unsent or not record.was_sent)
            and not error.says_unsent
        ):
            error.hint = f"{error.hint} Nothing was sent."
        raise
    return _performed(record, applied, now)


async def settle(
    client: Client,
    check: Check,
    store: Store,
    *,
    user: str = "",
    action: str = "apply",
    sleep: Sleep = asyncio.sleep,
) -> Performed:
    """Goes on reading what became of a change, for as long as it takes.

    Args:
        client: Where.
        check: What `UnknownOutcomeError` has.
        store: Where things are kept.
        user: As for `perform`.
        action: The same.
        sleep: How to wait between reads.

    Raises:
        EditError: It was not applied, or something else is there.
    """
    base = check.base
    changes = difference(base.spec, check.expected, base.target.kind, UNKNOWN)
    record = Record(store, base.target, changes, user=user, action=action)
    record.resume(base, replace(base, spec=check.expected))
    try:
        now = await _read_on(client, check, sleep)
    except errors.ApiError as error:
        record.failed(error)
        raise
    applied = Applied(base.target, base, now, False, utc_now())
    return _performed(record, applied, now)


async def _read_on(client: Client, check: Check, sleep: Sleep) -> Base:
    while True:
        with suppress(UnknownOutcomeError):
            return await confirmed(client, check, sleep=sleep, limit=LIMIT, late=LATE)
        await sleep(_READ_AGAIN)


def _performed(record: Record, applied: Applied | None, now: Base) -> Performed:
    if applied is None:
        record.applied("applied")
    else:
        record.applied(applied.line, applied.before, applied.now)
    return Performed(now, applied, tuple(record.notices))


async def _carry_out(
    client: Client, plan: Plan | FleetPlan, record: Record
) -> tuple[Applied | None, Base]:
    if isinstance(plan, Plan):
        applied = await apply(client, plan, on_send=record.send)
        return applied, applied.now
    if plan.base is not None:
        applied = await apply_fleet(client, plan, on_send=record.send)
        return applied, applied.now
    return None, await create_fleet(client, plan, on_send=record.send)


def plan_name(plan: Plan | FleetPlan) -> str:
    """The name of what a plan changes."""
    return plan.base.target.name if isinstance(plan, Plan) else plan.name


def target_of(client: Client, plan: Plan | FleetPlan) -> Target:
    """What a plan changes; a new fleet is made where the client is connected to."""
    if plan.base is not None:
        return plan.base.target
    return Target(client.url, plan.project, "fleet", plan.name)
