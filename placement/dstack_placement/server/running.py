"""What lanes change in dstack's regular look at an active run."""

from __future__ import annotations

import uuid
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime

from dstack._internal.core.models.runs import Job, JobStatus, JobTerminationReason, RunStatus
from dstack._internal.server.background.pipeline_tasks.runs.active import (
    ActiveContext,
    _ReplicaAnalysis,
)
from dstack._internal.server.models import JobModel, RunModel
from dstack._internal.server.services.jobs import get_job_spec
from dstack._internal.server.services.runs.replicas import is_replica_receiving_traffic
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import (
    Cooldown,
    Replica,
    ReplicaState,
    after_failure,
    place,
    stopping_order,
)
from dstack_placement.server import specs
from dstack_placement.server.other_servers import note_replicas
from dstack_placement.server.state import ReplicaJob, RunState, read_state, state_of
from dstack_placement.server.tables import CooldownRow, forget_ended_jobs, locked_run
from dstack_placement.server.telling import tell

#: Ends of a job for which its fleet or its cloud is the cause, not the service.
_LOST_CAPACITY = frozenset(
    {
        JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
        JobTerminationReason.INTERRUPTED_BY_NO_CAPACITY,
        JobTerminationReason.INSTANCE_UNREACHABLE,
        JobTerminationReason.WAITING_INSTANCE_LIMIT_EXCEEDED,
        JobTerminationReason.WAITING_RUNNER_LIMIT_EXCEEDED,
    }
)
_ENDING = frozenset({JobStatus.TERMINATING, *JobStatus.finished_statuses()})

#: The state of the run that dstack looks at in this task; None for a run without lanes.
looked_at: ContextVar[RunState | None] = ContextVar("looked_at", default=None)


async def look(context: ActiveContext) -> RunState | None:
    """Reads the state of a run and settles which of its starts succeeded or failed.

    Returns:
        The state; None for a run without lanes.
    """
    run_model: RunModel = context.run_model
    lanes = specs.lanes_of(context.run_spec, run_model.project.name)
    if lanes is None:
        return None
    jobs = [_replica_job(run_model, job) for job in run_model.jobs if job.job_num == 0]
    samples: dict[str, Job] = {}
    for job_model in run_model.jobs:
        spec = get_job_spec(job_model)
        samples.setdefault(spec.replica_group, Job(job_spec=spec, job_submissions=[]))
    async with locked_run(run_model.id) as session:
        state = await read_state(
            session,
            run=run_model,
            run_spec=context.run_spec,
            project=run_model.project,
            lanes=lanes,
            jobs=[job for job in jobs if job is not None],
            samples=samples,
        )
        await note_replicas(session, run_model, state)
        cooldowns = await _settle(session, run_model, state)
        live = {job.id for job in state.jobs.values()}
        await forget_ended_jobs(session, run_model.id, live, state.now)
    return replace(state, service=replace(state.service, cooldowns=cooldowns))


def settle_failure(analysis: _ReplicaAnalysis) -> None:
    """Changes what dstack makes of a replica that found or kept no capacity.

    The relief of one that was to move is not started again: as many as wanted are there, and the
    move begins again when its lane has cooled down. Nor is one of a group that an edit took away.
    Any other is replaced instead of failing the run, while another replica lives or a lane takes
    it.

    Args:
        analysis: dstack's own analysis of the replica; it is changed.
    """
    state = looked_at.get()
    failed = RunStatus.FAILED in analysis.contributed_statuses
    if state is None or not (failed or analysis.needs_retry):
        return
    job_model = analysis.job_models[0]
    group = get_job_spec(job_model).replica_group
    if job_model.termination_reason not in _LOST_CAPACITY:
        return
    removed = state.lanes.group(group) is None
    if not removed and state.lanes.pool_of(group) is None:
        return
    spare = removed or _is_spare(state, job_model, group)
    if spare or _goes_on(state, job_model, group):
        analysis.contributed_statuses = set()
        analysis.termination_reasons = set()
        analysis.needs_retry = not spare


def _is_spare(state: RunState, job_model: JobModel, group: str) -> bool:
    wanted = next((entry.wanted for entry in state.service.groups if entry.name == group), 0)
    others = [
        replica
        for replica in state.service.replicas
        if replica.group == group
        and replica.key != str(job_model.id)
        and replica.state is not ReplicaState.STOPPING
    ]
    return bool(others) and len(others) >= wanted


