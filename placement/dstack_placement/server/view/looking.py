"""The placement of a run as the endpoints show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.runs import Job, RunSpec, RunStatus
from dstack._internal.server.models import InstanceModel, JobModel, ProjectModel, RunModel
from dstack._internal.server.services.jobs import get_job_spec
from dstack._internal.server.services.runs import get_run_spec
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import (
    Code,
    Line,
    Plan,
    Service,
    ServiceSpec,
    code_of,
    preview,
)
from dstack_placement.server.answers import answers
from dstack_placement.server.base.faults import faults
from dstack_placement.server.base.tables import DeficitRow
from dstack_placement.server.base.threads import in_thread
from dstack_placement.server.drain import drains
from dstack_placement.server.fleets.cordons import Cordons
from dstack_placement.server.networks.unreachable import marked, workers_there
from dstack_placement.server.runs import specs
from dstack_placement.server.runs.finding import find_run
from dstack_placement.server.runs.replica_jobs import ReplicaJob, read_jobs, with_retried
from dstack_placement.server.runs.samples import of_groups
from dstack_placement.server.state.state import Needs, RunState, desired_counts, read_state
from dstack_placement.server.view.claims import reclaim_notes, with_claims


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run with its spec; the state is None where it has no lanes."""

    model: RunModel
    spec: RunSpec
    state: RunState | None


async def placement(
    session: AsyncSession, project: ProjectModel, run_name: str
) -> answers.Placement:
    """How the replicas of a run are placed.

    Raises:
        ResourceNotExistsError: There is no such run.
    """
    model = await find_run(session, project, run_name)
    with faults.guarded("reading its placement", model):
        return await _placement(session, project, model)
    return answers.Placement(
        run_id=model.id,
        run_name=run_name,
        managed=False,
        observed_at=get_current_datetime(),
        groups=[],
        lanes=[],
        replicas=[],
        rebalancing=None,
        notes=[],
        fault=answers.fault(model.id),
    )


async def _placement(
    session: AsyncSession, project: ProjectModel, model: RunModel
) -> answers.Placement:
    run = await read_run(session, project, model, get_run_spec(model))
    draining = (await drains.draining(session, [model.id])).get(model.id, [])
    ended = model.status.is_finished()
    if ended or model.status is RunStatus.TERMINATING:
        # Nothing starts any more, so no lane has a deficit or anything to come.
        nothing = dict.fromkeys(least_counts(run.spec), 0)
        note = "The run has ended." if ended else "The run is ending."
        return _without_plan(run, nothing, [note], draining)
    if run.state is None:
        return _without_plan(run, desired_counts(model), [], draining)
    plan = await planned(session, run.state.service, run.state.now)
    return answers.Placement(
        run_id=model.id,
        run_name=str(model.run_name),
        managed=True,
        observed_at=run.state.now,
        groups=groups_in(run.state.lanes, desired_counts(model)),
        lanes=lanes_in(run.state, plan, await _deficits(session, model)),
        replicas=await _replicas(session, run.state),
        rebalancing=answers.rebalancing(run.state.rebalance),
        **noted(run.state.lanes.warnings, run.state, plan),
        draining=draining,
        fault=answers.fault(model.id),
    )


async def planned(
    session: AsyncSession, service: Service, now: datetime, *, rebalance: bool = False
) -> Plan:
    """The plan for a service, made beside the server's loop.

    Args:
        session: The request's session, whose connection others get meanwhile.
        service: The service.
        now: The time of the look at it.
        rebalance: Whether to move replicas towards the targets too.
    """
    await session.commit()
    return await in_thread(partial(preview, service, now=now, rebalance=rebalance))


async def read_run(
    session: AsyncSession,
    project: ProjectModel,
    model: RunModel,
    spec: RunSpec,
    changed: Mapping[str, int] | None = None,
    cordons: Cordons | None = None,
    *,
    retried: bool = False,
) -> SeenRun:
    """Reads the state of a run.

    Args:
        session: The session to read in.
        project: The run's project.
        model: The run.
        spec: Its spec, or another one to try.
        changed: Replicas desired by group, where it is not as dstack last decided.
        cordons: What is cordoned, where it is not as it is stored.
        retried: Whether replicas that failed and are started again count as ones that wait.
    """
    lanes = specs.lanes_of(spec, project.name)
    if lanes is None:
        return SeenRun(model, spec, None)
    jobs = await read_jobs(session, model.id)
    if retried:
        before = {**least_counts(get_run_spec(model)), **desired_counts(model)}
        jobs = await with_retried(session, model.id, jobs, before)
    samples = of_groups(spec, await _samples(session, jobs))
    state = await read_state(
        session,
        run=model,
        lanes=lanes,
        jobs=jobs,
        needs=Needs(project, spec, lambda: samples),
        changed=changed or {},
        cordons=cordons,
    )
    return SeenRun(model, spec, state)


def groups_in(lanes: ServiceSpec, counts: Mapping[str, int]) -> list[answers.PlacementGroup]:
    """The groups of a run with lanes.

    Args:
        lanes: The run's lanes.
        counts: The replicas desired now, where dstack has decided.
    """
    return [
        answers.PlacementGroup(
            name=group.name,
            desired=counts.get(group.name, group.least),
            pool=pool[0] if (pool := lanes.pool_of(group.name)) else None,
        )
        for group in lanes.groups
    ]


