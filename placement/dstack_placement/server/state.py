"""The state of a run as the engine looks at it, read from dstack's database."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dstack._internal.core.models.runs import Job, JobStatus, RunSpec
from dstack._internal.server.models import FleetModel, JobModel, ProjectModel, RunModel
from dstack._internal.server.services.runs import plan as dstack_plan
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from dstack_placement.engine import (
    LANE_FIELDS,
    ONLY_GROUP,
    Cooldown,
    Group,
    Lane,
    Replica,
    ReplicaState,
    Room,
    Service,
    ServiceSpec,
)
from dstack_placement.server.reachability import unreachable_lanes
from dstack_placement.server.rooms import room_of
from dstack_placement.server.tables import (
    CooldownRow,
    PlacementRow,
    RebalanceRow,
    live_placements,
    unsettled_placements,
)
from dstack_placement.server.unreachable import UnreachableLanes, limited

#: For how long a lane that was given to a replica is kept for it, until it has an instance; longer
#: while dstack has the job in hand, as queues and clouds can take their time.
KEPT = timedelta(seconds=60)

_STATES = {
    JobStatus.SUBMITTED: ReplicaState.PENDING,
    JobStatus.PROVISIONING: ReplicaState.STARTING,
    JobStatus.PULLING: ReplicaState.STARTING,
    JobStatus.RUNNING: ReplicaState.RUNNING,
}


@dataclass(frozen=True, slots=True)
class ReplicaJob:
    """What counts of a replica's job (a service's replica has one).

    Attributes:
        state: How far it has come; `READY` where it gets traffic.
        assigned: Whether it has been given an instance.
        in_hand: Until when a server has the job in hand, if one has.
    """

    id: uuid.UUID
    number: int
    group: str
    state: ReplicaState
    fleet_id: uuid.UUID | None
    deployment: int
    assigned: bool
    in_hand: datetime | None

    @property
    def key(self) -> str:
        """What names the replica in the engine."""
        return str(self.id)

    @property
    def lives(self) -> bool:
        """Whether it has an instance and is not on its way out."""
        return self.assigned and self.state is not ReplicaState.STOPPING


@dataclass(frozen=True, slots=True)
class RunState:
    """A run with lanes.

    Attributes:
        now: The time of the look.
        lanes: What its spec says of lanes.
        service: The same and all that is now, for the engine.
        jobs: The jobs that have not ended, by engine's key.
        placements: What was decided on them, and on others of which is not known yet whether they
            started, by job.
        fleets: The fleets of the lanes that exist, with their instances, by the lanes' names.
        editions: A digest of lanes and fleet per lane, by pool and fleet.
        unreachable: The lanes whose workers the router can't reach, by pool and fleet.
        rebalance: The rebalancing that goes on.
    """

    now: datetime
    lanes: ServiceSpec
    service: Service
    jobs: Mapping[str, ReplicaJob]
    placements: Mapping[uuid.UUID, PlacementRow]
    fleets: Mapping[str, FleetModel]
    editions: Mapping[tuple[str, str], str]
    unreachable: UnreachableLanes
    rebalance: RebalanceRow | None


async def read_jobs(session: AsyncSession, run_id: uuid.UUID) -> list[ReplicaJob]:
    """The jobs of a run that have not ended."""
    rows = await session.execute(
        select(
            JobModel.id,
            JobModel.replica_num,
            JobModel.status,
            JobModel.ready,
            JobModel.fleet_id,
            JobModel.deployment_num,
            JobModel.instance_assigned,
            JobModel.lock_expires_at,
        )
        .where(
            JobModel.run_id == run_id,
            JobModel.job_num == 0,
            JobModel.status.not_in(JobStatus.finished_statuses()),
        )
        .order_by(JobModel.id)
    )
    found = rows.all()
    groups = await groups_of(session, [row.id for row in found])
    return [
        ReplicaJob(
            id=row.id,
            number=row.replica_num,
            group=groups[row.id],
            state=state_of(row.status, ready=row.ready),
            fleet_id=row.fleet_id,
            deployment=row.deployment_num,
            assigned=row.instance_assigned,
            in_hand=row.lock_expires_at,
        )
        for row in found
    ]


def state_of(status: JobStatus, *, ready: bool) -> ReplicaState:
    """How far a job has come, in the engine's terms."""
    if status is JobStatus.RUNNING and ready:
        return ReplicaState.READY
    return _STATES.get(status, ReplicaState.STOPPING)


