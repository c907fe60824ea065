"""Drains that are over: nothing is left on the instance, or in the fleet, and an event says so."""

from __future__ import annotations

from typing import Any

from dstack._internal.core.models.runs import JobStatus
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import FleetModel, InstanceModel, JobModel
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.base.tables import CordonRow, EmptiedRow
from dstack_placement.server.base.telling import tell


async def look(result: Any) -> None:
    """Looks at what is drained, once a job has ended.

    Args:
        result: What dstack has made of a terminating job.
    """
    status = result.job_update_map.get("status")
    if status is not None and status.is_finished():
        async with get_session_ctx() as session:
            for row in await _unsettled(session):
                if await settle(session, row):
                    await _commit(session)


async def settle(session: AsyncSession, row: CordonRow) -> bool:
    """Says that nothing is left on what is drained, where that is so and was not said yet.

    Args:
        session: The session, which the caller commits.
        row: The drain.

    Returns:
        Whether it was said.
    """
    if row.drains_since is None or await session.get(EmptiedRow, row.id) is not None:
        return False
    about: FleetModel | InstanceModel | None = await session.get(
        InstanceModel if row.instance_id is not None else FleetModel, row.id
    )
    if about is None or await session.scalar(jobs_there(row, JobModel.id).limit(1)) is not None:
        return False
    now = get_current_datetime()
    took = round((now - row.drains_since).total_seconds())
    session.add(EmptiedRow(id=row.id, since=now))
    what = "instance" if row.instance_id is not None else "fleet"
    tell(session, about, f"Drained {what} {about.name}: empty after {took} s")
    return True


def jobs_there(row: CordonRow, *columns: Any) -> Select[Any]:
    """The jobs that have not ended where something is cordoned.

    Args:
        row: The cordon.
        columns: What is wanted of each, of the job or its instance.
    """
    there = (
        JobModel.instance_id == row.instance_id
        if row.instance_id is not None
        else InstanceModel.fleet_id == row.fleet_id
    )
    return (
        select(*columns)
        .select_from(JobModel)
        .join(InstanceModel, InstanceModel.id == JobModel.instance_id)
        .where(there, JobModel.status.not_in(JobStatus.finished_statuses()))
    )


async def _unsettled(session: AsyncSession) -> list[CordonRow]:
    found = await session.execute(
        select(CordonRow).where(
            CordonRow.drains_since.is_not(None), CordonRow.id.not_in(select(EmptiedRow.id))
        )
    )
    return [*found.scalars()]


async def _commit(session: AsyncSession) -> None:
    try:
        await session.commit()
    except IntegrityError:
        # Another server has said it.
        await session.rollback()
