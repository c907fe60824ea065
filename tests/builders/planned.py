"""Plans of what has slips in a project of many records, and changes of it that are followed."""

from __future__ import annotations

import json
from contextlib import aclosing, suppress

from dstack_api_client.edits.base.base import read_fleet, read_service
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import plan_fleet
from dstack_api_client.edits.follow.following import follow, progress
from dstack_api_client.edits.follow.following_fleets import fleet_progress, goal_of
from dstack_api_client.edits.plan.planning import make_plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.errors import ApiError
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.editing import plan_text
from dstack_fleets_tui.output import plans
from tests.builders.crowd import CONFIGURED, Crowd

#: What else of them plans and changes look at.
_READ = ("the whole", "id", "name", "status", "deployment_num")


async def plan_slipped(client: Client, snapshot: Snapshot, crowd: Crowd) -> int:
    """Plans an edit of each run and fleet whose configuration had a slip, and follows it.

    What follows looks at the snapshot at hand; one of them is read again, as the program does.

    Returns:
        How many there were.
    """
    tried = [
        key
        for key, what in crowd.slipped.items()
        if key.kind in CONFIGURED and what.startswith((CONFIGURED[key.kind], *_READ))
    ]
    for number, key in enumerate(tried):
        with suppress(ApiError):  # it is refused
            if key.kind == "fleet":
                await _plan_fleet(client, snapshot, crowd.name(key))
            else:
                await _plan_service(client, snapshot, crowd.name(key), read=not number)
    return len(tried)


async def _plan_service(client: Client, snapshot: Snapshot, name: str, *, read: bool) -> None:
    base = await read_service(client, "main", name)
    edit = ServiceEdit.begin(base, snapshot.capabilities)
    outlook = None
    with suppress(ApiError):  # it is refused; what was applied is followed all the same
        plan = await make_plan(
            client, edit.with_values({("configuration", "priority"): 5}), snapshot=snapshot
        )
        outlook = plan.dry_run
        plan_text.of_service(plan)
        plans.plan_text(plan)
        json.dumps(plans.plan_item(plan))
    looks = [progress(base, base, snapshot, outlook, outlook)]
    if read:
        following = follow(client, base, snapshot.capabilities, planned=outlook)
        async with aclosing(following):  # type: ignore[type-var]
            looks.append(await anext(following))
    for look in looks:
        plans.progress_text(look)
        plans.end_text(look)
        json.dumps(plans.progress_item(look))


async def _plan_fleet(client: Client, snapshot: Snapshot, name: str) -> None:
    base = await read_fleet(client, "main", name)
    plan = await plan_fleet(
        client, FleetEdit.begin(base).with_field("tags", {"a": "b"}), snapshot=snapshot
    )
    plan_text.of_fleet(plan)
    for seen in (True, False):
        fleet_progress(goal_of(plan), base.id, snapshot, seen=seen)