def desired_counts(run: RunModel) -> dict[str, int]:
    """The replicas that dstack wants now, by group; empty until it has decided."""
    counts = run.desired_replica_counts
    return dict(json.loads(counts)) if counts else {}


async def read_state(
    session: AsyncSession,
    *,
    run: RunModel,
    run_spec: RunSpec,
    project: ProjectModel,
    lanes: ServiceSpec,
    jobs: Sequence[ReplicaJob],
    samples: Mapping[str, Job],
    changed: Mapping[str, int] | None = None,
    placing: uuid.UUID | None = None,
) -> RunState:
    """Reads what the engine needs to know of a run.

    Args:
        session: The session to read in.
        run: The run, whose desired counts and deployment number are current.
        run_spec: Its spec.
        project: Its project.
        lanes: The lanes of the spec.
        jobs: Its jobs that have not ended.
        samples: A job of each group whose needs are to be compared with the fleets' instances.
        changed: Replicas wanted by group, where it is not as dstack last decided.
        placing: The job that is about to be placed: no lane is kept for it.
    """
    now = get_current_datetime()
    fleets = await _fleets(session, project, run_spec, lanes)
    names = {fleet.id: name for name, fleet in fleets.items()}
    placements: dict[uuid.UUID, PlacementRow] = {}
    for asked in (live_placements([run.id]), unsettled_placements(run.id)):
        placements |= {row.job_id: row for row in (await session.execute(asked)).scalars()}
    editions = editions_of(lanes, fleets)
    wanted = {**desired_counts(run), **(changed or {})}
    kept = await _kept_elsewhere(session, run.id, names, now)
    replicas = []
    for job in jobs:
        row = placements.get(job.id) if job.id != placing else None
        fleet = _fleet_of(job, row, names, now)
        if not job.assigned and fleet is not None:
            kept[fleet] = kept.get(fleet, 0) + 1
        replicas.append(
            Replica(
                key=job.key,
                number=job.number,
                group=job.group,
                state=job.state,
                fleet=fleet,
                out_of_date=job.deployment < run.deployment_num,
            )
        )
    service = Service(
        lanes=lanes.lanes,
        groups=tuple(
            Group(group.name, wanted.get(group.name, group.least), group.router, group.lanes)
            for group in lanes.groups
        ),
        replicas=tuple(replicas),
        rooms=_rooms(lanes, fleets, run_spec, samples, kept),
        cooldowns=await _cooldowns(session, run.id, editions),
    )
    unreachable = await unreachable_lanes(session, run_spec, lanes, service, fleets, now)
    return RunState(
        now=now,
        lanes=lanes,
        service=limited(service, lanes, unreachable),
        jobs={job.key: job for job in jobs},
        placements=placements,
        fleets=fleets,
        editions=editions,
        unreachable=unreachable,
        rebalance=await session.get(RebalanceRow, run.id, populate_existing=True),
    )


_group_of_job: dict[uuid.UUID, str] = {}
_MOST_REMEMBERED = 20_000


