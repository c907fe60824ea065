"""Which looks at runs ask for the room in fleets, and how much there is."""

# ruff: noqa: E402
from __future__ import annotations

from typing import Any
from unittest import mock

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.models.instances import InstanceStatus
from dstack._internal.core.models.runs import JobStatus, JobTerminationReason
from dstack._internal.server.background.pipeline_tasks.runs import active
from dstack._internal.server.models import (
    InstanceModel,
    RunModel,
)
from dstack._internal.server.testing import common
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import event, select

from dstack_placement.server.active_run import running
from dstack_placement.server.base import tables
from dstack_placement.server.base.faults import faults
from dstack_placement.server.compat import overrides
from dstack_placement.server.fleets import rooms as fleet_rooms
from dstack_placement.server.moving import rebalancing
from dstack_placement.server.state import state
from tests.servers.processed_runs import active_context, counted, process
from tests.servers.stored_runs import World


async def rooms(world: World) -> dict[str, Any]:
    """At which looks it is asked how much room the fleets have, and what a quiet one asks."""
    near, far, lent = (world.in_fleet(name) for name in ("near", "far", "lent"))
    waits: dict[str, Any] = {"status": JobStatus.SUBMITTED}
    lost = {
        "status": JobStatus.FAILED,
        "termination_reason": JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
    }
    most_one = [{"name": "near", "max_replicas": 1}, "far"]
    seen = {
        "quiet": await _asked(world, "quiet", [near, far]),
        "starts": await _asked(world, "starts", [{**near, "status": JobStatus.PROVISIONING}, far]),
        "too many": await _asked(world, "many", [near, far, far]),
        "waits": await _asked(world, "waits", [near, waits]),
        "is to be made": await _asked(world, "made", [near]),
        "below its minimum": await _asked(world, "short", [far, far]),
        "above its maximum": await _asked(world, "above", [near, near], fleets=most_one),
        "in no lane": await _asked(world, "stray", [near, lent]),
        "found none": await _asked(world, "none", [lost]),
        "rebalances": await _asked(world, "rebalances", [near, far], rebalances=True),
    }
    _, statements = counted(world)
    instances: list[Any] = []
    event.listen(InstanceModel, "load", lambda row, _: instances.append(row))
    found = await world.session.execute(select(RunModel).where(RunModel.run_name == "quiet"))
    context = await active_context(found.unique().scalar_one())
    statements.clear()
    await overrides._active_run(active.process_active_run)(context)
    return {
        "asked": seen,
        "statements": len(statements),
        "instances": len(instances),
        "of a fleet": await _rooms_of_lent(world),
    }


async def _rooms_of_lent(world: World) -> list[Any]:
    """The room in a fleet with idle and busy nodes: for a look, a start, and all instances."""
    free = {"status": InstanceStatus.IDLE}
    shared = {"status": InstanceStatus.BUSY, "total_blocks": 2, "busy_blocks": 1}
    for more in (free, shared, {"status": InstanceStatus.BUSY}):
        fleet = world.fleets["lent"]
        await common.create_instance(world.session, world.lender, fleet=fleet, **more)
    resources = {"cpu": 1, "memory": "1GB..", "disk": "1GB.."}
    lanes = [{"name": "lender/lent", "min_replicas": 1}]
    run = await world.run("rooms", fleets=lanes, counts={"0": 1}, resources=resources)
    job = await world.job(run, 0, status=JobStatus.SUBMITTED)
    look = await running.look(await active_context(run))
    assert look is not None
    seen = await look.with_rooms()
    start = await state.read_state(
        world.session,
        run=run,
        lanes=seen.lanes,
        jobs=[*seen.jobs.values()],
        needs=seen.needs,
        placing=job.id,
    )
    with mock.patch.object(fleet_rooms, "_may_be_free", return_value=True):
        all_compared = await state.with_rooms(world.session, start)
    states = (seen, start, all_compared)
    return [each.service.rooms["lender/lent"].more for each in states]


async def _asked(
    world: World,
    name: str,
    jobs: list[dict[str, Any]],
    fleets: list[Any] | None = None,
    rebalances: bool = False,
) -> bool:
    """Whether a look at a service of two replicas asks for rooms, once it knows the service."""
    run = await world.run(name, fleets=fleets, counts={"0": 2})
    for number, job in enumerate(jobs):
        await world.job(run, number, **job)
    await process(run)
    await process(run)
    if rebalances:
        now = get_current_datetime()
        edition = rebalancing._edition((await world.state_of(run, world.project)).lanes)
        row = tables.RebalanceRow(run_id=run.id, since=now, edition=edition, left=1)
        world.session.add(row)
        await world.session.commit()
    judged = overrides._replica_analysis(active._analyze_active_run_replica)
    with (
        mock.patch.object(active, "_analyze_active_run_replica", judged),
        mock.patch.object(state, "room_of", wraps=state.room_of) as asked,
    ):
        await process(run)
    assert faults.of(run.id) is None
    return bool(asked.called)
