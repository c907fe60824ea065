"""`apply`, `undo` and `rebalance`: an edit planned, printed, confirmed, applied and followed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.follow.following import Progress, State, follow
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.edits.perform import rebalancing
from dstack_api_client.edits.perform.performing import Performed, perform, who
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.recovering import look_up
from dstack_api_client.errors import ReadOnlyError, UnansweredError
from dstack_api_client.model.labels import counted
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless import ending
from dstack_fleets_tui.headless.get import as_json
from dstack_fleets_tui.headless.manner import Manner, followed, tell, write_told
from dstack_fleets_tui.headless.plan import Desk, desk, say, write
from dstack_fleets_tui.output.payload import VERSION
from dstack_fleets_tui.output.plans import (
    plan_item,
    plan_text,
    price_item,
    price_text,
    progress_item,
    warning_items,
    warning_lines,
)

P = TypeVar("P", bound=Performed)
#: Makes the plan of what is wanted.
Planner = Callable[[Desk], Awaitable[Plan]]


class NotConfirmedError(EditError):
    """Nobody said yes."""


def apply(
    connection: Connection, service: str, planner: Planner, manner: Manner, *, action: str = "apply"
) -> State:
    """Plans, prints, asks, applies and follows.

    Args:
        connection: Where.
        service: The service's name.
        planner: Makes the plan.
        manner: How.
        action: What it is called in the audit log.

    Returns:
        How it ended; `DONE` where there was nothing to change or nothing was waited for.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    return ending.run(_apply(connection, service, planner, manner, action))


async def _apply(
    connection: Connection, service: str, planner: Planner, manner: Manner, action: str
) -> State:
    async with desk(connection, service, read_only=manner.read_only) as at:
        await tell_unseen_ends(at.client, connection)
        plan = await planner(at)
        item, text = plan_item(plan), plan_text(plan, plain=manner.plain)
        done = await carry_out(at.client, at.base, plan, item, text, manner, action=action)
        if done is None:
            return State.DONE
        last = await followed(
            lambda limit: follow(
                at.client,
                done.now,
                at.snapshot.capabilities,
                planned=plan.dry_run,
                limit=limit,
                restarts=plan.restarts,
            ),
            manner,
        )
        if manner.output == "json":
            result = result_item(done.now, done_line(done), last)
            write_told(as_json({**item, "result": result}))
        return last.state if last is not None else State.DONE


async def carry_out(
    client: Client,
    base: Base,
    plan: Plan | FleetPlan,
    item: dict[str, Any],
    text: str,
    manner: Manner,
    *,
    action: str,
) -> Performed | None:
    """Prints a plan, asks, applies it, and tells what came of it.

    Args:
        client: Where.
        base: What is changed, as it was read.
        plan: The plan.
        item: It as JSON, for what can't be told otherwise.
        text: It as text.
        manner: How.
        action: What it is called in the audit log.

    Returns:
        What was done; None where there was nothing to change.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    if manner.output == "table":
        write(text)
    elif plan.changes:
        # The data comes when all is known; the plan is read before anybody says yes.
        print(text, end="", file=sys.stderr)  # noqa: T201
    if not plan.changes:
        if manner.output == "json":
            write(as_json({**item, "result": None}))
        return None
    refuse_read_only(manner)
    confirm(base, manner, warnings=plan.warnings)
    user = await who(client)
    asked = perform(client, plan, Store.default(), user=user, action=action, on_notice=say)
    done = await answer_to(asked, manner, item, _unknown(base))
    tell(manner, done_line(done))
    return done


def rebalance(connection: Connection, service: str, manner: Manner) -> State:
    """Has the server move a service's replicas until its lanes have their targets.

    Returns:
        How it ended; `DONE` where there was nothing to move or nothing was waited for.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    return ending.run(_rebalance(connection, service, manner))


async def _rebalance(connection: Connection, service: str, manner: Manner) -> State:
    async with desk(connection, service, read_only=manner.read_only) as at:
        await tell_unseen_ends(at.client, connection)
        name = one_line(service)
        prospect = await rebalancing.prospect(at.client, at.base, at.snapshot)
        planned = prospect.moves
        if planned == ():
            tell(manner, f"Nothing to move: the replicas of {name} are where their lanes say.")
            if manner.output == "json":
                write(as_json({**_moves(service, planned), "warnings": [], "result": None}))
            return State.DONE
        tell(manner, "\n".join((*warning_lines(prospect.warnings), _moving(planned or ()))))
        if prospect.outlook is not None:
            tell(manner, price_text(prospect.outlook))
        refuse_read_only(manner)
        confirm(at.base, manner, warnings=prospect.warnings)
        store, user = Store.default(), await who(at.client)
        asked = rebalancing.rebalance(at.client, at.base, store, user=user)
        done = await answer_to(asked, manner, _moves(service, planned or ()), _unknown(at.base))
        if done.moves != planned:
            tell(manner, _moving(done.moves))
        tell(manner, done.line)
        known = at.snapshot.capabilities
        last = await followed(
            lambda limit: follow(at.client, at.base, known, limit=limit, rebalance=True), manner
        )
        if manner.output == "json":
            result = result_item(at.base, done.line, last)
            about = {
                "price_per_hour": price_item(prospect.outlook) if prospect.outlook else None,
                "warnings": warning_items(prospect.warnings),
                "result": result,
            }
            write_told(as_json({**_moves(service, done.moves), **about}))
        return last.state if last is not None else State.DONE