def _goes_on(state: RunState, job_model: JobModel, group: str) -> bool:
    if any(other.lives for other in state.jobs.values() if other.id != job_model.id):
        return True
    key = f"again-{job_model.id}"
    waiting = Replica(key, job_model.replica_num, group, ReplicaState.PENDING)
    others = tuple(other for other in state.service.replicas if other.key != str(job_model.id))
    service = replace(state.service, replicas=(*others, waiting))
    return place(service, key, now=state.now).fleet is not None


def in_order_of_lanes(
    group: str | None, active: list[tuple[int, bool, int, list[JobModel]]]
) -> list[tuple[int, bool, int, list[JobModel]]]:
    """Sorts dstack's list of active replicas so that who goes first by the lanes is last."""
    state = looked_at.get()
    if state is None or group is None or state.lanes.pool_of(group) is None:
        return active
    order = stopping_order(state.service, group, now=state.now)
    places = {replica.key: number for number, replica in enumerate(order)}
    # What is not known goes first: it was made after the look, so it has progressed least.
    return sorted(active, key=lambda entry: -places.get(str(entry[3][0].id), -1))


def _replica_job(run_model: RunModel, job_model: JobModel) -> ReplicaJob | None:
    if job_model.status.is_finished():
        return None
    ready = job_model.status is JobStatus.RUNNING and is_replica_receiving_traffic(
        run_model, [job_model]
    )
    return ReplicaJob(
        id=job_model.id,
        number=job_model.replica_num,
        group=get_job_spec(job_model).replica_group,
        state=state_of(job_model.status, ready=ready),
        fleet_id=job_model.fleet_id,
        deployment=job_model.deployment_num,
        assigned=job_model.instance_assigned,
        in_hand=job_model.lock_expires_at,
    )


async def _settle(
    session: AsyncSession, run_model: RunModel, state: RunState
) -> dict[tuple[str, str], Cooldown]:
    """Cools down lanes whose starts failed and ends the cooldown of those where one ran."""
    before = state.service.cooldowns
    cooldowns = dict(before)
    for job_model in run_model.jobs:
        row = state.placements.get(job_model.id)
        if row is None or row.fleet is None or row.outcome is not None:
            continue
        pool = state.lanes.pool_of(get_job_spec(job_model).replica_group)
        if pool is None:
            continue
        at = (pool[0], row.fleet)
        if job_model.status is JobStatus.RUNNING or job_model.running_at is not None:
            row.outcome = "started"
            cooldowns.pop(at, None)
        elif job_model.status in _ENDING:
            row.outcome = "ended"
            if job_model.termination_reason in _LOST_CAPACITY and at in state.editions:
                row.outcome = "failed"
                cooldowns[at] = after_failure(
                    cooldowns.get(at), now=state.now, started=row.since, cause=_cause(job_model)
                )
    for at, cooldown in cooldowns.items():
        known = before.get(at)
        if cooldown != known:
            await _remember(session, run_model.id, at, state.editions[at], cooldown)
        if known is None or cooldown.until != known.until:
            _tell_cooldown(session, run_model, at[1], cooldown, state.now)
    # Last, since from then on nobody else writes to SQLite.
    for at in before.keys() - cooldowns.keys():
        await _forget(session, run_model.id, at)
    return cooldowns


def _cause(job_model: JobModel) -> str:
    message = job_model.termination_reason_message
    if message:
        # A line on what was tried, one with the cloud's errors if there are any, and one of help.
        lines = str(message).splitlines()
        errors = [line.removeprefix("Errors: ") for line in lines if line.startswith("Errors: ")]
        return (errors or lines)[0].rstrip(".")
    return str(job_model.termination_reason.value).replace("_", " ")


async def _remember(
    session: AsyncSession,
    run_id: uuid.UUID,
    at: tuple[str, str],
    edition: str,
    cooldown: Cooldown,
) -> None:
    await session.merge(
        CooldownRow(
            run_id=run_id,
            pool=at[0],
            fleet=at[1],
            edition=edition,
            failures=cooldown.failures,
            since=cooldown.since,
            until=cooldown.until,
            cause=cooldown.cause,
        )
    )


async def _forget(session: AsyncSession, run_id: uuid.UUID, at: tuple[str, str]) -> None:
    await session.execute(
        delete(CooldownRow).where(
            CooldownRow.run_id == run_id, CooldownRow.pool == at[0], CooldownRow.fleet == at[1]
        )
    )


def _tell_cooldown(
    session: AsyncSession, run_model: RunModel, fleet: str, cooldown: Cooldown, now: datetime
) -> None:
    seconds = round((cooldown.until - now).total_seconds())
    message = f"Fleet {fleet} is skipped for {seconds} s after a failed start: {cooldown.cause}"
    tell(session, run_model, message)
