"""Tells of lanes whose workers the service's router can't reach."""

from __future__ import annotations

from dstack._internal.server.models import RunModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.base.tables import UnreachableRow
from dstack_placement.server.base.telling import tell
from dstack_placement.server.state.state import RunState


async def tell_unreachable(session: AsyncSession, run_model: RunModel, state: RunState) -> None:
    """Emits an event for each lane that can't be reached, once until that changes.

    Args:
        session: A session of `locked_run`.
        run_model: The run.
        state: The run as it is now.
    """
    rows = await session.execute(
        select(UnreachableRow).where(UnreachableRow.run_id == run_model.id)
    )
    known = {(row.pool, row.fleet): row for row in rows.scalars()}
    for (pool, fleet), lane in state.unreachable.items():
        row = known.pop((pool, fleet), None)
        line = lane.line(fleet)
        if row is not None and row.line == line:
            continue
        if row is not None:
            row.line, row.since = line, state.now
        else:
            session.add(
                UnreachableRow(
                    run_id=run_model.id, pool=pool, fleet=fleet, line=line, since=state.now
                )
            )
        tell(session, run_model, line)
    for row in known.values():
        await session.delete(row)
        if (row.pool, row.fleet) in state.editions:
            tell(session, run_model, f"Fleet {row.fleet} may be reached by the router now")
