"""`cordon`, `drain` and `uncordon`: planned, printed, confirmed, done and followed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from dstack_api_client import errors
from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import Base, read_fleet
from dstack_api_client.edits.follow.following import State
from dstack_api_client.edits.perform import cordoning
from dstack_api_client.edits.perform.cordoning import CordonAction, CordonChange
from dstack_api_client.edits.perform.performing import who
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.cordon import Occupant, left_line
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_api_client.whatif import outcome_of_drain
from dstack_fleets_tui.headless import ending
from dstack_fleets_tui.headless.apply import (
    confirm,
    refuse_read_only,
    tell_unseen_ends,
    to_the_end,
)
from dstack_fleets_tui.headless.get import as_json
from dstack_fleets_tui.headless.looking import poll
from dstack_fleets_tui.headless.manner import Manner, tell, write_told
from dstack_fleets_tui.headless.plan import say
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.cordons import occupants, plan_item, plan_lines

#: Seconds between two looks at a drain.
_LOOK_EVERY = 2.0
#: Looks in a row at which all that is left stays, after which it is not waited for.
_STUCK = 3


def change_service_of(
    connection: Connection,
    action: CordonAction,
    name: str,
    manner: Manner,
    *,
    reason: str = "",
    force: bool = False,
) -> State:
    """Takes a fleet or an instance out of service, or back.

    Args:
        connection: Where.
        action: What is done.
        name: The fleet, or `FLEET/NUMBER` for an instance.
        manner: How.
        reason: Why.
        force: Whether replicas whose address others hold move away too.

    Returns:
        How it ended; `DONE` where nothing was waited for.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    return ending.run(_change(connection, action, name, manner, reason, force))


async def _change(
    connection: Connection,
    action: CordonAction,
    name: str,
    manner: Manner,
    reason: str,
    force: bool,
) -> State:
    async with Client(
        connection.url, connection.token, verify=connection.verify, read_only=manner.read_only
    ) as client:
        snapshot = await poll(Feed(client, connection.project), full=True)
        await tell_unseen_ends(client, connection)
        change = _asked(snapshot, action, name, reason, force)
        cordoning.refuse_unable(snapshot.capabilities)
        base = await read_fleet(client, connection.project, change.fleet)
        known = await cordoning.cordon_of(client, connection.project, change)
        plan, outcome = None, None
        if action == "drain":
            plan = await cordoning.drain_plan(client, connection.project, change)
            outcome = outcome_of_drain(snapshot, change.fleet, change.number, plan)
        item = plan_item(change, plan, outcome)
        tell(manner, "\n".join(map(one_line, plan_lines(change, known, plan, outcome))))
        refuse_read_only(manner)
        confirm(base, manner)
        user = await who(client)
        done = await to_the_end(
            cordoning.carry_out(client, base, change, Store.default(), user=user)
        )
        for notice in done.notices:
            say(notice)
        tell(manner, done.line)
        left: Sequence[Occupant] = ()
        state = State.DONE
        if action == "drain" and manner.wait is not None:
            try:
                there = plan.occupants if plan is not None else ()
                left, state = await _follow(client, base, change, manner, there)
            except asyncio.CancelledError:
                say("The drain goes on on the server; it is not followed further.")
                raise
        if manner.output == "json":
            result = {"message": done.line, "left": occupants(left), "state": state.value}
            write_told(as_json({**item, "result": result}))
        return state


def _asked(
    snapshot: Snapshot, action: CordonAction, name: str, reason: str, force: bool
) -> CordonChange:
    """What is asked for by name.

    Raises:
        NoSuchNameError: There is no such fleet or instance.
    """
    owner, slash, number = name.rpartition("/")
    if snapshot.fleet_named(name) is None and slash and snapshot.fleet_named(owner) is not None:
        (fleet,) = selection.fleets(snapshot, owner)
        numbers = sorted(each.num for each in selection.instances(snapshot, fleet.name))
        if number not in map(str, numbers):
            raise selection.NoSuchNameError(
                f"Fleet {one_line(fleet.name)} has no instance {one_line(number)}.",
                f"It has: {', '.join(map(str, numbers))}." if numbers else "It has none.",
            )
        return CordonChange(action, fleet.name, int(number), reason, force)
    (fleet,) = selection.fleets(snapshot, name)
    return CordonChange(action, fleet.name, None, reason, force)


async def _follow(
    client: Client, base: Base, change: CordonChange, manner: Manner, there: Sequence[Occupant]
) -> tuple[Sequence[Occupant], State]:
    """Follows a drain until nothing is left, nothing moves, or the time is over.

    Args:
        client: Where.
        base: The fleet.
        change: The drain.
        manner: How.
        there: What was there when it was planned.
    """
    end = time.monotonic() + (manner.wait or 0.0)
    told, stuck, left = "", 0, there
    while True:
        try:
            cordon = await cordoning.cordon_of(client, base.target.project, change)
        except errors.ApiError as error:  # asked again: the drain goes on without being looked at
            line, stuck = error.message, 0
        else:
            if cordon is None or cordon.draining_since is None:
                say(f"The drain of {change.name} was cancelled.")
                return (), State.FAILED
            left, line = cordon.left, left_line(cordon.left)
            stuck = stuck + 1 if all(each.action == "stay" for each in left) else 0
            if not left:
                tell(manner, line)
                return (), State.DONE
        if line != told:
            told = line
            tell(manner, line)
        if stuck >= _STUCK or time.monotonic() >= end:
            tell(manner, "\n".join(one_line(each.line) for each in left))
            tell(manner, "The server goes on with the drain as room comes, until it is uncordoned.")
            return left, State.STILL_WAITING
        await asyncio.sleep(_LOOK_EVERY)
