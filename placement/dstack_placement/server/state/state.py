"""The state of a run as the engine looks at it, read from dstack's database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dstack._internal.core.models.runs import Job, JobStatus, RunSpec
from dstack._internal.server.models import FleetModel, JobModel, ProjectModel, RunModel
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import (
    Cooldown,
    Group,
    Replica,
    Room,
    Service,
    ServiceSpec,
)
from dstack_placement.server.base.kept import Kept
from dstack_placement.server.base.tables import (
    Claim,
    CooldownRow,
    PlacementRow,
    RebalanceRow,
    ReclaimRow,
    Record,
    active_runs,
    placements_that_count,
    unsettled_placements,
)
from dstack_placement.server.fleets.cordons import NONE, Cordons, holders, read_cordons
from dstack_placement.server.fleets.editions import editions_of
from dstack_placement.server.fleets.lane_fleets import fleets_of_lanes
from dstack_placement.server.fleets.rooms import room_of
from dstack_placement.server.networks.reachability import unreachable_lanes
from dstack_placement.server.networks.unreachable import UnreachableLanes, limited
from dstack_placement.server.runs.replica_jobs import ReplicaJob

#: For how long a lane that was given to a replica is kept for it, until it has an instance; longer
#: while dstack has the job in hand, as queues and clouds can take their time.
KEPT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the fleets' instances are compared with to tell how much room there is.

    Attributes:
        project: The run's project.
        run_spec: The run's spec.
        samples: Makes a job of each group whose needs count.
    """

    project: ProjectModel
    run_spec: RunSpec
    samples: Callable[[], Mapping[str, Job]]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run with lanes.

    Attributes:
        run_id: The run.
        now: The time of the look.
        lanes: What its spec says of lanes.
        service: The same and all that is now, for the engine.
        jobs: The jobs that have not ended, by engine's key.
        placements: What was decided on them, and on others of which is not known yet whether they
            started, by job.
        fleets: The fleets of the lanes that exist, by the lanes' names; once there are rooms, with
            their instances.
        unreachable: The lanes whose workers the router can't reach, by pool and fleet.
        rebalance: The rebalancing that goes on.
        gives: The replicas that give way to other runs, by job.
        claims: The replicas of other runs that give way to this one, by pool and fleet.
        needs: What is needed to tell the rooms.
        cordons: What is cordoned on the server.
        has_rooms: Whether the rooms are in the service.
    """

    run_id: uuid.UUID
    now: datetime
    lanes: ServiceSpec
    service: Service
    jobs: Mapping[str, ReplicaJob]
    placements: Mapping[uuid.UUID, PlacementRow]
    fleets: Mapping[str, FleetModel]
    unreachable: UnreachableLanes
    rebalance: RebalanceRow | None
    needs: Needs
    cordons: Cordons
    gives: Mapping[uuid.UUID, ReclaimRow] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    has_rooms: bool = False

    @property
    def editions(self) -> dict[tuple[str, str], str]:
        """A digest of lanes and fleet per lane, by pool and fleet."""
        return editions_of(self.lanes, self.fleets)

    def claim_on(self, group: str, fleet: str | None) -> Claim | None:
        """What gives way in a fleet to the lane of a group; None where nothing does."""
        pool = self.lanes.pool_of(group)
        return self.claims.get((pool[0], fleet)) if pool is not None and fleet else None


def desired_counts(run: RunModel) -> dict[str, int]:
    """The replicas that dstack wants now, by group; empty until it has decided."""
    counts = run.desired_replica_counts
    return dict(json.loads(counts)) if counts else {}


async def read_state(
    session: AsyncSession,
    *,
    run: RunModel,
    lanes: ServiceSpec,
    jobs: Sequence[ReplicaJob],
    needs: Needs,
    changed: Mapping[str, int] | None = None,
    placing: uuid.UUID | None = None,
    cordons: Cordons | None = None,
) -> RunState:
    """Reads all that the engine needs to know of a run.

    Args:
        session: The session to read in.
        run: The run, whose desired counts and deployment number are current.
        lanes: The lanes of its spec.
        jobs: Its jobs that have not ended.
        needs: What its replicas need.
        changed: Replicas desired by group, where it is not as dstack last decided.
        placing: The job that is about to be placed: no lane is kept for it.
        cordons: What is cordoned, where it is not as it is stored.
    """
    fleets = await fleets_of_lanes(
        session,
        needs.project,
        _names(lanes),
        with_instances=True,
        for_dstack=placing is not None,
    )
    found = await session.execute(placements_that_count(run.id))
    state = _without_rooms(
        run,
        lanes,
        jobs,
        needs,
        fleets=fleets,
        placements=found.scalars(),
        cooldowns=await _cooldown_rows(session, run.id),
        rebalance=await session.get(RebalanceRow, run.id, populate_existing=True),
        cordons=await read_cordons(session) if cordons is None else cordons,
        changed=changed,
        placing=placing,
    )
    state = with_reclaims(state, await reclaims_of(session, run.id))
    return await _reached(session, await _with_rooms(session, state, fleets))


async def glance(
    session: AsyncSession,
    *,
    run: RunModel,
    lanes: ServiceSpec,
    jobs: Sequence[ReplicaJob],
    needs: Needs,
    record: Record,
    settled: bool,
) -> RunState:
    """Reads what changes of a run, without the rooms unless the router's lane depends on them.

    Args:
        session: The session to read in.
        run: The run, whose desired counts and deployment number are current.
        lanes: The lanes of its spec.
        jobs: Its jobs that have not ended.
        needs: What its replicas need.
        record: What is kept of the run.
        settled: Whether it is known of all jobs that they are where they were led to.
    """
    placements: Iterable[PlacementRow] = ()
    if record.unsettled or not settled:
        asked = unsettled_placements(run.id) if settled else placements_that_count(run.id)
        placements = (await session.execute(asked)).scalars()
    state = _without_rooms(
        run,
        lanes,
        jobs,
        needs,
        fleets=await fleets_of_lanes(session, needs.project, _names(lanes)),
        placements=placements,
        cooldowns=await _cooldown_rows(session, run.id) if record.cooldowns else (),
        rebalance=await session.get(RebalanceRow, run.id) if record.rebalances else None,
        cordons=await read_cordons(session) if record.cordons else NONE,
    )
    if record.gives or record.claims:
        state = with_reclaims(state, await reclaims_of(session, run.id))
    routers = {group.name for group in lanes.groups if group.router and lanes.pool_of(group.name)}
    if any(
        replica.group in routers and replica.fleet is None for replica in state.service.replicas
    ):
        return await with_rooms(session, state)
    return await _reached(session, state)


async def reclaims_of(session: AsyncSession, run_id: uuid.UUID) -> Sequence[Claim]:
    """What gives way to a run and what of it gives way, while the run that is short goes on."""
    found = await session.execute(
        select(ReclaimRow, JobModel.status)
        .outerjoin(JobModel, JobModel.id == ReclaimRow.job_id)
        .where(
            or_(ReclaimRow.run_id == run_id, ReclaimRow.for_run_id == run_id),
            ReclaimRow.for_run_id.in_(active_runs()),
        )
        .execution_options(populate_existing=True)
    )
    return [Claim(row, status is None or status.is_finished()) for row, status in found.tuples()]


def with_reclaims(state: RunState, reclaims: Iterable[Claim]) -> RunState:
    """The state with what gives way to its run, and what of it gives way to others."""
    gives, claims = {}, {}
    for claim in reclaims:
        row = claim.row
        if row.run_id == state.run_id:
            gives[row.job_id] = row
        else:
            claims[row.for_pool, row.fleet] = claim
    if not gives and not claims:
        return state
    names = {str(job_id): row.for_run_name for job_id, row in gives.items()}
    replicas = tuple(
        replace(replica, gives_way_to=names[replica.key]) if replica.key in names else replica
        for replica in state.service.replicas
    )
    service = replace(state.service, replicas=replicas)
    return replace(state, service=service, gives=gives, claims=claims)


async def with_rooms(session: AsyncSession, state: RunState) -> RunState:
    """The state with how much room its fleets have.

    Args:
        session: The session to read in.
        state: A state that was read without.
    """
    names = _names(state.lanes)
    fleets = await fleets_of_lanes(session, state.needs.project, names, with_instances=True)
    return await _reached(session, await _with_rooms(session, state, fleets))


def _without_rooms(
    run: RunModel,
    lanes: ServiceSpec,
    jobs: Sequence[ReplicaJob],
    needs: Needs,
    *,
    fleets: Mapping[str, FleetModel],
    placements: Iterable[PlacementRow],
    cooldowns: Iterable[CooldownRow],
    rebalance: RebalanceRow | None,
    cordons: Cordons,
    changed: Mapping[str, int] | None = None,
    placing: uuid.UUID | None = None,
) -> RunState:
    now = get_current_datetime()
    names = {fleet.id: name for name, fleet in fleets.items()}
    placed = {row.job_id: row for row in placements}
    wanted = {**desired_counts(run), **(changed or {})}
    leaving = _leaving(jobs, cordons, needs.run_spec)
    by_key, replicas = _replicas(run, jobs, placed, names, now, placing, leaving)
    service = Service(
        lanes=lanes.lanes,
        groups=tuple(
            Group(group.name, wanted.get(group.name, group.least), group.router, group.lanes)
            for group in lanes.groups
        ),
        replicas=replicas,
        cooldowns=_cooldowns(cooldowns, lanes, fleets),
    )
    return RunState(
        run_id=run.id,
        now=now,
        lanes=lanes,
        service=service,
        jobs=by_key,
        placements=placed,
        fleets=fleets,
        unreachable={},
        rebalance=rebalance,
        needs=needs,
        cordons=cordons,
    )


#: The replicas of a run, which most looks find as they were at the look before.
_known_replicas: Kept[uuid.UUID, tuple[Mapping[str, ReplicaJob], tuple[Replica, ...]]] = Kept(
    32 * 1024 * 1024
)
#: About what is needed for one of them.
_REPLICA_BYTES = 1000


def _replicas(
    run: RunModel,
    jobs: Sequence[ReplicaJob],
    placed: Mapping[uuid.UUID, PlacementRow],
    names: Mapping[uuid.UUID, str],
    now: datetime,
    placing: uuid.UUID | None,
    leaving: frozenset[uuid.UUID],
) -> tuple[Mapping[str, ReplicaJob], tuple[Replica, ...]]:
    """The jobs by the engine's keys, and the replicas for the engine."""
    version = (run.deployment_num, (*names.items(),), (*jobs,), leaving)
    # Only where one goes that is in no fleet yet depends on more.
    lasting = all(job.fleet_id is not None for job in jobs)
    known = _known_replicas.get(run.id, version) if lasting else None
    if known is not None:
        return known
    by_key = {job.key: job for job in jobs}
    replicas = tuple(
        Replica(
            key=key,
            number=job.number,
            group=job.group,
            state=job.state,
            fleet=_fleet_of(job, placed.get(job.id) if job.id != placing else None, names, now),
            out_of_date=job.deployment < run.deployment_num,
            leaves=job.id in leaving,
        )
        for key, job in by_key.items()
    )
    if lasting:
        size = _REPLICA_BYTES * (1 + len(jobs))
        _known_replicas.put(run.id, version, (by_key, replicas), size)
    return by_key, replicas


