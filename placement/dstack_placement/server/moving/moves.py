"""Moving replicas that run, and lanes below their minimums.

It comes after dstack's own look at a run, on what dstack is about to do: nothing is stopped before
its relief is ready, and one more replica is started for each that moves.
"""

from __future__ import annotations

import json
from dataclasses import replace

from dstack._internal.server.background.pipeline_tasks.runs.active import (
    ActiveContext,
    ActiveResult,
)
from dstack._internal.server.background.pipeline_tasks.runs.common import (
    build_scale_up_job_models,
)
from dstack._internal.server.models import JobModel, RunModel
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import (
    Action,
    Plan,
    Replica,
    ReplicaPlan,
    depends_on_rooms,
    next_actions,
)
from dstack_placement.server.active_run.running import Look, about_to_stop
from dstack_placement.server.assignment.reach_events import tell_unreachable
from dstack_placement.server.base.faults import faults
from dstack_placement.server.base.tables import PlacementRow, locked_run
from dstack_placement.server.base.telling import tell
from dstack_placement.server.moving import rebalancing, reclaiming
from dstack_placement.server.moving.deficits import tell_deficits
from dstack_placement.server.state.state import RunState
from dstack_placement.server.view.claims import gave_way


def copy_of(result: ActiveResult) -> ActiveResult:
    """What dstack is about to do, apart from what `carry_out` changes in it."""
    return replace(
        result,
        run_update_map={**result.run_update_map},
        new_job_models=[*result.new_job_models],
        job_id_to_update_map={
            job_id: {**change} for job_id, change in result.job_id_to_update_map.items()
        },
    )


async def carry_out(context: ActiveContext, look: Look, result: ActiveResult) -> None:
    """Changes what dstack is about to do with a run so that replicas move by the lanes.

    Args:
        context: dstack's context of the run.
        look: The look at the run that went before.
        result: What dstack is about to do; it is changed.
    """
    counts = result.run_update_map.get("desired_replica_counts")
    if counts is None:
        # The run ends, or replicas that failed are started again: dstack scales nothing now.
        return
    wanted = json.loads(counts)
    state, record = look.state, look.record
    service = replace(
        state.service,
        groups=tuple(
            replace(group, wanted=wanted.get(group.name, group.wanted))
            for group in state.service.groups
        ),
        replicas=_brought_up_to_date(context.run_model, state, result),
    )
    _attach(context.run_model, state, result)
    if record.rebalances or record.claims or depends_on_rooms(service):
        state = await look.with_rooms()
        service = replace(service, rooms=state.service.rooms)
    elif not (about_to_stop(result) or record.deficits or record.unreachable or state.unreachable):
        return
    plan = next_actions(service, now=state.now, rebalance=rebalancing.goes_on(state))
    _keep_until_relieved(plan, result)
    moves = [] if result.new_job_models or about_to_stop(result) else plan.doing(Action.MOVE)
    # Before the lock: dstack may ask a registry for the image.
    reliefs = [(row, await _relief(context, row)) for row in moves]
    async with locked_run(context.run_model.id) as session:
        for row, new in reliefs:
            await _start(session, context.run_model, state, row, new)
            result.new_job_models.extend(new)
        await tell_deficits(session, context.run_model, plan, state)
        await tell_unreachable(session, context.run_model, state)
        await rebalancing.go_on(session, context.run_model, state, service)
    with faults.guarded("reclaiming a minimum", context.run_model):
        state = replace(state, service=service)
        await reclaiming.go_on(context.run_model, context.run_spec, state, plan)


def _brought_up_to_date(
    run_model: RunModel, state: RunState, result: ActiveResult
) -> tuple[Replica, ...]:
    """The replicas once those that need no restart for an edit count as of its deployment."""
    if not result.job_id_to_update_map:
        return state.service.replicas
    numbers = {
        str(job_id): change.get("deployment_num")
        for job_id, change in result.job_id_to_update_map.items()
    }
    return tuple(
        replace(replica, out_of_date=False)
        if numbers.get(replica.key) == run_model.deployment_num
        else replica
        for replica in state.service.replicas
    )


def _keep_until_relieved(plan: Plan, result: ActiveResult) -> None:
    """Lets a replica stay whose surge is not ready yet, though there is one past those desired."""
    rows = {row.replica.key: row for row in plan.replicas}
    for job_id in about_to_stop(result):
        row = rows.get(str(job_id))
        if row is None or row.action is not Action.STAY or row.replica.out_of_date:
            continue
        if row.why:
            del result.job_id_to_update_map[job_id]


def _attach(run_model: RunModel, state: RunState, result: ActiveResult) -> None:
    """Attaches the run to another of its fleets once it has left the one it is attached to.

    dstack lets nobody delete the fleet that a run is attached to.
    """
    attached = result.run_update_map.get("fleet_id", run_model.fleet_id)
    fleets = [fleet.id for fleet in state.fleets.values()]
    if attached is None or attached in fleets:
        return
    used = {job.fleet_id for job in state.jobs.values()}
    everywhere = all(state.lanes.pool_of(group.name) for group in state.lanes.groups)
    if fleets and everywhere and attached not in used:
        result.run_update_map["fleet_id"] = next((id_ for id_ in fleets if id_ in used), fleets[0])


async def _relief(context: ActiveContext, row: ReplicaPlan) -> list[JobModel]:
    """The jobs of the replica that takes the place of one that moves."""
    made: list[JobModel] = await build_scale_up_job_models(
        run_model=context.run_model,
        run_spec=context.run_spec,
        secrets=context.secrets,
        replicas_diff=1,
        group_name=row.replica.group,
    )
    return made


async def _start(
    session: AsyncSession,
    run_model: RunModel,
    state: RunState,
    row: ReplicaPlan,
    new: list[JobModel],
) -> None:
    """Keeps for a new replica the lane to which another moves."""
    fleet = state.fleets[str(row.to)]
    why = row.why + gave_way(state.claim_on(row.replica.group, row.to))
    for job_model in new:
        session.add(
            PlacementRow(
                job_id=job_model.id,
                run_id=run_model.id,
                fleet=row.to,
                fleet_id=fleet.id,
                reason="reclaim" if row.replica.gives_way_to else "move",
                why=why,
                since=state.now,
                outcome=None,
            )
        )
    if row.replica.gives_way_to:
        await reclaiming.note_surge(session, row.replica.key, new[0].id)
    tell(
        session,
        _job_model(run_model, row.replica.key),
        f"Replica {row.replica.number} moves to fleet {row.to}: {why}. It stops when replica"
        f" {new[0].replica_num} is ready",
    )


def _job_model(run_model: RunModel, key: str) -> JobModel:
    return next(job for job in run_model.jobs if str(job.id) == key)
