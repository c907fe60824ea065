"""Choosing the lanes of replicas, serialised per run in the database.

dstack asks for one replica at a time, with many workers at once. Who comes first chooses for all
that wait, so the others find what was chosen and need no look at the whole run of their own.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from dstack._internal.core.models.runs import JobTerminationReason, RunSpec
from dstack._internal.server.background.pipeline_tasks import jobs_submitted
from dstack._internal.server.background.pipeline_tasks.jobs_submitted import _SubmittedJobContext
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import FleetModel, InstanceModel, JobModel, RunModel
from dstack._internal.server.services.logging import fmt
from dstack._internal.utils.common import get_current_datetime
from dstack._internal.utils.logging import get_logger
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer, lazyload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from dstack_placement.engine import (
    Action,
    Placing,
    Reason,
    ReplicaState,
    ServiceSpec,
    next_actions,
    place,
)
from dstack_placement.server.assignment.reach_events import tell_unreachable
from dstack_placement.server.base.tables import (
    CooldownRow,
    PlacementRow,
    forget_finished_runs,
    locked_run,
)
from dstack_placement.server.base.telling import tell
from dstack_placement.server.errors import RunBusyError
from dstack_placement.server.fleets import cordons
from dstack_placement.server.runs import specs
from dstack_placement.server.runs.replica_jobs import read_jobs
from dstack_placement.server.state.state import KEPT, Needs, RunState, read_state
from dstack_placement.server.view.claims import gave_way

#: Below dstack's own, so that the level that is set for the server is this one's too.
logger = get_logger("dstack.placement")

#: Most looks at a state that changes, before the last is taken as it is.
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a replica goes.

    Attributes:
        fleet: The fleet with its instances; None while it fits nowhere.
        why: The reason in words.
        others_live: Of one that fits nowhere: whether another replica of the run has an instance,
            or a lane in which it is about to get one.
    """

    fleet: FleetModel | None
    why: str
    others_live: bool = False


async def choose_or_wait(context: _SubmittedJobContext) -> Any:
    """Gives a submitted job its lane, in which dstack is to assign it an instance.

    Args:
        context: dstack's context of the job; it is changed.

    Returns:
        What dstack is to do with a job that gets no lane now; None when its own assignment goes
        on, also for a job without lanes.
    """
    lanes = specs.lanes_of(context.run.run_spec, context.project.name)
    if lanes is None:
        return None
    group = context.job.job_spec.replica_group
    if lanes.group(group) is None:
        # dstack stops it at its next look at the run.
        return _wait(f"group {group} is not in the service any more")
    if lanes.pool_of(group) is None:
        return None
    try:
        choice = await choose(context, lanes)
    except RunBusyError as error:
        return _wait(str(error))
    if choice.fleet is not None:
        use_fleet(context, choice.fleet, lanes)
        return None
    if choice.others_live:
        return _wait(choice.why)
    return jobs_submitted._TerminateSubmittedJobResult(
        reason=JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
        message=f"No lane takes the replica: {choice.why}",
    )


def _wait(why: str) -> Any:
    return jobs_submitted._DeferSubmittedJobResult(log_message=why)


async def choose(context: _SubmittedJobContext, lanes: ServiceSpec) -> Choice:
    """Chooses the lane of a submitted job and keeps it for the job.

    Args:
        context: dstack's context of the submitted job.
        lanes: The lanes of its run.
    """
    async with get_session_ctx() as session:
        choice = await _chosen(session, context, lanes)
    if choice is not None:
        return choice
    async with locked_run(context.run_model.id) as session:
        # Somebody may have chosen for it while it waited for its turn.
        return await _chosen(session, context, lanes) or await _choose(session, context, lanes)


async def _chosen(
    session: AsyncSession, context: _SubmittedJobContext, lanes: ServiceSpec
) -> Choice | None:
    """What was chosen for a job already, if it is still good."""
    row = await session.get(PlacementRow, context.job_model.id, populate_existing=True)
    pool = lanes.pool_of(context.job.job_spec.replica_group)
    now = get_current_datetime()
    # Of an older one, not enough time might be left for what comes now.
    if row is None or row.fleet_id is None or pool is None or now - row.since > KEPT / 2:
        return None
    if all(lane.fleet != row.fleet for lane in pool[1]) or cordons.bars(row.fleet_id):
        return None
    cooldown = await session.get(CooldownRow, (row.run_id, pool[0], row.fleet))
    if cooldown is not None and cooldown.until > now:
        return None
    found = await session.execute(
        select(FleetModel)
        .where(FleetModel.id == row.fleet_id, FleetModel.deleted.is_(False))
        .options(selectinload(FleetModel.instances.and_(InstanceModel.deleted.is_(False))))
    )
    fleet = found.unique().scalar_one_or_none()
    return Choice(fleet, row.why) if fleet is not None else None