def _leaving(
    jobs: Sequence[ReplicaJob], cordons: Cordons, run_spec: RunSpec
) -> frozenset[uuid.UUID]:
    """The jobs that are to move away from a drained instance.

    One whose address others hold stays, unless the drain is forced: they would go on with it.
    """
    if not cordons:
        return frozenset()
    drained = {
        job.id: row for job in jobs if (row := cordons.drain_of(job.fleet_id, job.instance_id))
    }
    if all(row.forced for row in drained.values()):
        return frozenset(drained)
    held = held_replicas(jobs, run_spec)
    return frozenset(id_ for id_, row in drained.items() if row.forced or id_ not in held)


def held_replicas(
    jobs: Iterable[ReplicaJob], run_spec: RunSpec
) -> dict[uuid.UUID, tuple[str, ...]]:
    """The groups that hold the address of a replica, by its job."""
    return holders(
        run_spec.configuration.model_dump(),
        ((job.group, job.number, job.id) for job in jobs if job.lives),
    )


async def _with_rooms(
    session: AsyncSession, state: RunState, fleets: Mapping[str, FleetModel]
) -> RunState:
    names = {fleet.id: name for name, fleet in fleets.items()}
    kept = await _kept_elsewhere(session, state.run_id, names, state.now)
    for replica in state.service.replicas:
        if replica.fleet is not None and not state.jobs[replica.key].assigned:
            kept[replica.fleet] = kept.get(replica.fleet, 0) + 1
    samples = state.needs.samples()
    rooms = {}
    for name in _names(state.lanes):
        fleet = fleets.get(name)
        rooms[name] = (
            room_of(fleet, state.needs.run_spec, samples, kept.get(name, 0), state.cordons)
            if fleet is not None
            else Room(0, why="the fleet does not exist")
        )
    service = replace(state.service, rooms=rooms)
    return replace(state, service=service, fleets=fleets, has_rooms=True)


