"""What lanes change in dstack's regular look at an active run."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from dstack._internal.core.models.runs import Job, JobStatus, JobTerminationReason, RunStatus
from dstack._internal.server.background.pipeline_tasks.runs.active import (
    ActiveContext,
    ActiveResult,
    _ReplicaAnalysis,
)
from dstack._internal.server.db import get_session_ctx
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
from dstack_placement.server.base.kept import Kept
from dstack_placement.server.base.tables import (
    CooldownRow,
    Record,
    forget_ended_jobs,
    locked_run,
    read_record,
)
from dstack_placement.server.base.telling import tell
from dstack_placement.server.runs import specs
from dstack_placement.server.runs.replica_jobs import ReplicaJob, group_of, state_of
from dstack_placement.server.runs.samples import of_groups
from dstack_placement.server.state.other_servers import note_replicas
from dstack_placement.server.state.state import Needs, RunState, glance, with_rooms

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
_ENDED = frozenset(JobStatus.finished_statuses())
_ENDING = _ENDED | {JobStatus.TERMINATING}


@dataclass(slots=True)
class Look:
    """dstack's look at a run with lanes that goes on in this task.

    Attributes:
        state: The state of the run.
        record: What was kept of it when the look began.
    """

    state: RunState
    record: Record

    async def with_rooms(self) -> RunState:
        """The state with the rooms, which are read when they are first asked for."""
        if not self.state.has_rooms:
            async with get_session_ctx() as session:
                self.state = await with_rooms(session, self.state)
        return self.state


#: None for a run without lanes.
looked_at: ContextVar[Look | None] = ContextVar("looked_at", default=None)

#: The jobs of a run that are where they were led to, which has been noted, by id; and whether a
#: placement of them is kept. The version is since when the run has been looked at.
_settled: Kept[uuid.UUID, Mapping[uuid.UUID, bool]] = Kept(16 * 1024 * 1024)
#: About what is needed for one of them.
_SETTLED_BYTES = 200


async def look(context: ActiveContext) -> Look | None:
    """Looks at a run and settles which of its starts succeeded or failed.

    Returns:
        The look; None for a run without lanes.
    """
    run_model: RunModel = context.run_model
    lanes = specs.lanes_of(context.run_spec, run_model.project.name)
    if lanes is None:
        return None
    live = _live_jobs(run_model)
    needs = Needs(run_model.project, context.run_spec, partial(_samples, context))
    async with locked_run(run_model.id) as session:
        record = await read_record(session, run_model.id)
        before = _settled.get(run_model.id, record.look_since) or {}
        others = [job for job in live if job.id not in before]
        state = await glance(
            session,
            run=run_model,
            lanes=lanes,
            jobs=live,
            needs=needs,
            record=record,
            settled=not others,
        )
        noted = await note_replicas(session, run_model, state, record, others)
        cooldowns = await _settle(session, run_model, state)
        settled = before
        if others or len(before) > len(live):
            settled = {job.id: before[job.id] for job in live if job.id in before}
            settled |= _newly_settled(state, [job for job in others if job.id not in noted])
            size = _SETTLED_BYTES * (1 + len(settled))
            _settled.put(run_model.id, record.look_since, settled, size)
        if record.placements > sum(settled.values()):
            live_ids = {job.id for job in live}
            await forget_ended_jobs(session, run_model.id, live_ids, state.now)
    return Look(replace(state, service=replace(state.service, cooldowns=cooldowns)), record)


def _samples(context: ActiveContext) -> dict[str, Job]:
    """A job of each group."""
    first = {group_of(job): job for job in reversed(context.run_model.jobs)}
    known = {
        group: Job(job_spec=get_job_spec(job), job_submissions=[]) for group, job in first.items()
    }
    return of_groups(context.run_spec, known)


def _newly_settled(state: RunState, jobs: Iterable[ReplicaJob]) -> dict[uuid.UUID, bool]:
    """The jobs of which nothing is left to be noted, and whether a placement of them is kept."""
    settled = {}
    for job in jobs:
        if job.lives and job.fleet_id is not None:
            row = state.placements.get(job.id)
            # Of one that dstack's own rule placed, nothing comes any more.
            if row is None or row.outcome is not None or row.fleet is None:
                settled[job.id] = row is not None
    return settled


async def settle_failure(analysis: _ReplicaAnalysis) -> None:
    """Changes what dstack makes of a replica that found or kept no capacity.

    The relief of one that was to move is not started again: as many as wanted are there, and the
    move begins again when its lane has cooled down. Nor is one of a group that an edit took away.
    Any other is replaced instead of failing the run, while another replica lives or a lane takes
    it.

    Args:
        analysis: dstack's own analysis of the replica; it is changed.
    """
    look = looked_at.get()
    failed = RunStatus.FAILED in analysis.contributed_statuses
    if look is None or not (failed or analysis.needs_retry):
        return
    job_model = analysis.job_models[0]
    group = group_of(job_model)
    if job_model.termination_reason not in _LOST_CAPACITY:
        return
    removed = look.state.lanes.group(group) is None
    if not removed and look.state.lanes.pool_of(group) is None:
        return
    spare = removed or _is_spare(look.state, job_model, group)
    if spare or await _goes_on(look, job_model, group):
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


async def _goes_on(look: Look, job_model: JobModel, group: str) -> bool:
    if any(other.lives for other in look.state.jobs.values() if other.id != job_model.id):
        return True
    state = await look.with_rooms()
    key = f"again-{job_model.id}"
    waiting = Replica(key, job_model.replica_num, group, ReplicaState.PENDING)
    others = tuple(other for other in state.service.replicas if other.key != str(job_model.id))
    service = replace(state.service, replicas=(*others, waiting))
    return place(service, key, now=state.now).fleet is not None


#: One of dstack's list of replicas: importance, whether it is out of date, number, jobs.
_Entry = tuple[int, bool, int, list[JobModel]]


class _InOrderOfLanes(list[_Entry]):
    """dstack's list of active replicas, in which who goes first by the lanes is last.

    It is sorted when some are taken from it: most looks count them and stop none.
    """

    def __init__(self, active: list[_Entry], state: RunState, group: str) -> None:
        super().__init__(active)
        self._state, self._group = state, group
        self._sorted = False

    def __getitem__(self, index: Any) -> Any:
        self._sort()
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[_Entry]:
        self._sort()
        return super().__iter__()

    def _sort(self) -> None:
        if self._sorted:
            return
        self._sorted = True
        order = stopping_order(self._state.service, self._group, now=self._state.now)
        places = {replica.key: number for number, replica in enumerate(order)}
        # What is not known goes first: it was made after the look, so it has progressed least.
        self.sort(key=lambda entry: -places.get(str(entry[3][0].id), -1))


def in_order_of_lanes(group: str | None, active: list[_Entry]) -> list[_Entry]:
    """Dstack's list of active replicas of a group, so that who goes first by the lanes is last."""
    look = looked_at.get()
    if look is None or group is None or look.state.lanes.pool_of(group) is None:
        return active
    return _InOrderOfLanes(active, look.state, group)