async def groups_of(session: AsyncSession, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The replica groups of jobs: part of a large text that never changes, so it is kept."""
    wanted = list(ids)
    found = {job: _group_of_job[job] for job in wanted if job in _group_of_job}
    missing = [job for job in wanted if job not in found]
    if missing:
        rows = await session.execute(
            select(JobModel.id, JobModel.job_spec_data).where(JobModel.id.in_(missing))
        )
        # Servers before groups stored none, and a job may have been deleted just now.
        read = {row.id: json.loads(row.job_spec_data).get("replica_group") for row in rows}
        found |= {job: read.get(job) or ONLY_GROUP for job in missing}
        if len(_group_of_job) + len(read) > _MOST_REMEMBERED:
            _group_of_job.clear()
        _group_of_job.update((job, found[job]) for job in read)
    return found


async def _fleets(
    session: AsyncSession, project: ProjectModel, run_spec: RunSpec, lanes: ServiceSpec
) -> dict[str, FleetModel]:
    names = {lane.fleet for pool in lanes.pools.values() for lane in pool}
    of_lanes = run_spec.model_copy(
        update={
            "merged_profile": run_spec.merged_profile.model_copy(
                update={"fleets": sorted(names), "instances": None}
            )
        }
    )
    fleet_filters, instance_filters = await dstack_plan.get_run_candidate_fleet_models_filters(
        session=session, project=project, run_model=None, run_spec=of_lanes
    )
    # One statement for fleets, one for instances: dstack's own two would lose a fleet that gets its
    # first instance between them.
    result = await session.execute(
        select(FleetModel)
        .join(FleetModel.project)
        .where(*fleet_filters)
        .options(selectinload(FleetModel.instances.and_(*instance_filters)))
        .execution_options(populate_existing=True)
    )
    found = result.unique().scalars().all()
    owners = await session.execute(
        select(ProjectModel.id, ProjectModel.name).where(
            ProjectModel.id.in_({fleet.project_id for fleet in found})
        )
    )
    owner_names = {row.id: row.name for row in owners}
    return {
        fleet.name
        if fleet.project_id == project.id
        else f"{owner_names[fleet.project_id]}/{fleet.name}": fleet
        for fleet in found
    }


def _fleet_of(
    job: ReplicaJob, row: PlacementRow | None, names: Mapping[uuid.UUID, str], now: datetime
) -> str | None:
    if job.fleet_id is not None:
        # A fleet that is no lane any more keeps a name that no lane has.
        return names.get(job.fleet_id, str(job.fleet_id))
    if row is None or row.fleet_id is None:
        return None
    in_hand = job.in_hand is not None and job.in_hand > now
    if now - row.since > KEPT and not in_hand:
        return None
    return names.get(row.fleet_id)


async def _kept_elsewhere(
    session: AsyncSession, run_id: uuid.UUID, names: Mapping[uuid.UUID, str], now: datetime
) -> dict[str, int]:
    """Places in the fleets that other runs' replicas were given and have not taken yet.

    They are found by the fleets' ids: a run of another project has other names for them.
    """
    rows = await session.execute(
        select(PlacementRow.fleet_id, func.count())
        .join(JobModel, JobModel.id == PlacementRow.job_id)
        .where(
            PlacementRow.run_id != run_id,
            PlacementRow.fleet_id.in_(list(names)),
            PlacementRow.outcome.is_(None),
            or_(PlacementRow.since > now - KEPT, JobModel.lock_expires_at > now),
            JobModel.status == JobStatus.SUBMITTED,
            JobModel.instance_assigned.is_(False),
        )
        .group_by(PlacementRow.fleet_id)
    )
    return {names[fleet]: count for fleet, count in rows if fleet is not None}


def _rooms(
    lanes: ServiceSpec,
    fleets: Mapping[str, FleetModel],
    run_spec: RunSpec,
    samples: Mapping[str, Job],
    kept: Mapping[str, int],
) -> dict[str, Room]:
    rooms: dict[str, Room] = {}
    for pool in lanes.pools.values():
        for lane in pool:
            if lane.fleet in rooms:
                continue
            fleet = fleets.get(lane.fleet)
            if fleet is None:
                rooms[lane.fleet] = Room(0, why="the fleet does not exist")
                continue
            rooms[lane.fleet] = room_of(fleet, run_spec, samples, kept.get(lane.fleet, 0))
    return rooms


async def _cooldowns(
    session: AsyncSession, run_id: uuid.UUID, editions: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], Cooldown]:
    rows = await session.execute(select(CooldownRow).where(CooldownRow.run_id == run_id))
    return {
        (row.pool, row.fleet): Cooldown(row.failures, row.since, row.until, row.cause)
        for row in rows.scalars()
        if editions.get((row.pool, row.fleet)) == row.edition
    }


def editions_of(lanes: ServiceSpec, fleets: Mapping[str, FleetModel]) -> dict[tuple[str, str], str]:
    """A digest of lanes and fleet per lane, by pool and fleet: an edit of either changes it.

    Args:
        lanes: The lanes of a run.
        fleets: The fleets that exist, by the lanes' names.
    """
    editions = {}
    for name, pool in lanes.pools.items():
        text = repr([_written(lane) for lane in pool])
        for lane in pool:
            fleet = fleets.get(lane.fleet)
            spec = fleet.spec if fleet is not None else ""
            editions[name, lane.fleet] = hashlib.sha256(f"{text}\n{spec}".encode()).hexdigest()
    return editions


def _written(lane: Lane) -> tuple[object, ...]:
    return (lane.fleet, *map(lane.value, LANE_FIELDS))
