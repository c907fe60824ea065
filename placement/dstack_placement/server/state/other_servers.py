"""Replicas that a server without the add-on has placed, beside those with it on one database.

A server with the add-on notes where a replica goes before dstack gives it an instance. So one that
has an instance, and for which nothing or another fleet was noted, was placed by somebody else.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import timedelta

from dstack._internal.server.background.pipeline_tasks.jobs_submitted import _SubmittedJobContext
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import RunModel
from dstack._internal.server.services import events
from dstack._internal.server.services.logging import fmt
from dstack._internal.utils.common import get_current_datetime
from dstack._internal.utils.logging import get_logger
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.base.tables import LookRow, PlacementRow, Record
from dstack_placement.server.runs.replica_jobs import ReplicaJob
from dstack_placement.server.state.state import RunState

logger = get_logger("dstack.placement")

#: The reason of a replica that such a server has placed.
OTHER_SERVER = "other-server"
#: The reason of one that dstack's own rule has placed because the add-on failed.
OWN_RULE = "own-rule"

#: After so long without a look, no server with the add-on was there: whoever placed replicas
#: meanwhile was not beside one.
_AWAY = timedelta(minutes=5)
#: That there was a look is noted this often.
_NOTED_EVERY = timedelta(seconds=30)


async def note_replicas(
    session: AsyncSession,
    run_model: RunModel,
    state: RunState,
    record: Record,
    jobs: Sequence[ReplicaJob],
) -> set[uuid.UUID]:
    """Notes the replicas of a run that a server without the add-on has placed, and reports each.

    Those that were submitted before the first look are not among them: the service may have had no
    lanes then, or the server no add-on.

    Args:
        session: A session of `locked_run`.
        run_model: The run.
        state: What is known of it.
        record: What is kept of it.
        jobs: Those of its jobs of which it is not known that nothing is to be noted.

    Returns:
        The jobs of those that were noted now.
    """
    with_lanes = [group.name for group in state.lanes.groups if state.lanes.pool_of(group.name)]
    groups = json.dumps(sorted(with_lanes))
    now, since, seen_at = state.now, record.look_since, record.looked_at
    if since is None or seen_at is None or record.groups != groups or now - seen_at > _AWAY:
        await session.merge(LookRow(run_id=run_model.id, since=now, seen_at=now, groups=groups))
        return set()
    if now - seen_at > _NOTED_EVERY:
        await session.merge(LookRow(run_id=run_model.id, since=since, seen_at=now, groups=groups))
    names = {fleet.id: name for name, fleet in state.fleets.items()}
    submitted = {each.id: each.submitted_at for each in run_model.jobs} if jobs else {}
    noted = set()
    for job in jobs:
        if submitted[job.id] < since or not _is_strange(job, state):
            continue
        assert job.fleet_id is not None
        noted.add(job.id)
        fleet = names.get(job.fleet_id, str(job.fleet_id))
        await session.merge(
            PlacementRow(
                job_id=job.id,
                run_id=run_model.id,
                fleet=fleet,
                fleet_id=job.fleet_id,
                reason=OTHER_SERVER,
                why="a server without the add-on placed it",
                since=state.now,
                outcome=None,
            )
        )
        message = f"Replica {job.number} was placed in fleet {fleet} by a server without the add-on"
        logger.warning("%s: %s", fmt(run_model), message)
        target = events.Target.from_model(run_model)
        events.emit(session, message, actor=events.SystemActor(), targets=[target])
    return noted


async def forget_looks(session: AsyncSession, run_id: uuid.UUID) -> None:
    """Forgets the looks at a run without lanes: dstack's own rule places its replicas now."""
    look = await session.get(LookRow, run_id)
    # In SQLite, a deletion of nothing would keep others from writing too.
    if look is not None:
        await session.delete(look)


async def note_own_rule(context: _SubmittedJobContext) -> None:
    """Notes that dstack's own rule is about to place a replica of a run with lanes."""
    job_id: uuid.UUID = context.job_model.id
    async with get_session_ctx() as session:
        await session.merge(
            PlacementRow(
                job_id=job_id,
                run_id=context.run_model.id,
                fleet=None,
                fleet_id=None,
                reason=OWN_RULE,
                why="the add-on failed, so dstack's own rule placed it",
                since=get_current_datetime(),
                outcome=None,
            )
        )


def _is_strange(job: ReplicaJob, state: RunState) -> bool:
    """Whether a replica has an instance that no server with the add-on has led it to."""
    if not job.lives or job.fleet_id is None or state.lanes.pool_of(job.group) is None:
        return False
    row = state.placements.get(job.id)
    return row is None or (row.reason != OWN_RULE and row.fleet_id != job.fleet_id)
