"""Applying with everything that goes with it: the way back is kept, and the audit log written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dstack_api_client import errors, wire
from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.edits.applying import Applied, apply
from dstack_api_client.edits.base import Base, Target
from dstack_api_client.edits.errors import NotKeptError, ReplacedError, UnknownOutcomeError
from dstack_api_client.edits.fleets import FleetPlan, apply_fleet
from dstack_api_client.edits.keeping import Store
from dstack_api_client.edits.new_fleets import create_fleet
from dstack_api_client.edits.planning import Plan
from dstack_api_client.writer import ReadOnlyError


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
        me = await client.one("/api/users/get_my_user", {}, wire.User, "this user")
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
    target = _target(client, plan)
    try:
        applied, now = await _carry_out(client, plan)
    except ReadOnlyError:
        raise
    except errors.ApiError as error:
        result = f"{_outcome(error)}: {error.message}"
        for notice in (
            _kept_in_doubt(store, plan, error),
            _noted(store, target, plan, result, user, action),
        ):
            if notice and on_notice is not None:
                on_notice(notice)
        raise
    notices = []
    if applied is not None:
        notices.append(_kept(store, applied.before, applied.now))
    result = "applied" if applied is None else applied.line
    notices.append(_noted(store, target, plan, result, user, action))
    return Performed(now, applied, tuple(filter(None, notices)))


async def _carry_out(client: Client, plan: Plan | FleetPlan) -> tuple[Applied | None, Base]:
    if isinstance(plan, Plan):
        applied = await apply(client, plan)
        return applied, applied.now
    if plan.base is not None:
        applied = await apply_fleet(client, plan)
        return applied, applied.now
    return None, await create_fleet(client, plan)


def _outcome(error: errors.ApiError) -> str:
    if isinstance(error, UnknownOutcomeError):
        return "not known"
    return "something else is there" if isinstance(error, ReplacedError) else "not applied"


def _kept_in_doubt(store: Store, plan: Plan | FleetPlan, error: errors.ApiError) -> str:
    """Keeps the way back from a change that may have been made.

    Without it, the way back of an earlier change would be offered as the last one. Where it was
    not made, the way back changes nothing.
    """
    if plan.base is None or not isinstance(error, (UnknownOutcomeError, ReplacedError)):
        return ""
    step = 1 if isinstance(plan, Plan) else 0
    after = replace(plan.base, spec=plan.expected, deployment=plan.base.deployment + step)
    return _kept(store, plan.base, after, certain=False)


def _kept(store: Store, before: Base, after: Base, *, certain: bool = True) -> str:
    try:
        store.keep_applied(before, after, certain=certain)
    except NotKeptError as error:
        return f"The way back could not be kept. {error}"
    return ""


def _noted(
    store: Store, target: Target, plan: Plan | FleetPlan, result: str, user: str, action: str
) -> str:
    try:
        store.audit(target, plan.changes, one_line(result), user=user, action=action)
    except NotKeptError as error:
        return f"The audit log could not be written. {error}"
    return ""


def _target(client: Client, plan: Plan | FleetPlan) -> Target:
    if plan.base is not None:
        return plan.base.target
    return Target(client.url, plan.project, "fleet", plan.name)
