"""Instances and fleets that are cordoned: nothing new is placed there, with or without lanes.

They are read again for each job that is placed, so that a cordon counts at once on every server.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from dstack._internal.core.models.runs import JobTerminationReason
from dstack._internal.server.background.pipeline_tasks import jobs_submitted
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import FleetModel, InstanceModel
from dstack._internal.server.services.fleets import can_create_new_cloud_instance_in_fleet
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import held_addresses
from dstack_placement.server.base.tables import CordonRow
from dstack_placement.server.fleets.lane_fleets import spec_of


@dataclass(frozen=True, slots=True)
class Cordons:
    """All cordons, by the id of the fleet or the instance."""

    fleets: Mapping[uuid.UUID, CordonRow] = field(default_factory=dict)
    instances: Mapping[uuid.UUID, CordonRow] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is cordoned."""
        return bool(self.fleets or self.instances)

    def of_instance(self, instance: InstanceModel) -> CordonRow | None:
        """The cordon that an instance is under, its own first."""
        if not self:
            return None
        return self.instances.get(instance.id) or self.fleets.get(instance.fleet_id)

    def drain_of(
        self, fleet_id: uuid.UUID | None, instance_id: uuid.UUID | None
    ) -> CordonRow | None:
        """What has the jobs on an instance move away; None where they may stay."""
        for rows, key in ((self.instances, instance_id), (self.fleets, fleet_id)):
            row = rows.get(key) if key is not None else None
            if row is not None and row.drains_since is not None:
                return row
        return None

    def with_row(self, row: CordonRow) -> Cordons:
        """The cordons with one more, in place of one on the same."""
        if row.instance_id is None:
            return Cordons({**self.fleets, row.fleet_id: row}, self.instances)
        return Cordons(self.fleets, {**self.instances, row.instance_id: row})


#: Of a server on which nothing is cordoned.
NONE = Cordons()


async def read_cordons(session: AsyncSession) -> Cordons:
    """All cordons of the server."""
    rows = (await session.execute(select(CordonRow))).scalars().all()
    if not rows:
        return NONE
    return Cordons(
        {row.fleet_id: row for row in rows if row.instance_id is None},
        {row.instance_id: row for row in rows if row.instance_id is not None},
    )


def why(row: CordonRow) -> str:
    """Who cordoned something, and why: `cordoned by ada: new driver`."""
    return f"cordoned by {row.user}: {row.reason}" if row.reason else f"cordoned by {row.user}"


def holders(
    configuration: Mapping[str, Any], replicas: Iterable[tuple[str, int, uuid.UUID]]
) -> dict[uuid.UUID, tuple[str, ...]]:
    """The groups that hold the address of a replica, by its job.

    Args:
        configuration: The service.
        replicas: The group, the number and the job of each replica that does not stop.
    """
    ordered = sorted(replicas)
    found = {}
    for held in held_addresses(configuration):
        jobs = [job for group, _, job in ordered if group == held.group]
        if held.slot < len(jobs):
            found[jobs[held.slot]] = held.holders
    return found


@dataclass(slots=True)
class _Assignment:
    """What one job meets of cordons on its way to an instance.

    Attributes:
        cordons: The cordons when it began.
        skipped: What was skipped for one: `instance gpu-0 is cordoned by ada`.
        fleets: The fleets that it may use.
    """

    cordons: Cordons = NONE
    skipped: list[str] = field(default_factory=list)
    fleets: dict[uuid.UUID, FleetModel] = field(default_factory=dict)


_assigned: ContextVar[_Assignment | None] = ContextVar("assigned", default=None)


async def begin(session: AsyncSession | None = None) -> None:
    """Reads the cordons that count for what this task places next.

    Args:
        session: The session to read in; a new one where there is none.
    """
    _assigned.set(None)
    if session is None:
        async with get_session_ctx() as own:
            found = await read_cordons(own)
    else:
        found = await read_cordons(session)
    _assigned.set(_Assignment(found) if found else None)


def bars(fleet_id: uuid.UUID) -> bool:
    """Whether a fleet is cordoned as a whole, for what this task places."""
    assigned = _assigned.get()
    return assigned is not None and fleet_id in assigned.cordons.fleets


def offered(instances: list[InstanceModel]) -> list[InstanceModel]:
    """The instances of which none is cordoned."""
    assigned = _assigned.get()
    if assigned is None:
        return instances
    free = []
    for instance in instances:
        row = assigned.cordons.of_instance(instance)
        if row is None:
            free.append(instance)
        else:
            assigned.skipped.append(f"instance {instance.name} is {why(row)}")
    return free


def candidates(fleets: list[FleetModel]) -> list[FleetModel]:
    """The fleets of which none is cordoned as a whole."""
    assigned = _assigned.get()
    if assigned is None:
        return fleets
    free = []
    for fleet in fleets:
        row = assigned.cordons.fleets.get(fleet.id)
        if row is None:
            free.append(fleet)
            assigned.fleets[fleet.id] = fleet
        else:
            assigned.skipped.append(f"fleet {fleet.name} is {why(row)}")
    return free


def settled(context: Any, assignment: Any) -> Any:
    """What becomes of a job for which dstack found no instance because of a cordon.

    A job of a run that has its fleet waits: dstack would end the whole run for it. The first one of
    a run ends as it does when all is full, and says which cordon it met.

    Args:
        context: dstack's context of the job.
        assignment: What dstack makes of the job.
    """
    assigned = _assigned.get()
    if assigned is None:
        return assignment
    attached: FleetModel | None = context.run_model.fleet
    if isinstance(assignment, jobs_submitted._NewCapacityAssignment):
        fleet = attached or assigned.fleets.get(assignment.fleet_id)
        if fleet is None:
            return assignment
        row = assigned.cordons.fleets.get(fleet.id)
        if row is not None:
            assigned.skipped.append(f"fleet {fleet.name} is {why(row)}")
        elif can_create_new_cloud_instance_in_fleet(fleet, spec_of(fleet)):
            return assignment
    elif not isinstance(assignment, jobs_submitted._NoFleetAssignment):
        return assignment
    if not assigned.skipped:
        return assignment
    met = "; ".join(dict.fromkeys(assigned.skipped))
    if attached is not None:
        return jobs_submitted._DeferSubmittedJobResult(log_message=met)
    return jobs_submitted._TerminateSubmittedJobResult(
        reason=JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
        message=f"No other instance was found: {met}",
    )