async def _reached(session: AsyncSession, state: RunState) -> RunState:
    """The state with the lanes that the router can't reach, where workers have no room."""
    unreachable = await unreachable_lanes(
        session, state.needs.run_spec, state.lanes, state.service, state.fleets, state.now
    )
    service = limited(state.service, state.lanes, unreachable)
    return replace(state, service=service, unreachable=unreachable)


def _names(lanes: ServiceSpec) -> list[str]:
    """The fleets that the lanes name."""
    return [*dict.fromkeys(lane.fleet for pool in lanes.pools.values() for lane in pool)]


def _fleet_of(
    job: ReplicaJob, row: PlacementRow | None, names: Mapping[uuid.UUID, str], now: datetime
) -> str | None:
    if job.fleet_id is not None:
        # A fleet that is no longer a lane keeps a name that no lane has.
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
    kept = {names[fleet]: count for fleet, count in rows if fleet is not None}
    # What gives way to another run is for nobody else.
    given = await session.execute(
        select(ReclaimRow.fleet_id, func.count())
        .where(
            ReclaimRow.for_run_id != run_id,
            ReclaimRow.fleet_id.in_(list(names)),
            ReclaimRow.for_run_id.in_(active_runs()),
        )
        .group_by(ReclaimRow.fleet_id)
    )
    for fleet_id, count in given.tuples():
        kept[names[fleet_id]] = kept.get(names[fleet_id], 0) + count
    return kept


async def _cooldown_rows(session: AsyncSession, run_id: uuid.UUID) -> Iterable[CooldownRow]:
    rows = await session.execute(select(CooldownRow).where(CooldownRow.run_id == run_id))
    return rows.scalars()


def _cooldowns(
    rows: Iterable[CooldownRow], lanes: ServiceSpec, fleets: Mapping[str, FleetModel]
) -> dict[tuple[str, str], Cooldown]:
    found = list(rows)
    editions = editions_of(lanes, fleets) if found else {}
    return {
        (row.pool, row.fleet): Cooldown(row.failures, row.since, row.until, row.cause)
        for row in found
        if editions.get((row.pool, row.fleet)) == row.edition
    }
