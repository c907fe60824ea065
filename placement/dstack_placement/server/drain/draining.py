"""Draining: a replica that dstack is about to end ends its open requests first.

dstack calls the replica's job terminating by then, so its proxy gives no more requests to it, and
the lists of its routers leave it out from their next sync on. What is held up is the end of the
container, which dstack comes back to every few seconds, and what breaks off requests at gateways.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from dstack._internal.core.models.runs import JobStatus, JobTerminationReason
from dstack._internal.server.background.pipeline_tasks.gateway_replicas import _StateSyncPlan
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import InstanceModel, JobModel
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from dstack_placement.engine import Drain
from dstack_placement.server.base.tables import DrainRow
from dstack_placement.server.base.telling import tell
from dstack_placement.server.drain import open_elsewhere, open_requests
from dstack_placement.server.drain.drain_rules import rules_of
from dstack_placement.server.drain.engine_loads import engine_loads
from dstack_placement.server.gateways import gateway_rotation
from dstack_placement.server.routers.router_looks import RouterStatus, job_of, router_looks
from dstack_placement.server.routers.router_view import jobs_to_reach
from dstack_placement.server.runs.replica_jobs import group_of

#: So long after the limit, a replica that can't be looked at is ended unseen.
_OVERDUE = timedelta(seconds=10)
#: What ended so long ago is deleted when the next drain begins.
_KEPT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A replica that drains, as it was seen just now.

    Attributes:
        in_rotation: Whether new requests may still reach it.
        open: How many requests are open; None is not known.
    """

    in_rotation: bool
    open: int | None


async def holds(job_model: JobModel, instance_model: InstanceModel | None) -> bool:
    """Whether a job that dstack comes to end has requests to end first.

    Once it has none, or its limit has passed, its process is asked to end, as by a stop.

    Args:
        job_model: The job, which is terminating and locked by this server, with its run.
        instance_model: Its instance.
    """
    if not _may_drain(job_model, instance_model):
        return False
    async with get_session_ctx() as session:
        row = await session.get(DrainRow, job_model.id)
        if row is None:
            row = await _begun(session, job_model)
        if row is None:
            return False
        drain = Drain(row.since, timedelta(seconds=row.limit))
        ended = row.ended_at is not None
    if not ended and not await _ends(job_model, drain):
        return True
    # dstack asks no process of a replica that is scaled down to end, and kills it 30 s later.
    job_model.graceful_termination_attempts = 0
    return False


async def keep_at_gateway(plan: _StateSyncPlan) -> None:
    """Leaves out of what a gateway is told to forget the replicas that drain.

    Args:
        plan: What dstack is about to tell the gateway; it is changed.
    """
    leaving = {
        service: jobs
        for service, jobs in plan.unregister_replicas.items()
        if jobs and service not in plan.unregister_services
    }
    if leaving:
        async with get_session_ctx() as session:
            kept = await _still_drain(session, set().union(*leaving.values()))
        for service, jobs in leaving.items():
            plan.unregister_replicas[service] = jobs - kept