def cancel_rebalancing(connection: Connection, service: str, manner: Manner) -> State:
    """Has the server move no more of a service's replicas; a move that has begun is finished.

    Returns:
        How it ended; `DONE` where there was nothing to cancel or nothing was waited for.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    return ending.run(_cancel_rebalancing(connection, service, manner))


async def _cancel_rebalancing(connection: Connection, service: str, manner: Manner) -> State:
    async with desk(connection, service, read_only=manner.read_only) as at:
        await tell_unseen_ends(at.client, connection)
        name, moves = one_line(service), _moves(service, ())
        if not await rebalancing.is_under_way(at.client, at.base, at.snapshot.capabilities):
            tell(manner, f"Nothing to cancel: no rebalancing of {name} is under way.")
            if manner.output == "json":
                write(as_json({**moves, "warnings": [], "result": None}))
            return State.DONE
        refuse_read_only(manner)
        confirm(at.base, manner)
        store, user = Store.default(), await who(at.client)
        asked = rebalancing.cancel(at.client, at.base, store, user=user)
        done = await answer_to(asked, manner, moves, _unknown(at.base))
        tell(manner, done.line)
        known = at.snapshot.capabilities
        last = await followed(lambda limit: follow(at.client, at.base, known, limit=limit), manner)
        if manner.output == "json":
            result = result_item(at.base, done.line, last)
            write_told(as_json({**moves, "warnings": [], "result": result}))
        return last.state if last is not None else State.DONE


async def answer_to(
    change: Coroutine[Any, Any, P],
    manner: Manner,
    item: dict[str, Any],
    unknown: Callable[[str], dict[str, Any]],
) -> P:
    """What came of a change; says the notices, and where nobody knows what came of it, that.

    Args:
        change: The change.
        manner: How.
        item: What is asked for, as JSON.
        unknown: The result where nobody knows, with a sentence on that.
    """
    try:
        done = await to_the_end(change)
    except (UnknownOutcomeError, UnansweredError) as error:
        if manner.output == "json":
            write_told(as_json({**item, "result": unknown(error.message)}))
        raise
    for notice in done.notices:
        say(notice)
    return done


async def tell_unseen_ends(client: Client, connection: Connection) -> None:
    """Says what became of changes that were sent before and whose end was not seen."""
    for line in await look_up(client, connection.project, Store.default(), server=connection.url):
        say(line)


def _moves(service: str, moves: tuple[rebalancing.Move, ...]) -> dict[str, Any]:
    items = [{"replica": m.replica, "group": m.group, "fleet": m.fleet, "to": m.to} for m in moves]
    return {"version": VERSION, "service": service, "moves": items}


def _moving(moves: tuple[rebalancing.Move, ...]) -> str:
    """A line for each replica that moves; one that has no fleet yet just goes there."""
    return "\n".join(
        f"replica {move.replica} moves{f' from {move.fleet}' if move.fleet else ''} to {move.to}"
        for move in moves
    )


def refuse_read_only(manner: Manner) -> None:
    """Before anybody is asked; the client refuses too."""
    if manner.read_only:
        raise ReadOnlyError(
            "Nothing is changed in read-only mode.",
            "Leave out --read-only, and see `read_only` in the settings file.",
        )


def confirm(
    base: Base,
    manner: Manner,
    *,
    what: str = "Apply this to",
    warnings: Iterable[PlanWarning] = (),
) -> None:
    """Asks before something is changed.

    Args:
        base: What is changed.
        manner: How.
        what: What is asked about it, before its name.
        warnings: Of the plan: a danger stands above a plan's tables, so the question recalls it.

    Raises:
        NotConfirmedError: Nobody could be asked, or the answer was no.
    """
    name, target = one_line(base.target.name), base.target
    if manner.confirmed is not None and manner.confirmed != target.name:
        raise NotConfirmedError(
            f"--confirm names {one_line(manner.confirmed)}, but this changes {name}.",
            "Nothing was changed.",
        )
    if manner.protected and manner.confirmed is not None:
        return
    if manner.yes and manner.protected:
        raise NotConfirmedError(
            f"Project {one_line(target.project)} is protected.", f"Give --confirm {name} too."
        )
    if manner.yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmedError("There is no terminal to ask on.", "Give --yes to go on without.")
    where = f"{name} in {one_line(target.project)} @ {one_line(target.server)}"
    dangers = sum(warning.risk is Risk.DANGER for warning in warnings)
    where += f", with {counted(dangers, 'danger')}" if dangers else ""
    if manner.protected:
        question, wanted = f"The project is protected. Type {name} to change {where}: ", {name}
    else:
        question, wanted = f"{what} {where}? [y/N] ", {"y", "yes"}
    sys.stdout.flush()  # a pipe has what is asked about before the question
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201
    with ending.at_once():
        answer = sys.stdin.readline()
    if answer.strip().lower() not in {each.lower() for each in wanted}:
        raise NotConfirmedError("Nothing was changed.", "")


async def to_the_end(change: Coroutine[Any, Any, P]) -> P:
    """Lets nothing come between sending a change and knowing what became of it."""
    task = asyncio.create_task(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        say("Interrupted while the change is being made; looking what became of it.")
        say(f"{done_line(await task)} It is not followed.")
        raise


def done_line(done: Performed) -> str:
    """What was done, one sentence."""
    return done.applied.line if done.applied is not None else done.line


def _unknown(before: Base) -> Callable[[str], dict[str, Any]]:
    """The result of an edit of which nobody knows whether it was applied."""

    def result(message: str) -> dict[str, Any]:
        return {
            "id": before.id,
            "applied": None,
            "deployment": None,
            "message": message,
            "progress": None,
        }

    return result


def result_item(now: Base, line: str, last: Progress | None) -> dict[str, Any]:
    """What came of a change, for programs."""
    return {
        "id": now.id,
        "applied": True,
        "deployment": now.deployment,
        "message": line,
        "progress": progress_item(last) if last is not None else None,
    }