async def _choose(
    session: AsyncSession, context: _SubmittedJobContext, lanes: ServiceSpec
) -> Choice:
    job_model: JobModel = context.job_model
    run_model: RunModel = context.run_model
    state = await _read(session, context, lanes)
    if state.unreachable:
        await tell_unreachable(session, run_model, state)
    placing = place(state.service, str(job_model.id), now=state.now)
    _keep(session, state, placing, job_model)
    if placing.fleet is not None:
        await _choose_for_others(session, state, placing)
    if not state.placements:
        # Last, since from then on nobody else writes to SQLite.
        await forget_finished_runs(session)
    if placing.fleet is not None:
        return Choice(state.fleets[placing.fleet], placing.why)
    others = [other for other in state.service.replicas if other.key != str(job_model.id)]
    stopping = ReplicaState.STOPPING
    lives = any(o.fleet is not None and o.state is not stopping for o in others)
    return Choice(None, placing.why, lives)


async def _choose_for_others(session: AsyncSession, state: RunState, first: Placing) -> None:
    """Chooses for the replicas that wait like one that has been placed: those of its group."""
    group = first.replica.group
    rooms = dict(state.service.rooms)
    room = rooms.get(str(first.fleet))
    if room is not None and room.more is not None:
        rooms[str(first.fleet)] = replace(room, more=room.more - 1)
    replicas = tuple(
        replace(replica, fleet=first.fleet) if replica.key == first.replica.key else replica
        for replica in state.service.replicas
    )
    service = replace(state.service, replicas=replicas, rooms=rooms)
    placings = {
        row.replica.key: Placing(row.replica, row.to, row.reason, row.why, row.cause)
        for row in next_actions(service, now=state.now).doing(Action.START)
        if row.reason is not None and not row.new and row.replica.group == group
    }
    if not placings:
        return
    found = await session.execute(
        select(JobModel)
        .where(JobModel.id.in_([state.jobs[key].id for key in placings]))
        .options(lazyload("*"), defer(JobModel.job_spec_data))
    )
    for job_model in found.scalars():
        _keep(session, state, placings[str(job_model.id)], job_model)


def use_fleet(context: _SubmittedJobContext, fleet: FleetModel, lanes: ServiceSpec) -> None:
    """Makes dstack take a fleet as the run's own for one job, without writing it to the run."""
    run_model: RunModel = context.run_model
    set_committed_value(run_model, "fleet", fleet)
    set_committed_value(run_model, "fleet_id", fleet.id)
    context.fleet_model = fleet
    run_spec: RunSpec = context.run.run_spec
    group = context.job.job_spec.replica_group
    pool = lanes.pool_of(group)
    if pool is not None:
        run_spec.merged_profile.fleets = [lane.fleet for lane in pool[1]]


async def _read(
    session: AsyncSession, context: _SubmittedJobContext, lanes: ServiceSpec
) -> RunState:
    """The state with jobs and fleets of one moment.

    Other workers give instances to replicas meanwhile. A replica that is seen without an instance
    that is seen as taken would count twice, so the look is repeated while jobs change under it.
    """
    run_id = context.run_model.id
    run = await _fresh(session, run_id)
    jobs = await read_jobs(session, run_id)
    samples = {context.job.job_spec.replica_group: context.job}
    needs = Needs(context.project, context.run.run_spec, lambda: samples)
    for _ in range(_LOOKS):
        state = await read_state(
            session,
            run=run,
            lanes=lanes,
            jobs=jobs,
            needs=needs,
            placing=context.job_model.id,
        )
        before, jobs = jobs, await read_jobs(session, run_id)
        if [(job.id, job.assigned) for job in before] == [(job.id, job.assigned) for job in jobs]:
            break
    return state


async def _fresh(session: AsyncSession, run_id: uuid.UUID) -> RunModel:
    result = await session.execute(
        select(RunModel).where(RunModel.id == run_id).options(lazyload(RunModel.jobs))
    )
    return result.unique().scalar_one()


def _keep(session: AsyncSession, state: RunState, placing: Placing, job_model: JobModel) -> None:
    """Keeps for a job what was chosen, and tells it once."""
    row = state.placements.get(job_model.id)
    told = row is not None and (row.reason, row.fleet) == (placing.reason.value, placing.fleet)
    fleet = state.fleets[placing.fleet] if placing.fleet is not None else None
    # A replica that waits is looked at again and again, and has waited since the first time.
    waited = row is not None and row.fleet is None and placing.fleet is None
    since = row.since if row is not None and waited else state.now
    if row is None:
        row = PlacementRow(job_id=job_model.id, run_id=job_model.run_id)
        session.add(row)
    row.fleet = placing.fleet
    row.fleet_id = fleet.id if fleet is not None else None
    row.reason = placing.reason.value
    gone = gave_way(state.claim_on(placing.replica.group, placing.fleet))
    row.why, row.cause = placing.why + gone, placing.cause + gone
    row.since = since
    row.outcome = None
    if not told:
        where = f"goes to fleet {placing.fleet}" if placing.fleet is not None else "waits"
        logger.info("%s: %s: %s", fmt(job_model), where, placing.why)
    message = {
        Reason.FALLBACK: f"Replica falls back to fleet {placing.fleet}: {placing.why}",
        Reason.PENDING: f"Replica waits for room in a lane: {placing.why}",
    }.get(placing.reason)
    if message is not None and not told:
        tell(session, job_model, message)