async def _still_drain(session: AsyncSession, job_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of several jobs that drain, or are about to."""
    found = await session.execute(
        select(JobModel)
        .where(JobModel.id.in_(job_ids), JobModel.status == JobStatus.TERMINATING)
        .options(joinedload(JobModel.run), joinedload(JobModel.instance))
    )
    jobs = [job for job in found.unique().scalars() if _may_drain(job, job.instance)]
    rows = await session.execute(select(DrainRow).where(DrainRow.job_id.in_(job_ids)))
    ended = {row.job_id: row.ended_at is not None for row in rows.scalars()}
    return {
        job.id
        for job in jobs
        if (not ended[job.id] if job.id in ended else await _limit(session, job))
    }


def _may_drain(job_model: JobModel, instance_model: InstanceModel | None) -> bool:
    return (
        job_model.termination_reason is JobTerminationReason.SCALED_DOWN
        and job_model.job_num == 0
        and job_model.running_at is not None
        # dstack has begun to end it.
        and job_model.remove_at is None
        # The whole run ends.
        and job_model.run.termination_reason is None
        # The host is gone, or goes.
        and instance_model is not None
        and instance_model.status.is_active()
        and not instance_model.unreachable
    )


async def _begun(session: AsyncSession, job_model: JobModel) -> DrainRow | None:
    """Notes that a replica drains; None for one that is stopped at once."""
    limit = await _limit(session, job_model)
    if not limit:
        return None
    now = get_current_datetime()
    # Last, since from then on nobody else writes to SQLite.
    await session.execute(delete(DrainRow).where(DrainRow.ended_at < now - _KEPT))
    row = DrainRow(
        job_id=job_model.id,
        run_id=job_model.run_id,
        since=now,
        limit=int(limit.total_seconds()),
        open=None,
        in_rotation=True,
        ended_at=None,
    )
    session.add(row)
    await session.commit()
    return row


async def _limit(session: AsyncSession, job_model: JobModel) -> timedelta:
    """How long a replica may drain; nothing for one that is stopped at once."""
    return (await rules_of(session, job_model.run_id)).limit(group_of(job_model))


async def _ends(job_model: JobModel, drain: Drain) -> bool:
    """Looks at a replica that drains, and notes what is seen."""
    if get_current_datetime() - drain.since > drain.limit + _OVERDUE:
        return await _noted(job_model, drain, _Seen(True, None))
    async with get_session_ctx() as session:
        rules = await rules_of(session, job_model.run_id)
        jobs = await jobs_to_reach(session, job_model.run_id)
        gateway = job_model.run.gateway_id
        machines = await gateway_rotation.machines_of(session, gateway) if gateway else []
        elsewhere = await open_elsewhere.count(session, job_model.id)
    group = group_of(job_model)
    # An edit that shortens the limit ends what is under way.
    drain = replace(drain, limit=min(drain.limit, rules.limit(group)))
    if rules.router_group not in (None, group):
        routers = [
            job
            for job in jobs
            if group_of(job) == rules.router_group and job.status is JobStatus.RUNNING
        ]
        seen = await _seen_of_worker(job_model.id, jobs, routers)
    elif gateway is not None:
        others = [job for job in jobs if job.status is not JobStatus.TERMINATING]
        look = await gateway_rotation.take_out(machines, job_model.id, is_last=not others)
        seen = _Seen(look.in_rotation, look.open)
    else:
        unheard = open_elsewhere.is_unheard(drain.since, get_current_datetime())
        seen = _Seen(unheard, open_requests.open_to(job_model.id) + elsewhere)
    return await _noted(job_model, drain, seen)


async def _seen_of_worker(
    job_id: uuid.UUID, jobs: Iterable[JobModel], routers: Collection[JobModel]
) -> _Seen:
    """A router's worker: whether a router has it in its list still, and what its engine says."""
    in_rotation = False
    for router in routers:
        look = await router_looks.look(router)
        listed = [worker for worker in look.workers if job_of(worker) == str(job_id)]
        for worker in listed:
            if worker.get("status") != "draining":
                await router_looks.remove(router, str(worker.get("id")))
        in_rotation = in_rotation or bool(listed) or look.status is not RouterStatus.OK
    return _Seen(in_rotation, await _engine_load(job_id, jobs))


async def _engine_load(job_id: uuid.UUID, jobs: Iterable[JobModel]) -> int | None:
    own = next((job for job in jobs if job.id == job_id), None)
    return await engine_loads.open_requests(own) if own is not None else None


async def _noted(job_model: JobModel, drain: Drain, seen: _Seen) -> bool:
    """Keeps what was seen, and says so when the drain ends with it."""
    now = get_current_datetime()
    ends = drain.ends(now, in_rotation=seen.in_rotation, open_requests=seen.open)
    async with get_session_ctx() as session:
        row = await session.get(DrainRow, job_model.id)
        if row is None or row.ended_at is not None:
            return ends
        row.open, row.in_rotation = seen.open, seen.in_rotation
        row.limit = int(drain.limit.total_seconds())
        if ends:
            row.ended_at = now
            ended = drain.ended(now, in_rotation=seen.in_rotation, open_requests=seen.open)
            told = f"Replica {job_model.replica_num} {ended}"
            tell(session, job_model, told, of=job_model.run)
        await session.commit()
    return ends