def groups_without_lanes(
    least: Mapping[str, int], counts: Mapping[str, int]
) -> list[answers.PlacementGroup]:
    """The groups of a run without lanes.

    Args:
        least: The minimum replica count of each, as `least_counts` gives them.
        counts: The replicas desired now, where dstack has decided.
    """
    return [
        answers.PlacementGroup(name=name, desired=counts.get(name, count), pool=None)
        for name, count in least.items()
    ]


def least_counts(spec: RunSpec) -> dict[str, int]:
    """The minimum replica count of each group of a service; none for what is not a service."""
    if not isinstance(spec.configuration, ServiceConfiguration):
        return {}
    return {str(group.name): group.replicas.min or 0 for group in spec.configuration.replica_groups}


def _without_plan(
    run: SeenRun,
    counts: Mapping[str, int],
    notes: list[str],
    draining: Sequence[answers.Draining] = (),
) -> answers.Placement:
    """A run in which no lane decides anything (any more)."""
    lanes = run.state.lanes if run.state is not None else None
    return answers.Placement(
        run_id=run.model.id,
        run_name=str(run.model.run_name),
        managed=lanes is not None,
        observed_at=get_current_datetime(),
        groups=groups_in(lanes, counts)
        if lanes
        else groups_without_lanes(least_counts(run.spec), counts),
        lanes=[],
        replicas=[],
        rebalancing=None,
        notes=notes,
        draining=[*draining],
        fault=answers.fault(run.model.id),
    )


async def _samples(session: AsyncSession, jobs: list[ReplicaJob]) -> dict[str, Job]:
    """A job of each group that has one."""
    first = {job.group: job.id for job in reversed(jobs)}
    rows = await session.execute(select(JobModel).where(JobModel.id.in_(first.values())))
    specs_of = [get_job_spec(row) for row in rows.scalars()]
    return {spec.replica_group: Job(job_spec=spec, job_submissions=[]) for spec in specs_of}


def lanes_in(
    state: RunState, plan: Plan, deficits: Mapping[tuple[str, str], datetime] | None = None
) -> list[answers.PlacementLane]:
    """The lanes of a plan as they are sent.

    Those that the router can't reach say so, and those to which others give way.

    Args:
        state: What the plan was made of.
        plan: The plan.
        deficits: By pool and fleet, since when lanes are below their minimums.
    """
    since = deficits or {}
    lanes = with_claims(marked(plan.lanes, state.unreachable), state.claims)
    keyed = [((lane.pool, lane.fleet), lane) for lane in lanes]
    return [answers.lane(lane, since.get(at), state.claims.get(at)) for at, lane in keyed]


async def _deficits(session: AsyncSession, run: RunModel) -> dict[tuple[str, str], datetime]:
    found = await session.execute(select(DeficitRow).where(DeficitRow.run_id == run.id))
    return {(row.pool, row.fleet): row.since for row in found.scalars()}


def noted(
    warnings: Iterable[str], state: RunState, plan: Plan, more: Iterable[str] = ()
) -> dict[str, list[str]]:
    """The notes of an answer, and beside them their codes.

    Args:
        warnings: What the lanes' reader warns of.
        state: What the plan was made of.
        plan: The plan.
        more: Other notes.
    """
    notes = [*warnings, *_unreachable(state), *reclaim_notes(state), *more, *plan.notes]
    return {"notes": [*map(str, notes)], "note_codes": [*map(code_of, notes)]}


def _unreachable(state: RunState) -> list[Line]:
    lines = []
    there = workers_there(state.service, state.lanes, state.unreachable)
    for at, lane in state.unreachable.items():
        lines.append(Line(f"{lane.line(at[1])}.", Code.OUT_OF_REACH))
        if there[at] and not lane.used:
            # They came before the router, or it has moved. Nothing but this takes them away.
            text = (
                f"Workers in fleet {at[1]} already: {there[at]}. Take the lane away to move them."
            )
            lines.append(Line(text, Code.WORKERS_OUT_OF_REACH))
    return lines


async def _replicas(session: AsyncSession, state: RunState) -> list[answers.PlacementReplica]:
    ids = [job.id for job in state.jobs.values()]
    rows = await session.execute(
        select(JobModel.id, InstanceModel.name)
        .join(InstanceModel, InstanceModel.id == JobModel.instance_id)
        .where(JobModel.id.in_(ids))
    )
    instances = {row.id: row.name for row in rows}
    fleets = {replica.key: replica.fleet for replica in state.service.replicas}
    shown = []
    for job in sorted(state.jobs.values(), key=lambda job: (job.group, job.number)):
        row = state.placements.get(job.id)
        shown.append(
            answers.PlacementReplica(
                replica_num=job.number,
                group=job.group,
                job_id=job.id,
                state=job.state.value,
                fleet=fleets[job.key],
                instance=instances.get(job.id),
                reason=row.reason if row is not None else None,
                why=row.why if row is not None else None,
                cause=row.cause if row is not None else None,
                since=row.since if row is not None else None,
                gives_way_to=state.gives[job.id].for_run_name if job.id in state.gives else None,
            )
        )
    return shown
