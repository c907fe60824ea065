"""Requests that other servers of one PostgreSQL have open to replicas that drain.

Each server reports its own every few seconds for as long as it has any. One server on SQLite has
nobody to report to.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta

from dstack._internal.server.db import get_db, get_session_ctx
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.base.faults import faults
from dstack_placement.server.base.tables import DrainRow, OpenRequestsRow
from dstack_placement.server.drain import open_requests

#: This server's process.
_SERVER = uuid.uuid4()
_EVERY = timedelta(seconds=2)
#: Until then all servers have had time to report.
_HEARD_AFTER = 3 * _EVERY
#: What is older is of a server that is gone.
_FRESH = 5 * _EVERY
_reporting: asyncio.Task[None] | None = None


def report() -> None:
    """Begins to report what this server has open, unless it does already."""
    global _reporting
    if get_db().dialect_name != "postgresql":
        return
    if _reporting is None or _reporting.done():
        _reporting = asyncio.create_task(_report())


async def count(session: AsyncSession, job_id: uuid.UUID) -> int:
    """How many requests other servers have open to a replica."""
    found = await session.scalar(
        select(func.sum(OpenRequestsRow.open)).where(
            OpenRequestsRow.job_id == job_id,
            OpenRequestsRow.server != _SERVER,
            OpenRequestsRow.seen_at > get_current_datetime() - _FRESH,
        )
    )
    return int(found or 0)


def is_unheard(since: datetime, now: datetime) -> bool:
    """Whether another server may have requests open of which it has not reported yet.

    Args:
        since: When the replica was to stop.
        now: The time.
    """
    return get_db().dialect_name == "postgresql" and now - since < _HEARD_AFTER


async def _report() -> None:
    while open_requests.all_open():
        with faults.guarded("reporting open requests", None, "of the proxy"):
            await _write()
        await asyncio.sleep(_EVERY.total_seconds())
    with faults.guarded("reporting open requests", None, "of the proxy"):
        await _write()


async def _write() -> None:
    """Replaces what this server has reported."""
    counts = open_requests.all_open()
    async with get_session_ctx() as session:
        await session.execute(delete(OpenRequestsRow).where(OpenRequestsRow.server == _SERVER))
        found = await session.execute(
            select(DrainRow.job_id, DrainRow.run_id).where(
                DrainRow.ended_at.is_(None), DrainRow.job_id.in_(counts)
            )
        )
        now = get_current_datetime()
        for job_id, run_id in found:
            session.add(
                OpenRequestsRow(
                    job_id=job_id, run_id=run_id, server=_SERVER, open=counts[job_id], seen_at=now
                )
            )
        await session.commit()
