"""What an edit would do to a run, as the add-on previews it."""

from __future__ import annotations

from collections import Counter

from dstack._internal.server.models import ProjectModel
from dstack._internal.server.services.runs import get_run_spec
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import ReplicaPlan
from dstack_placement.server.answers import answers, bounds
from dstack_placement.server.api.trying import tried_counts, tried_spec
from dstack_placement.server.moving import reclaiming
from dstack_placement.server.runs import specs
from dstack_placement.server.runs.finding import find_run
from dstack_placement.server.state.state import desired_counts
from dstack_placement.server.view.looking import (
    lanes_in,
    least_counts,
    noted,
    planned,
    read_run,
)


async def preview_of(
    session: AsyncSession, project: ProjectModel, asked: answers.PreviewRequest
) -> answers.Preview:
    """What changed lanes or counts would do.

    Raises:
        ResourceNotExistsError: There is no such run.
        ServerClientError: The lanes can't be accepted, a group does not exist, or it is too much.
    """
    bounds.refuse_large_preview(asked)
    model = await find_run(session, project, asked.run_name)
    stored = get_run_spec(model)
    spec = tried_spec(stored, asked)
    counts = tried_counts(stored, asked, desired_counts(model))
    wanted = {**least_counts(spec), **desired_counts(model), **counts}
    bounds.refuse_many_replicas(sum(wanted.values()))
    read = await specs.refuse_wrong_lanes(session, project, spec)
    run = await read_run(session, project, model, spec, counts, retried=True)
    if run.state is None:
        return answers.Preview(
            run_id=model.id,
            run_name=asked.run_name,
            managed=False,
            observed_at=get_current_datetime(),
            lanes=[],
            actions={},
            replicas=[],
            notes=["No lanes: dstack's own rule places the replicas, in one fleet for all."],
        )
    bounds.refuse_many_replicas(len(run.state.jobs))
    reclaim = asked.reclaim or run.state.lanes.reclaim
    foresight = await reclaiming.foreseen(session, model, spec, run.state, reclaim)
    plan = await planned(session, foresight.service, run.state.now, rebalance=asked.rebalance)
    ways = [way.line(asked.run_name) for way in foresight.ways]
    return answers.Preview(
        run_id=model.id,
        run_name=asked.run_name,
        managed=True,
        observed_at=run.state.now,
        lanes=lanes_in(run.state, plan),
        actions=dict(Counter(row.action.value for row in plan.replicas)),
        replicas=[_previewed(row) for row in plan.replicas] if asked.include_replicas else [],
        **noted(read.warnings, run.state, plan, ways),
    )


def _previewed(row: ReplicaPlan) -> answers.PreviewReplica:
    return answers.PreviewReplica(
        replica_num=row.replica.number,
        group=row.replica.group,
        new=row.new,
        fleet=row.replica.fleet,
        action=row.action.value,
        to=row.to,
        reason=row.reason.value if row.reason is not None else None,
        why=row.why,
    )
