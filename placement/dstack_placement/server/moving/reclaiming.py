"""Places that minimums take from other services: who gives way, for whom, and until when.

A look at a run that is short chooses the replica and keeps it in the database. The look at the
other run then moves it, by the same rules as any move; the place that it leaves is kept for the run
that is short. One replica at a time gives way in a fleet.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from dstack._internal.core.models.runs import Job, JobStatus, RunSpec, RunStatus
from dstack._internal.server.models import InstanceModel, JobMetricsPoint, JobModel, RunModel
from dstack._internal.server.services.jobs import get_job_runtime_data
from dstack._internal.server.services.runs import get_run_spec
from dstack._internal.server.services.runs import plan as dstack_plan
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, lazyload

from dstack_placement.engine import (
    Contender,
    Foresight,
    Occupant,
    Plan,
    Reclaim,
    Reclaiming,
    ReplicaState,
    foresee,
    is_reclaimable,
    needs_places,
    next_reclaim,
    preview,
)
from dstack_placement.server.base.faults import faults
from dstack_placement.server.base.kept import Kept
from dstack_placement.server.base.tables import ReclaimRow, active_runs, locked_fleet
from dstack_placement.server.base.telling import tell
from dstack_placement.server.base.threads import in_thread
from dstack_placement.server.errors import RunBusyError
from dstack_placement.server.fleets.cordons import Cordons
from dstack_placement.server.fleets.rooms import free_blocks
from dstack_placement.server.state.state import RunState
from dstack_placement.server.view import looking

#: After so long, who gives way is decided again if nothing came of it.
_LATE = timedelta(seconds=60)
#: Who might give way is looked for this often, while nobody can.
_LOOKED_FOR_EVERY = timedelta(seconds=15)
#: After so long without a look for one, the next that finds nobody is worth an event.
_SILENT = timedelta(minutes=2)
#: A load that is older says nothing any more.
_LOAD_FOR = timedelta(minutes=1)

#: When nobody could give way in a lane, by run, pool and fleet.
_nobody_found: Kept[tuple[uuid.UUID, str, str], datetime] = Kept(1024 * 1024)
#: About what is needed for one of them.
_NOBODY_FOUND_BYTES = 300


async def go_on(run_model: RunModel, run_spec: RunSpec, state: RunState, plan: Plan) -> None:
    """Decides who gives way to the minimums of a run, and drops what is not needed any more.

    Args:
        run_model: The run.
        run_spec: Its spec.
        state: What is known of it, with rooms.
        plan: What it does now.
    """
    reclaim = state.lanes.reclaim
    short = {(lane.pool, lane.fleet) for lane in plan.lanes if lane.deficit}
    if not state.gives and not state.claims and (reclaim is Reclaim.OFF or not short):
        return
    reclaimable = {at for at in short if is_reclaimable(state.service, at[0], at[1], now=state.now)}
    try:
        await _let_roll(state)
        for at, claim in state.claims.items():
            needed = at in short and reclaim is not Reclaim.OFF
            async with locked_fleet(claim.row.fleet_id) as session:
                await _follow(session, claim.row, state, needed=needed, full=at in reclaimable)
        if reclaim is not Reclaim.OFF:
            coming = [*state.claims]
            for pool, fleet in sorted(reclaimable - state.claims.keys()):
                # One replica that waits does not take two places.
                if is_reclaimable(state.service, pool, fleet, now=state.now, coming=coming) and (
                    await _decide(run_model, run_spec, state, pool, fleet)
                ):
                    coming.append((pool, fleet))
    except RunBusyError:
        # At the next look.
        return


async def _let_roll(state: RunState) -> None:
    """Drops what gives way while a rolling deployment replaces it, which needs the room itself."""
    rolling = {replica.group for replica in state.service.replicas if replica.out_of_date}
    for row in state.gives.values():
        job = state.jobs.get(str(row.job_id))
        if job is None or job.state is ReplicaState.STOPPING or job.group not in rolling:
            continue
        async with locked_fleet(row.fleet_id) as session:
            known = await session.get(ReclaimRow, row.job_id, populate_existing=True)
            if known is not None:
                await session.delete(known)


async def note_surge(session: AsyncSession, job: str, surge: uuid.UUID) -> None:
    """Notes the job that takes the place of a replica that gives way.

    Args:
        session: A session of `locked_run` of the replica's run.
        job: The replica's job.
        surge: The new one.
    """
    row = await session.get(ReclaimRow, uuid.UUID(job))
    if row is not None:
        row.surge_id = surge


async def _follow(
    session: AsyncSession, known: ReclaimRow, state: RunState, *, needed: bool, full: bool
) -> None:
    """Drops what is not needed any more, or did not happen."""
    row = await session.get(ReclaimRow, known.job_id, populate_existing=True)
    if row is None:
        return
    found = await session.execute(
        select(JobModel.id, JobModel.status).where(
            JobModel.id.in_([id_ for id_ in (row.job_id, row.surge_id) if id_ is not None])
        )
    )
    statuses: dict[uuid.UUID, JobStatus] = {row.id: row.status for row in found}
    status = statuses.get(row.job_id)
    if not needed:
        await session.delete(row)
    elif status is None or status.is_finished():
        if row.freed_at is None:
            row.freed_at = state.now
        elif state.now - row.freed_at > _LATE and (
            # Somebody who knows nothing of this has taken the place, or it is of no use any more.
            full or not needs_places(state.service, [(row.for_pool, row.fleet)], now=state.now)
        ):
            await session.delete(row)
    elif status is not JobStatus.TERMINATING:
        surge = statuses.get(row.surge_id) if row.surge_id is not None else None
        failed = row.surge_id is not None and (
            surge is None or surge is JobStatus.TERMINATING or surge.is_finished()
        )
        if failed or (row.surge_id is None and state.now - row.since > _LATE):
            await session.delete(row)


async def _decide(
    run_model: RunModel, run_spec: RunSpec, state: RunState, pool: str, fleet: str
) -> bool:
    """Chooses who gives way in a fleet, unless a replica there gives way already.

    Returns:
        Whether a replica does now.
    """
    at = (run_model.id, pool, fleet)
    last = _nobody_found.get(at, None)
    fleet_model = state.fleets.get(fleet)
    if fleet_model is None or (last is not None and state.now - last < _LOOKED_FOR_EVERY):
        return False
    async with locked_fleet(fleet_model.id) as session:
        taken = await session.execute(
            select(ReclaimRow.job_id)
            .where(
                ReclaimRow.fleet_id == fleet_model.id,
                ReclaimRow.for_run_id.in_(active_runs()),
            )
            .limit(1)
        )
        if taken.first() is not None:
            return False
        found = await _choose(session, run_model, run_spec, state, fleet)
        if found is None:
            if last is None or state.now - last > _SILENT:
                message = (
                    f"No other service can give way in fleet {fleet}: none holds a replica there"
                    " that is above its own minimum and has room in another of its fleets"
                )
                tell(session, run_model, message)
            _nobody_found.put(at, None, state.now, _NOBODY_FOUND_BYTES)
            return False
        row, other = found
        # One for a run that has ended may be left of it.
        await session.merge(
            ReclaimRow(
                job_id=uuid.UUID(row.key),
                run_id=other.id,
                run_name=row.name,
                replica_num=row.number,
                for_run_id=run_model.id,
                for_run_name=run_model.run_name,
                for_pool=pool,
                fleet=fleet,
                fleet_id=fleet_model.id,
                to=row.to,
                since=state.now,
            )
        )
        told = f"Replica {row.number} of {row.name} gives way in fleet {fleet}"
        tell(session, run_model, f"{told}: it moves to {row.to}, for the minimum here")
        return True


async def _choose(
    session: AsyncSession, run_model: RunModel, run_spec: RunSpec, state: RunState, fleet: str
) -> tuple[Reclaiming, RunModel] | None:
    """The replica that gives way, and its run. Those of the lowest priority are looked at first."""
    jobs = await _jobs_in(session, run_model, state, state.fleets[fleet].id)
    if not jobs:
        return None
    runs = await _runs(session, jobs)
    for priority, level in groupby(runs, key=lambda run: run.priority):
        if state.lanes.reclaim is Reclaim.LOWER and priority >= run_model.priority:
            break
        found = await _contenders(session, run_spec, state, level, jobs)
        reclaiming = next_reclaim(
            state.lanes.reclaim,
            run_model.priority,
            [contender for contender, _ in found],
            name=str(run_model.run_name),
            fleet=fleet,
            now=state.now,
        )
        if reclaiming is not None:
            return reclaiming, next(run for one, run in found if one.name == reclaiming.name)
    return None


async def foreseen(
    session: AsyncSession, run_model: RunModel, run_spec: RunSpec, state: RunState, reclaim: Reclaim
) -> Foresight:
    """Who would give way to the minimums of a run; changes nothing.

    Args:
        session: The session to read in.
        run_model: The run.
        run_spec: Its spec, or another one to try.
        state: What is known of it, with rooms.
        reclaim: Who has to give way to it.
    """
    name = str(run_model.run_name)
    claimed = {fleet for _, fleet in state.claims}
    contenders = {}
    for fleet in _short_in(state) - claimed if reclaim is not Reclaim.OFF else ():
        jobs = await _jobs_in(session, run_model, state, state.fleets[fleet].id)
        runs = await _runs(session, jobs)
        found = await _contenders(session, run_spec, state, runs, jobs)
        contenders[fleet] = [contender for contender, _ in found]
    if not contenders:
        return Foresight(state.service)
    await session.commit()
    play = partial(
        foresee, state.service, reclaim, run_model.priority, contenders, name=name, now=state.now
    )
    return await in_thread(play)


def _short_in(state: RunState) -> set[str]:
    """The fleets in which one more place would go to a minimum of a run, and none is free."""
    service, now = state.service, state.now
    return {
        lane.fleet
        for lane in preview(service, now=now).lanes
        if lane.deficit
        and lane.fleet in state.fleets
        and is_reclaimable(service, lane.pool, lane.fleet, now=now)
    }


async def _runs(session: AsyncSession, ids: Iterable[uuid.UUID]) -> Sequence[RunModel]:
    """Runs, those of the lowest priority first."""
    found = await session.execute(
        select(RunModel).where(RunModel.id.in_(ids)).options(lazyload(RunModel.jobs))
    )
    return sorted(found.unique().scalars(), key=lambda run: run.priority)


async def _contenders(
    session: AsyncSession,
    run_spec: RunSpec,
    state: RunState,
    runs: Iterable[RunModel],
    jobs: Mapping[uuid.UUID, Sequence[JobModel]],
) -> list[tuple[Contender, RunModel]]:
    """Runs as the engine looks at them, those of whose replicas the place would do."""
    found = []
    for run in runs:
        with faults.guarded("reading who may give way", run):
            contender = await _contender(session, run_spec, state, run, jobs[run.id])
            if contender is not None:
                found.append((contender, run))
    return found


async def _jobs_in(
    session: AsyncSession, run_model: RunModel, state: RunState, fleet_id: uuid.UUID
) -> Mapping[uuid.UUID, Sequence[JobModel]]:
    """The jobs of other services of the project that run in a fleet, by run."""
    found = await session.execute(
        select(JobModel)
        .join(RunModel, RunModel.id == JobModel.run_id)
        .where(
            JobModel.fleet_id == fleet_id,
            JobModel.status == JobStatus.RUNNING,
            JobModel.job_num == 0,
            JobModel.run_id != run_model.id,
            JobModel.project_id == state.needs.project.id,
            RunModel.deleted.is_(False),
            RunModel.status.not_in([RunStatus.TERMINATING, *RunStatus.finished_statuses()]),
        )
        .options(lazyload("*"), joinedload(JobModel.instance).options(lazyload("*")))
    )
    jobs: dict[uuid.UUID, list[JobModel]] = defaultdict(list)
    for job in found.unique().scalars():
        jobs[job.run_id].append(job)
    return jobs


async def _contender(
    session: AsyncSession,
    run_spec: RunSpec,
    state: RunState,
    run: RunModel,
    jobs: Sequence[JobModel],
) -> Contender | None:
    """A run as the engine looks at it, with those of its replicas whose place would do."""
    samples = list(state.needs.samples().values())
    fitting = [job for job in jobs if _fits(run_spec, samples, job, state.cordons)]
    if not fitting:
        return None
    seen = await looking.read_run(session, state.needs.project, run, get_run_spec(run))
    if seen.state is None:
        # dstack's own rule places it, in one fleet.
        return None
    loads = await _loads(session, [job.id for job in fitting], state.now)
    occupants = {
        str(job.id): Occupant(job.submitted_at, loads.get(job.id))
        for job in fitting
        if job.id not in seen.state.gives
    }
    return Contender(str(run.run_name), run.priority, seen.state.service, occupants)


def _fits(run_spec: RunSpec, samples: Iterable[Job], occupant: JobModel, cordons: Cordons) -> bool:
    """Whether one of the replicas that a run may start fits where another replica is now."""
    instance: InstanceModel | None = occupant.instance
    if instance is None or cordons.of_instance(instance) is not None:
        return False
    total = instance.total_blocks or 1
    data = get_job_runtime_data(occupant)
    freed = data.offer.blocks if data is not None and data.offer is not None else total
    free = min(free_blocks(instance) + freed, total)
    for sample in samples:
        for _, offer in dstack_plan.get_instance_offers_from_instances(
            instances=[instance], run_spec=run_spec, job=sample, exclude_not_available=False
        ):
            if total == 1 or offer.blocks <= free:
                return True
    return False


async def _loads(
    session: AsyncSession, jobs: Sequence[uuid.UUID], now: datetime
) -> Mapping[uuid.UUID, float]:
    """How busy the GPUs of jobs are, in percent, where dstack has read it lately."""
    since = int((now - _LOAD_FOR).timestamp() * 1_000_000)
    found = await session.execute(
        select(JobMetricsPoint.job_id, JobMetricsPoint.gpus_util_percent)
        .where(JobMetricsPoint.job_id.in_(jobs), JobMetricsPoint.timestamp_micro > since)
        .order_by(JobMetricsPoint.timestamp_micro)
    )
    loads = {}
    for job_id, text in found:
        percents = json.loads(text)
        if percents:
            loads[job_id] = sum(percents) / len(percents)
    return loads
