"""What is on instances that are drained: what moves away, what stays, and why."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dstack._internal.core.models.runs import JobStatus, RunSpec
from dstack._internal.server.models import InstanceModel, JobModel, RunModel
from dstack._internal.server.services.runs import get_run_spec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, lazyload

from dstack_placement.engine import Action, LanePlan, Plan, ReplicaPlan, Service
from dstack_placement.server.base.tables import CordonRow
from dstack_placement.server.cordon import cordon_answers, emptied
from dstack_placement.server.fleets.cordons import Cordons
from dstack_placement.server.state.state import RunState, held_replicas
from dstack_placement.server.view import looking

_NOT_MOVED = {
    "task": "a task is not moved",
    "dev-environment": "a dev environment is not moved",
    "service": "the service has no lanes, so all its replicas are in one fleet",
}


class Outlook:
    """What becomes of the jobs under a drain.

    Attributes:
        occupants: The jobs.
        broken: The minimums that it breaks.
    """

    def __init__(self) -> None:
        self.occupants: list[cordon_answers.Occupant] = []
        self.broken: list[cordon_answers.BrokenMinimum] = []


async def outlook(session: AsyncSession, row: CordonRow, cordons: Cordons) -> Outlook:
    """What becomes of the jobs on what is drained, if every start succeeds.

    Args:
        session: The session to read in.
        row: The drain.
        cordons: All cordons, that one among them.
    """
    found = Outlook()
    taken: Counter[uuid.UUID] = Counter()
    jobs = await _jobs_on(session, row)
    for run in await _runs(session, jobs):
        own = jobs[run.id]
        spec = get_run_spec(run)
        seen = await looking.read_run(session, run.project, run, spec, cordons=cordons)
        if seen.state is None:
            why = _NOT_MOVED.get(spec.configuration.type, "it is not a service with lanes")
            found.occupants += [_occupant(run, spec, job, "stay", why) for job in own]
            continue
        service = _with_less_room(seen.state, taken)
        plan = await looking.planned(session, service, seen.state.now)
        taken += _taken(seen.state, plan)
        found.occupants += _occupants(run, spec, own, seen.state, plan)
        found.broken += _broken(run, seen.state, plan)
    return found


async def _jobs_on(session: AsyncSession, row: CordonRow) -> Mapping[uuid.UUID, Sequence[Any]]:
    """The jobs there that have not ended, by run."""
    asked = emptied.jobs_there(
        row,
        JobModel.id,
        JobModel.run_id,
        JobModel.replica_num,
        JobModel.job_num,
        JobModel.status,
        InstanceModel.name,
    )
    rows = await session.execute(asked.order_by(JobModel.replica_num, JobModel.job_num))
    found: dict[uuid.UUID, list[Any]] = defaultdict(list)
    for job in rows:
        found[job.run_id].append(job)
    return found


async def _runs(session: AsyncSession, ids: Mapping[uuid.UUID, Any]) -> Sequence[RunModel]:
    found = await session.execute(
        select(RunModel)
        .where(RunModel.id.in_(ids))
        .options(lazyload(RunModel.jobs), joinedload(RunModel.project))
        .order_by(RunModel.run_name)
    )
    return found.unique().scalars().all()


def _with_less_room(state: RunState, taken: Counter[uuid.UUID]) -> Service:
    """The service once others have moved to where it might move too."""
    rooms = dict(state.service.rooms)
    for name, fleet in state.fleets.items():
        room, less = rooms[name], taken[fleet.id]
        if less:
            rooms[name] = replace(
                room,
                more=None if room.more is None else max(room.more - less, 0),
                more_of={group: max(more - less, 0) for group, more in room.more_of.items()},
            )
    return replace(state.service, rooms=rooms)


def _taken(state: RunState, plan: Plan) -> Counter[uuid.UUID]:
    moves = [row for row in plan.doing(Action.MOVE) if row.to in state.fleets]
    return Counter(state.fleets[str(row.to)].id for row in moves)


def _occupants(
    run: RunModel, spec: RunSpec, jobs: Sequence[Any], state: RunState, plan: Plan
) -> list[cordon_answers.Occupant]:
    rows = {row.replica.key: row for row in plan.replicas}
    held = held_replicas(state.jobs.values(), spec)
    found = []
    for job in jobs:
        row = rows.get(str(job.id))
        if job.status is JobStatus.TERMINATING or row is None:
            found.append(_occupant(run, spec, job, "stop", "it stops already"))
        elif row.action is Action.MOVE:
            found.append(_occupant(run, spec, job, "move", row.why, row.replica.group, row.to))
        elif row.action is Action.STOP:
            found.append(_occupant(run, spec, job, "stop", row.why, row.replica.group))
        else:
            why = _why_it_stays(job.id, row, held)
            found.append(_occupant(run, spec, job, "stay", why, row.replica.group))
    return found


def _why_it_stays(
    job: uuid.UUID, row: ReplicaPlan, held: Mapping[uuid.UUID, tuple[str, ...]]
) -> str:
    if not row.replica.leaves and job in held:
        return f"the replicas of {', '.join(held[job])} keep its address; force moves it"
    return row.why or "others start or stop first"


def _occupant(
    run: RunModel,
    spec: RunSpec,
    job: Any,
    action: str,
    why: str,
    group: str = "",
    to: str | None = None,
) -> cordon_answers.Occupant:
    return cordon_answers.Occupant.model_validate(
        {
            "project": run.project.name,
            "run_id": run.id,
            "run_name": run.run_name,
            "run_type": spec.configuration.type,
            "replica_num": job.replica_num,
            "job_num": job.job_num,
            "group": group,
            "instance": job.name,
            "action": action,
            "to": to,
            "why": why,
        }
    )


def _broken(run: RunModel, state: RunState, plan: Plan) -> list[cordon_answers.BrokenMinimum]:
    return [
        cordon_answers.BrokenMinimum(
            project=run.project.name,
            run_name=str(run.run_name),
            pool=lane.pool,
            fleet=lane.fleet,
            min_replicas=lane.lane.min_replicas,
            replicas=lane.after,
        )
        for lane in plan.lanes
        if _breaks(lane)
    ]


def _breaks(lane: LanePlan) -> bool:
    return not lane.deficit and lane.after < lane.lane.min_replicas