def about_to_stop(result: ActiveResult) -> list[uuid.UUID]:
    """The jobs that dstack is about to stop because there are too many, the first to go first."""
    return [
        job_id
        for job_id, change in result.job_id_to_update_map.items()
        if change.get("termination_reason") is JobTerminationReason.SCALED_DOWN
    ]


def _live_jobs(run_model: RunModel) -> list[ReplicaJob]:
    """The run's jobs that have not ended."""
    through_gateway = run_model.gateway is not None
    jobs = []
    for job in run_model.jobs:
        # All of it is loaded, and found much sooner than through the model's attributes.
        known = vars(job)
        status = known["status"]
        if known["job_num"] or status in _ENDED:
            continue
        ready = known["ready"] and status is JobStatus.RUNNING
        if ready and through_gateway:
            ready = is_replica_receiving_traffic(run_model, [job])
        assigned = known["instance_assigned"]
        jobs.append(
            ReplicaJob(
                id=known["id"],
                number=known["replica_num"],
                group=group_of(job),
                state=state_of(status, ready=ready),
                fleet_id=known["fleet_id"],
                deployment=known["deployment_num"],
                assigned=assigned,
                in_hand=None if assigned else known["lock_expires_at"],
                instance_id=known["instance_id"],
            )
        )
    return jobs


async def _settle(
    session: AsyncSession, run_model: RunModel, state: RunState
) -> dict[tuple[str, str], Cooldown]:
    """Cools down lanes whose starts failed and ends the cooldown of those where one ran."""
    before = state.service.cooldowns
    cooldowns = dict(before)
    if not state.placements:
        return cooldowns
    editions = state.editions
    for job_model in run_model.jobs:
        row = state.placements.get(job_model.id)
        if row is None or row.fleet is None or row.outcome is not None:
            continue
        pool = state.lanes.pool_of(group_of(job_model))
        if pool is None:
            continue
        at = (pool[0], row.fleet)
        if job_model.status is JobStatus.RUNNING or job_model.running_at is not None:
            row.outcome = "started"
            cooldowns.pop(at, None)
        elif job_model.status in _ENDING:
            row.outcome = "ended"
            if job_model.termination_reason in _LOST_CAPACITY and at in editions:
                row.outcome = "failed"
                cooldowns[at] = after_failure(
                    cooldowns.get(at), now=state.now, started=row.since, cause=_cause(job_model)
                )
    for at, cooldown in cooldowns.items():
        known = before.get(at)
        if cooldown != known:
            await _remember(session, run_model.id, at, editions[at], cooldown)
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
