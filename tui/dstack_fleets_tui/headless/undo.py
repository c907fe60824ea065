"""`undo`: the plan of the way back from what was applied last, or to an earlier deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import Kind, Target
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.history.going_back import way_back
from dstack_api_client.edits.history.past import known_since, past_deployments
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.store.deployments import KeptSpec
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.transport.requests import PAGE
from dstack_fleets_tui.headless.apply import Planner
from dstack_fleets_tui.headless.kinds.events import newest_of
from dstack_fleets_tui.headless.plan import Desk, say


async def undo_plan(at: Desk) -> Plan:
    """Plans the way back, and says what it can't take back.

    Raises:
        NotKeptError: Nothing is known of a change, or nothing of it was kept.
        ApiError: It is refused, or the server could not be asked.
    """
    found = undoing.undo(Store.default(), at.base, at.snapshot.capabilities)
    say_what_differs(found)
    return await make_plan(at.client, found.edit, snapshot=at.snapshot)


def say_what_differs(found: undoing.Undo[Any]) -> None:
    """Says what of a change is not taken back, and what is besides.

    Raises:
        NotKeptError: All of it may hold secrets, and none of it was kept.
    """
    found.refuse_unkept()
    if found.left_out:
        names = ", ".join(found.left_out)
        say(f"Not undone, since it may hold a secret and is not kept: {names}.")
    if found.changed_since:
        say(f"Changed again since, and undone too: {', '.join(found.changed_since)}.")


def is_of_fleet_only(connection: Connection, name: str) -> bool:
    """Whether a change to a fleet of this name is known here, and none to a service."""

    def is_known(kind: Kind) -> bool:
        target = Target(connection.url, connection.project, kind, name)
        return Store.default().applied(target) is not None

    return is_known("fleet") and not is_known("service")


def plan_back_to(number: int) -> Planner:
    """What plans the way back to a deployment, and says what stays as it is."""

    async def plan(at: Desk) -> Plan:
        store = Store.default()
        try:
            found = way_back(store, at.base, at.snapshot.capabilities, number)
        except NotKeptError as error:
            kept = store.deployments(at.base.target, at.base.id)
            if number in kept or number > at.base.deployment:
                raise
            known = await _known_since(at, number, kept)
            raise NotKeptError(f"{error.message} {known}", error.hint) from error
        for note in found.notes:
            say(note)
        return await make_plan(at.client, found.edit, snapshot=at.snapshot)

    return plan


async def _known_since(at: Desk, number: int, kept: Mapping[int, KeptSpec]) -> str:
    """What events say of a deployment whose spec is not kept."""
    service = at.snapshot.services[at.base.id]
    happened = await newest_of(at.client, [{"target_runs": [service.id]}], PAGE)
    return known_since(past_deployments(service, happened, kept), number)
