"""The jobs of a run's replicas, as far as placement needs them."""

from __future__ import annotations

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from dstack._internal.core.models.runs import JobStatus, JobTerminationReason
from dstack._internal.server.models import JobModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import ONLY_GROUP, ReplicaState
from dstack_placement.server.base.kept import Kept

_STATES = {
    JobStatus.SUBMITTED: ReplicaState.PENDING,
    JobStatus.PROVISIONING: ReplicaState.STARTING,
    JobStatus.PULLING: ReplicaState.STARTING,
    JobStatus.RUNNING: ReplicaState.RUNNING,
}


class ReplicaJob(NamedTuple):
    """What counts of a replica's job (a service's replica has one).

    Attributes:
        state: How far it has come; `READY` where it gets traffic.
        assigned: Whether it has been given an instance.
        in_hand: Of one without an instance, until when a server has it in hand, if one has.
        instance_id: Its instance.
    """

    id: uuid.UUID
    number: int
    group: str
    state: ReplicaState
    fleet_id: uuid.UUID | None
    deployment: int
    assigned: bool
    in_hand: datetime | None
    instance_id: uuid.UUID | None

    @property
    def key(self) -> str:
        """What names the replica in the engine."""
        return str(self.id)

    @property
    def lives(self) -> bool:
        """Whether it has an instance and is not on its way out."""
        return self.assigned and self.state is not ReplicaState.STOPPING


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
            JobModel.instance_id,
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
            in_hand=None if row.instance_assigned else row.lock_expires_at,
            instance_id=row.instance_id,
        )
        for row in found
    ]


async def with_retried(
    session: AsyncSession, run_id: uuid.UUID, jobs: Iterable[ReplicaJob], wanted: Mapping[str, int]
) -> list[ReplicaJob]:
    """Jobs with the replicas that failed and that dstack starts again, as ones that wait.

    dstack does so before it scales (0.22.5, `process_active_run`), so that they count for it. What
    is past the wanted is not started again: it was the relief of one that moved.

    Args:
        session: The session to read in.
        run_id: The run, which goes on.
        jobs: Its jobs that have not ended.
        wanted: Replicas desired before anything changes, by group.
    """
    latest = (
        select(JobModel.replica_num, func.max(JobModel.submission_num).label("last"))
        .where(JobModel.run_id == run_id, JobModel.job_num == 0)
        .group_by(JobModel.replica_num)
        .subquery()
    )
    rows = await session.execute(
        select(JobModel.id, JobModel.replica_num, JobModel.deployment_num)
        .join(
            latest,
            (JobModel.replica_num == latest.c.replica_num)
            & (JobModel.submission_num == latest.c.last),
        )
        .where(
            JobModel.run_id == run_id,
            JobModel.job_num == 0,
            JobModel.status.in_([JobStatus.TERMINATING, *JobStatus.finished_statuses()]),
            JobModel.termination_reason.not_in(
                [JobTerminationReason.DONE_BY_RUNNER, JobTerminationReason.SCALED_DOWN]
            ),
        )
        .order_by(JobModel.replica_num)
    )
    failed = rows.all()
    if not failed:
        return [*jobs]
    groups = await groups_of(session, [row.id for row in failed])
    standing = Counter(job.group for job in jobs if job.state is not ReplicaState.STOPPING)
    again: dict[uuid.UUID, ReplicaJob] = {}
    for row in failed:
        group = groups[row.id]
        if standing[group] < wanted.get(group, 0):
            standing[group] += 1
            again[row.id] = ReplicaJob(
                id=row.id,
                number=row.replica_num,
                group=group,
                state=ReplicaState.PENDING,
                fleet_id=None,
                deployment=row.deployment_num,
                assigned=False,
                in_hand=None,
                instance_id=None,
            )
    return [*(job for job in jobs if job.id not in again), *again.values()]


def state_of(status: JobStatus, *, ready: bool) -> ReplicaState:
    """How far a job has come, in the engine's terms."""
    if status is JobStatus.RUNNING and ready:
        return ReplicaState.READY
    return _STATES.get(status, ReplicaState.STOPPING)


#: Part of a large text that never changes.
_group_of_job: Kept[uuid.UUID, str] = Kept(16 * 1024 * 1024)
#: About what is needed for one of them.
_GROUP_BYTES = 400


async def groups_of(session: AsyncSession, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The replica groups of jobs."""
    found, missing = {}, []
    for job in ids:
        group = _group_of_job.get(job, None)
        if group is not None:
            found[job] = group
        else:
            missing.append(job)
    if missing:
        rows = await session.execute(
            select(JobModel.id, JobModel.job_spec_data).where(JobModel.id.in_(missing))
        )
        # A job may have been deleted just now.
        read = {row.id: _read_group(row.id, row.job_spec_data) for row in rows}
        found |= {job: read.get(job, ONLY_GROUP) for job in missing}
    return found


def group_of(job: JobModel) -> str:
    """The replica group of a job whose spec is loaded."""
    return _group_of_job.get(job.id, None) or _read_group(job.id, job.job_spec_data)


def _read_group(job_id: uuid.UUID, spec: str) -> str:
    # Servers before groups stored none.
    group = sys.intern(json.loads(spec).get("replica_group") or ONLY_GROUP)
    _group_of_job.put(job_id, None, group, _GROUP_BYTES)
    return group
