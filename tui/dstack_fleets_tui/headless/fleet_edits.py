"""`plan`, `apply` and `undo` of a fleet: by its configuration file, or the way back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import Base, read_fleet
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.fleet.host_keys import keys_line
from dstack_api_client.edits.follow.following import State
from dstack_api_client.edits.follow.following_fleets import follow_fleet
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.service import texts
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless import ending
from dstack_fleets_tui.headless.apply import carry_out, done_line, result_item, tell_unseen_ends
from dstack_fleets_tui.headless.get import as_json
from dstack_fleets_tui.headless.looking import poll
from dstack_fleets_tui.headless.manner import Manner, followed, write_told
from dstack_fleets_tui.headless.plan import Output, say, write
from dstack_fleets_tui.headless.undo import say_what_differs
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.fleet_plans import fleet_plan_item, fleet_plan_text


@dataclass(frozen=True)
class _Desk:
    client: Client
    feed: Feed
    snapshot: Snapshot
    base: Base


#: Makes the plan of what is wanted.
FleetPlanner: TypeAlias = Callable[[_Desk], Awaitable[FleetPlan]]


def is_of_fleet(text: str) -> bool:
    """Whether a configuration file is of a fleet.

    Raises:
        InvalidEditError: The text can't be read.
    """
    return texts.parsed(text).get("type") == "fleet"


def refuse_options(*given: object) -> None:
    """Makes sure that nothing but the file says what to change.

    Raises:
        EditError: Something does.
    """
    if any(given):
        raise EditError(
            "--set, --remove and --replicas change services, not fleets.",
            "Change the file of the fleet.",
        )


def plan_fleet(
    connection: Connection, name: str, text: str, output: Output, *, plain: bool = False
) -> bool:
    """Plans a fleet's file and prints it.

    Args:
        connection: Where.
        name: The fleet's name.
        text: The file's text.
        output: In which form.
        plain: Whether the text is kept to ASCII where that is not up to names.

    Returns:
        Whether there is something to change.

    Raises:
        ApiError: It is refused, or the server could not be asked.
    """
    made, base = asyncio.run(_plan(connection, name, of_file(text)))
    if output == "json":
        write(as_json(fleet_plan_item(made, base)))
    else:
        write(fleet_plan_text(made, base, plain=plain))
    return bool(made.changes)


def apply_fleet(
    connection: Connection,
    name: str,
    planner: FleetPlanner,
    manner: Manner,
    *,
    action: str = "apply",
) -> State:
    """Plans, prints the plan, asks, applies and follows.

    Args:
        connection: Where.
        name: The fleet's name.
        planner: Makes the plan.
        manner: How.
        action: What it is called in the audit log.

    Returns:
        How it ended; `DONE` where there was nothing to change or nothing was waited for.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    return ending.run(_apply(connection, name, planner, manner, action))


def of_file(text: str) -> FleetPlanner:
    """What plans a fleet's file, and says first which keys that sends."""

    async def plan(at: _Desk) -> FleetPlan:
        _say_keys(texts.parsed(text))
        edit = await fleets.with_file(at.client, FleetEdit.begin(at.base), text, os.environ)
        return await fleets.plan_fleet(at.client, edit, snapshot=at.snapshot)

    return plan


async def way_back(at: _Desk) -> FleetPlan:
    """Plans the way back from what was applied last, and says what it can't take back.

    Raises:
        NotKeptError: Nothing is known of a change, or nothing of it was kept.
        ApiError: It is refused, or the server could not be asked.
    """
    found = undoing.undo_fleet(Store.default(), at.base)
    say_what_differs(found)
    _say_keys(found.edit.configuration)
    return await fleets.plan_fleet(at.client, found.edit, snapshot=at.snapshot)


def _say_keys(configuration: Mapping[str, Any]) -> None:
    """The server wants keys for a plan already, before anybody is asked."""
    if line := keys_line(configuration):
        say(line)


@asynccontextmanager
async def _desk(
    connection: Connection, name: str, *, read_only: bool = True
) -> AsyncIterator[_Desk]:
    async with Client(
        connection.url, connection.token, verify=connection.verify, read_only=read_only
    ) as client:
        feed = Feed(client, connection.project)
        snapshot = await poll(feed, full=True)
        (found,) = selection.fleets(snapshot, name)
        feed.focus(opened_fleet=found.id)
        base = await read_fleet(client, connection.project, found.name)
        base.refuse_gone()
        yield _Desk(client, feed, snapshot, base)


async def _plan(connection: Connection, name: str, planner: FleetPlanner) -> tuple[FleetPlan, Base]:
    async with _desk(connection, name) as at:
        return await planner(at), at.base


async def _apply(
    connection: Connection, name: str, planner: FleetPlanner, manner: Manner, action: str
) -> State:
    async with _desk(connection, name, read_only=manner.read_only) as at:
        await tell_unseen_ends(at.client, connection)
        plan = await planner(at)
        item = fleet_plan_item(plan, at.base)
        text = fleet_plan_text(plan, at.base, plain=manner.plain)
        done = await carry_out(at.client, at.base, plan, item, text, manner, action=action)
        if done is None:
            return State.DONE
        last = await followed(
            lambda limit: follow_fleet(lambda: poll(at.feed), plan, at.base.id, limit=limit), manner
        )
        if manner.output == "json":
            result = {**result_item(done.now, done_line(done), last), "deployment": None}
            write_told(as_json({**item, "result": result}))
        return last.state if last is not None else State.DONE
