"""The replicas that drain, as they are sent."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping

from dstack._internal.core.models.runs import JobStatus
from dstack._internal.server.models import JobModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.answers import answers
from dstack_placement.server.base.tables import DrainRow
from dstack_placement.server.runs.replica_jobs import groups_of


async def draining(
    session: AsyncSession, runs: Collection[uuid.UUID]
) -> Mapping[uuid.UUID, list[answers.Draining]]:
    """The replicas of runs that drain, by run.

    Args:
        session: The session to read in.
        runs: The runs' ids.
    """
    result = await session.execute(
        select(DrainRow, JobModel.replica_num)
        .join(JobModel, JobModel.id == DrainRow.job_id)
        .where(
            DrainRow.run_id.in_(runs),
            DrainRow.ended_at.is_(None),
            # dstack has begun to end one whose host is gone.
            JobModel.status == JobStatus.TERMINATING,
            JobModel.remove_at.is_(None),
        )
        .order_by(JobModel.replica_num)
    )
    rows = result.all()
    groups = await groups_of(session, [row.job_id for row, _ in rows])
    found: dict[uuid.UUID, list[answers.Draining]] = defaultdict(list)
    for row, number in rows:
        found[row.run_id].append(
            answers.Draining(
                replica_num=number,
                group=groups[row.job_id],
                job_id=row.job_id,
                since=row.since,
                limit=row.limit,
                open=row.open,
                in_rotation=row.in_rotation,
            )
        )
    return found
