"""`cordon`, `drain` and `uncordon`: planned, printed, confirmed, done and followed."""

from __future__ import annotations

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import read_fleet
from dstack_api_client.edits.follow.following import Progress, State
from dstack_api_client.edits.follow.following_drains import follow_drain
from dstack_api_client.edits.perform import cordoning
from dstack_api_client.edits.perform.cordoning import CordonAction, CordonChange
from dstack_api_client.edits.perform.performing import who
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.cordon import left_line
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_api_client.whatif import outcome_of_drain
from dstack_fleets_tui.headless import ending
from dstack_fleets_tui.headless.apply import (
    answer_to,
    confirm,
    refuse_read_only,
    tell_unseen_ends,
)
from dstack_fleets_tui.headless.get import as_json
from dstack_fleets_tui.headless.looking import poll
from dstack_fleets_tui.headless.manner import Manner, followed, tell, write_told
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.cordons import occupants, plan_item, plan_lines
from dstack_fleets_tui.output.plans import drain_warnings, waiting_text, warning_lines

_GOES_ON = "The server goes on with the drain as room comes, until it is uncordoned."


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
        known = await client.cordons.on(connection.project, change.name)
        plan, outcome = None, None
        if action == "drain":
            plan = await cordoning.drain_plan(client, connection.project, change)
            outcome = outcome_of_drain(snapshot, change.fleet, change.number, plan)
        item = plan_item(change, plan, outcome)
        broken = drain_warnings(plan)
        lines = map(one_line, plan_lines(change, known, plan, outcome))
        tell(manner, "\n".join((*warning_lines(broken), *lines)))
        refuse_read_only(manner)
        confirm(base, manner, warnings=broken)
        user = await who(client)
        done = await answer_to(
            cordoning.carry_out(client, base, change, Store.default(), user=user),
            manner,
            item,
            lambda message: {"message": message, "left": None, "state": None},
        )
        tell(manner, done.line)
        last = None
        if action == "drain":
            there = plan.occupants if plan is not None else ()
            last = await followed(
                lambda limit: follow_drain(
                    client, connection.project, change.name, there=there, limit=limit
                ),
                manner,
                left="The drain goes on on the server; it is not followed further.",
                line=_line,
                end=_end,
            )
        state = State.DONE if last is None else last.state
        left = () if last is None else last.left
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


def _line(progress: Progress) -> str:
    """How much is left, or why that is not known."""
    return progress.trouble or waiting_text(progress)


def _end(progress: Progress) -> str:
    """How following a drain ended."""
    if progress.state is State.DONE:
        return left_line(progress.left)
    if progress.state is State.FAILED:
        return _line(progress)
    lines = [progress.trouble, *(one_line(each.line) for each in progress.left), _GOES_ON]
    return "\n".join(filter(None, lines))
