"""Lanes below their minimums: since when, and that they have them again."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from dstack._internal.core.models.runs import JobStatus, JobTerminationReason
from dstack._internal.server.models import JobModel, RunModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import LanePlan, Plan, ReplicaState
from dstack_placement.server.base.tables import DeficitRow
from dstack_placement.server.base.telling import tell
from dstack_placement.server.networks.unreachable import marked
from dstack_placement.server.state.state import RunState
from dstack_placement.server.view.claims import with_claims


async def tell_deficits(
    session: AsyncSession, run_model: RunModel, plan: Plan, state: RunState
) -> None:
    """Emits an event when a lane falls below its minimum, and when it has it again.

    What starts or moves now may hold it: only what stays missing then is a deficit. Its end is told
    once as many as the minimum are ready, since a start may fail.

    Args:
        session: The session, in which the run is locked.
        run_model: The run.
        plan: What is done now.
        state: The state that the plan was made of.
    """
    found = await session.execute(select(DeficitRow).where(DeficitRow.run_id == run_model.id))
    known = {(row.pool, row.fleet): row for row in found.scalars()}
    ready = _ready(state)
    for lane in with_claims(marked(plan.lanes, state.unreachable), state.claims):
        at = (lane.pool, lane.fleet)
        row = known.pop(at, None)
        missing = lane.deficit if lane.after < lane.lane.min_replicas else 0
        if missing and row is None:
            session.add(
                DeficitRow(
                    run_id=run_model.id,
                    pool=lane.pool,
                    fleet=lane.fleet,
                    missing=missing,
                    since=await _fell_below(session, run_model, lane, missing, state),
                    why=lane.reason,
                )
            )
            tell(session, run_model, f"Fleet {lane.fleet} is below its minimum: {lane.reason}")
        elif missing and row is not None:
            row.missing, row.why = missing, lane.reason
        elif row is not None and ready[at] >= lane.lane.min_replicas:
            await session.delete(row)
            if lane.lane.min_replicas:  # else an edit took the baseline away
                held = f"{lane.lane.min_replicas} of {lane.lane.min_replicas}"
                tell(session, run_model, f"Fleet {lane.fleet} has its minimum again: {held}")
        elif row is not None:
            row.why = lane.reason  # what starts may hold it soon
    for row in known.values():
        # The lane is gone.
        await session.delete(row)


async def _fell_below(
    session: AsyncSession, run_model: RunModel, lane: LanePlan, missing: int, state: RunState
) -> datetime:
    """When the last of what a lane misses ended there; now for what it never had.

    A replica that failed is seen as missing only once its next submission has found no room there,
    which may be long after. One that is ready elsewhere by now was no loss of this lane.
    """
    fleet = state.fleets.get(lane.fleet)
    lost = {
        replica.number
        for replica in state.service.replicas
        if replica.fleet != lane.fleet and replica.state is not ReplicaState.READY
    }
    elsewhere = [
        job.number
        for job in state.jobs.values()
        if job.number in lost
        and (pool := state.lanes.pool_of(job.group)) is not None
        and pool[0] == lane.pool
    ]
    if fleet is None or not elsewhere:
        return state.now
    found = await session.execute(
        select(JobModel.replica_num, JobModel.fleet_id, JobModel.last_processed_at)
        .where(
            JobModel.run_id == run_model.id,
            JobModel.job_num == 0,
            JobModel.replica_num.in_(elsewhere),
            JobModel.status.in_(JobStatus.finished_statuses()),
            JobModel.termination_reason.is_distinct_from(
                JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY
            ),
        )
        .order_by(JobModel.submission_num)
    )
    latest = {row.replica_num: row for row in found}
    ends = sorted(row.last_processed_at for row in latest.values() if row.fleet_id == fleet.id)
    return min(ends[-missing:], default=state.now)


def _ready(state: RunState) -> Counter[tuple[str, str]]:
    """Workers that receive traffic, by pool and fleet."""
    routers = {group.name for group in state.lanes.groups if group.router}
    count: Counter[tuple[str, str]] = Counter()
    for replica in state.service.replicas:
        pool = state.lanes.pool_of(replica.group)
        if (
            pool is not None
            and replica.fleet is not None
            and replica.state is ReplicaState.READY
            and replica.group not in routers
        ):
            count[pool[0], replica.fleet] += 1
    return count
