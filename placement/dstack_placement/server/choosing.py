"""Choosing the lane of one replica, serialised per run in the database."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dstack._internal.core.models.runs import JobTerminationReason, RunSpec
from dstack._internal.server.background.pipeline_tasks import jobs_submitted
from dstack._internal.server.background.pipeline_tasks.jobs_submitted import _SubmittedJobContext
from dstack._internal.server.models import FleetModel, JobModel, RunModel
from dstack._internal.server.services import events
from dstack._internal.server.services.logging import fmt
from dstack._internal.utils.logging import get_logger
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import lazyload
from sqlalchemy.orm.attributes import set_committed_value

from dstack_placement.engine import Placing, Reason, ServiceLanes, place
from dstack_placement.server import specs
from dstack_placement.server.reachability import tell_unreachable
from dstack_placement.server.state import KEPT, RunState, read_jobs, read_state
from dstack_placement.server.tables import PlacementRow, forget_finished_runs, locked_run

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
        others_live: Whether another replica of the run has an instance.
    """

    fleet: FleetModel | None
    why: str
    others_live: bool


async def assign(
    original: Callable[..., Any], context: _SubmittedJobContext, lanes: ServiceLanes
) -> Any:
    """Gives a submitted job its lane, and lets dstack assign it an instance there.

    Args:
        original: dstack's own assignment.
        context: dstack's context of the job.
        lanes: The lanes of its run.
    """
    choice = await choose(context, lanes)
    if choice.fleet is not None:
        use_fleet(context, choice.fleet, lanes)
        return await original(context=context)
    if choice.others_live:
        return jobs_submitted._DeferSubmittedJobResult(log_message=choice.why)
    return jobs_submitted._TerminateSubmittedJobResult(
        reason=JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
        message=f"No lane takes the replica: {choice.why}",
    )


async def choose(context: _SubmittedJobContext, lanes: ServiceLanes) -> Choice:
    """Chooses the lane of a submitted job and keeps it for the job.

    Args:
        context: dstack's context of the submitted job.
        lanes: The lanes of its run.
    """
    job_model: JobModel = context.job_model
    run_model: RunModel = context.run_model
    job = context.job
    async with locked_run(run_model.id) as session:
        state = await _read(session, context, lanes)
        if state.unreachable:
            await tell_unreachable(session, run_model, state)
        lives = any(other.lives for other in state.jobs.values() if other.id != job_model.id)
        row = state.placements.get(job_model.id)
        if row is not None and _holds(state, row, job.job_spec.replica_group):
            return Choice(state.fleets[str(row.fleet)], row.why, lives)
        placing = place(state.service, str(job_model.id), now=state.now)
        await _keep(session, state, placing, row, job_model, run_model)
        fleet = state.fleets[placing.fleet] if placing.fleet is not None else None
        return Choice(fleet, placing.why, lives)


def use_fleet(context: _SubmittedJobContext, fleet: FleetModel, lanes: ServiceLanes) -> None:
    """Makes dstack take a fleet as the run's own for one job, without writing it to the run."""
    run_model: RunModel = context.run_model
    set_committed_value(run_model, "fleet", fleet)
    set_committed_value(run_model, "fleet_id", fleet.id)
    context.fleet_model = fleet
    run_spec: RunSpec = context.run.run_spec
    group = context.job.job_spec.replica_group
    pool = specs.pool_of(lanes, group)
    if pool is not None:
        run_spec.merged_profile.fleets = [lane.fleet for lane in pool[1]]


async def _read(
    session: AsyncSession, context: _SubmittedJobContext, lanes: ServiceLanes
) -> RunState:
    """The state with jobs and fleets of one moment.

    Other workers give instances to replicas meanwhile. A replica that is seen without an instance
    that is seen as taken would count twice, so the look is repeated while jobs change under it.
    """
    run_id = context.run_model.id
    run = await _fresh(session, run_id)
    jobs = await read_jobs(session, run_id)
    for _ in range(_LOOKS):
        state = await read_state(
            session,
            run=run,
            run_spec=context.run.run_spec,
            project=context.project,
            lanes=lanes,
            jobs=jobs,
            samples={context.job.job_spec.replica_group: context.job},
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


def _holds(state: RunState, row: PlacementRow, group: str) -> bool:
    """Whether a lane that was kept for a job is still good."""
    # Of an older one, not enough time might be left for what comes now.
    if row.fleet is None or row.fleet not in state.fleets or state.now - row.since > KEPT / 2:
        return False
    pool = specs.pool_of(state.lanes, group)
    if pool is None or all(lane.fleet != row.fleet for lane in pool[1]):
        return False
    cooldown = state.service.cooldowns.get((pool[0], row.fleet))
    return cooldown is None or not cooldown.cools(state.now)


async def _keep(
    session: AsyncSession,
    state: RunState,
    placing: Placing,
    row: PlacementRow | None,
    job_model: JobModel,
    run_model: RunModel,
) -> None:
    if not state.placements:
        await forget_finished_runs(session)
    told = row is not None and (row.reason, row.fleet) == (placing.reason.value, placing.fleet)
    fleet = state.fleets[placing.fleet] if placing.fleet is not None else None
    # A replica that waits is looked at again and again, and has waited since the first time.
    waited = row is not None and row.fleet is None and placing.fleet is None
    since = row.since if row is not None and waited else state.now
    await session.merge(
        PlacementRow(
            job_id=job_model.id,
            run_id=run_model.id,
            fleet=placing.fleet,
            fleet_id=fleet.id if fleet is not None else None,
            reason=placing.reason.value,
            why=placing.why,
            since=since,
            outcome=None,
        )
    )
    if not told:
        where = f"goes to fleet {placing.fleet}" if placing.fleet is not None else "waits"
        logger.info("%s: %s: %s", fmt(job_model), where, placing.why)
    message = {
        Reason.FALLBACK: f"Replica falls back to fleet {placing.fleet}: {placing.why}",
        Reason.PENDING: f"Replica waits for room in a lane: {placing.why}",
    }.get(placing.reason)
    if message is not None and not told:
        events.emit(
            session,
            message,
            actor=events.SystemActor(),
            targets=[events.Target.from_model(job_model)],
        )
