"""What is worth knowing of all services of a project, in a number of queries that does not grow."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from dstack._internal.core.models.common import validate_json_extra_ignore
from dstack._internal.core.models.runs import JobStatus, RunSpec, RunStatus
from dstack._internal.server.models import FleetModel, JobModel, ProjectModel, RunModel
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import ONLY_GROUP, ServiceSpec
from dstack_placement.server.answers import answers, bounds
from dstack_placement.server.base.faults import faults
from dstack_placement.server.base.kept import Kept
from dstack_placement.server.base.tables import (
    Base,
    CooldownRow,
    DeficitRow,
    PlacementRow,
    RebalanceRow,
    UnreachableRow,
    live_placements,
)
from dstack_placement.server.base.threads import in_thread
from dstack_placement.server.drain import drains
from dstack_placement.server.fleets.editions import editions_of
from dstack_placement.server.fleets.lane_fleets import fleets_of_lanes
from dstack_placement.server.gateways import gateway_traffic
from dstack_placement.server.runs import specs
from dstack_placement.server.runs.replica_jobs import groups_of
from dstack_placement.server.state.other_servers import OTHER_SERVER
from dstack_placement.server.view import looking

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True, slots=True)
class _Service:
    """What counts of a run's spec; `least` is empty for what is not a service."""

    lanes: ServiceSpec | None
    least: Mapping[str, int]

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return 500 + 4 * len(repr(self))


#: What is assumed of a run whose spec can't be read: a service of which nothing is known.
_UNREADABLE = _Service(None, {ONLY_GROUP: 0})

#: Of all projects. A spec is a large text that seldom changes, and reading one takes longer than
#: all else here.
_services: Kept[uuid.UUID, _Service] = Kept(16 * 1024 * 1024)
#: Specs that are read at once, since each may be large.
_SPECS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is kept on the runs, by run."""

    jobs: Mapping[uuid.UUID, Sequence[Any]]
    groups: Mapping[uuid.UUID, str]
    placements: Mapping[uuid.UUID, Sequence[PlacementRow]]
    deficits: Mapping[uuid.UUID, Sequence[DeficitRow]]
    cooldowns: Mapping[uuid.UUID, Sequence[CooldownRow]]
    unreachable: Mapping[uuid.UUID, Sequence[UnreachableRow]]
    rebalances: Mapping[uuid.UUID, Sequence[RebalanceRow]]
    fleets: Mapping[str, FleetModel]


async def placements(
    session: AsyncSession, project: ProjectModel, asked: answers.ListRequest
) -> answers.PlacementList:
    """All active services of a project in short, and some of them in full.

    Raises:
        ServerClientError: Too many are asked for in full.
    """
    bounds.refuse_large_list(asked)
    now = get_current_datetime()
    found = await session.execute(
        select(
            RunModel.id,
            RunModel.run_name,
            RunModel.deployment_num,
            func.length(RunModel.run_spec).label("length"),
            RunModel.desired_replica_counts,
            RunModel.gateway_id,
        )
        .where(
            RunModel.project_id == project.id,
            RunModel.deleted.is_(False),
            RunModel.status.not_in(RunStatus.finished_statuses()),
        )
        .order_by(RunModel.run_name)
    )
    runs = found.all()
    services = await _services_of(session, project, runs)
    rows = await _rows(
        session, project, [id_ for id_, service in services.items() if service.lanes]
    )
    shown = [run for run in runs if services.get(run.id, _UNREADABLE).least]
    names = {run.run_name for run in shown}
    draining = await drains.draining(session, [run.id for run in shown])
    return answers.PlacementList(
        observed_at=now,
        runs=[
            _summary(run, services.get(run.id, _UNREADABLE), rows, now).model_copy(
                update={"draining": draining.get(run.id, [])}
            )
            for run in shown
        ],
        placements=[
            await looking.placement(session, project, name)
            for name in dict.fromkeys(asked.run_names)
            if name in names
        ],
        traffic=await gateway_traffic.of_runs(session, project, shown),
    )


async def _services_of(
    session: AsyncSession, project: ProjectModel, runs: Sequence[Any]
) -> dict[uuid.UUID, _Service]:
    """What counts of the runs' specs, without those that can't be read."""
    versions = {run.id: (run.deployment_num, run.length, project.name) for run in runs}
    services = {}
    missing = []
    for run in runs:
        service = _services.get(run.id, versions[run.id])
        if service is not None:
            services[run.id] = service
        else:
            missing.append(run)
    for at in range(0, len(missing), _SPECS_AT_ONCE):
        some = {run.id: run for run in missing[at : at + _SPECS_AT_ONCE]}
        texts = await session.execute(
            select(RunModel.id, RunModel.run_spec).where(RunModel.id.in_(some))
        )
        for run_id, text in texts.all():
            with faults.guarded("reading its spec", some[run_id]):
                service = await in_thread(partial(_service, text, project.name))
                _services.put(run_id, versions[run_id], service, service.size)
                services[run_id] = service
    return services


def _service(text: str, project: str) -> _Service:
    spec = validate_json_extra_ignore(RunSpec, text)
    return _Service(specs.lanes_of(spec, project), looking.least_counts(spec))


async def _rows(session: AsyncSession, project: ProjectModel, runs: list[uuid.UUID]) -> _Rows:
    jobs = await session.execute(
        select(
            JobModel.id,
            JobModel.run_id,
            JobModel.replica_num,
            JobModel.status,
            JobModel.instance_assigned,
        )
        .where(
            JobModel.run_id.in_(runs),
            JobModel.job_num == 0,
            JobModel.status.not_in([JobStatus.TERMINATING, *JobStatus.finished_statuses()]),
        )
        .order_by(JobModel.replica_num)
    )
    jobs_of = _by_run(jobs.all())
    cooldowns = await _kept(session, CooldownRow, runs)
    return _Rows(
        jobs=jobs_of,
        groups=await groups_of(session, [job.id for of in jobs_of.values() for job in of]),
        placements=_by_run((await session.execute(live_placements(runs))).scalars().all()),
        deficits=await _kept(session, DeficitRow, runs),
        cooldowns=cooldowns,
        unreachable=await _kept(session, UnreachableRow, runs),
        rebalances=await _kept(session, RebalanceRow, runs),
        fleets=await fleets_of_lanes(session, project) if cooldowns else {},
    )


async def _kept(
    session: AsyncSession, table: type[Row], runs: list[uuid.UUID]
) -> dict[uuid.UUID, list[Row]]:
    found = await session.execute(select(table).where(table.run_id.in_(runs)))  # type: ignore[attr-defined]
    return _by_run(found.scalars().all())


def _by_run(rows: Collection[Any]) -> dict[uuid.UUID, list[Any]]:
    found: dict[uuid.UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.run_id].append(row)
    return dict(found)


def _summary(run: Any, service: _Service, rows: _Rows, now: datetime) -> answers.RunSummary:
    if service.lanes is not None:
        with faults.guarded("listing its placement", run):
            return _with_lanes(run, service.lanes, rows, now)
    return answers.RunSummary(
        run_id=run.id,
        run_name=run.run_name,
        managed=False,
        groups=looking.groups_without_lanes(
            service.least if service is not _UNREADABLE else {}, _counts(run)
        ),
        deficits=[],
        cooldowns=[],
        fallback_replicas=0,
        other_server_replicas=0,
        pending_replicas=0,
        pending=[],
        rebalancing=None,
        warnings=[],
        fault=answers.fault(run.id),
    )


def _counts(run: Any) -> dict[str, int]:
    counts = run.desired_replica_counts
    return dict(json.loads(counts)) if counts else {}


def _with_lanes(run: Any, lanes: ServiceSpec, rows: _Rows, now: datetime) -> answers.RunSummary:
    jobs = rows.jobs.get(run.id, [])
    placed = {row.job_id: row for row in rows.placements.get(run.id, [])}
    at = {(name, lane.fleet) for name, pool in lanes.pools.items() for lane in pool}
    return answers.RunSummary(
        run_id=run.id,
        run_name=run.run_name,
        managed=True,
        groups=looking.groups_in(lanes, _counts(run)),
        deficits=[
            answers.Deficit(
                pool=row.pool,
                fleet=row.fleet,
                missing=row.missing,
                since=row.since,
                reason=row.why,
            )
            for row in rows.deficits.get(run.id, [])
            if (row.pool, row.fleet) in at
        ],
        cooldowns=_cooldowns(rows.cooldowns.get(run.id, []), lanes, rows.fleets, now),
        fallback_replicas=_placed(jobs, placed, "fallback"),
        other_server_replicas=_placed(jobs, placed, OTHER_SERVER),
        pending_replicas=sum(not job.instance_assigned for job in jobs),
        pending=[
            answers.PendingReplica(
                replica_num=job.replica_num, group=rows.groups[job.id], since=row.since, why=row.why
            )
            for job in jobs
            if not job.instance_assigned
            and (row := placed.get(job.id)) is not None
            and row.fleet is None
        ],
        rebalancing=answers.rebalancing(next(iter(rows.rebalances.get(run.id, [])), None)),
        warnings=[
            *lanes.warnings,
            *(
                f"{row.line}."
                for row in rows.unreachable.get(run.id, [])
                if (row.pool, row.fleet) in at
            ),
        ],
        fault=answers.fault(run.id),
    )


def _placed(jobs: Sequence[Any], placed: Mapping[uuid.UUID, PlacementRow], reason: str) -> int:
    """How many replicas are where they are for a reason."""
    return sum(job.id in placed and placed[job.id].reason == reason for job in jobs)


def _cooldowns(
    rows: Sequence[CooldownRow],
    lanes: ServiceSpec,
    fleets: Mapping[str, FleetModel],
    now: datetime,
) -> list[answers.CooldownNow]:
    if not rows:
        return []
    editions = editions_of(lanes, fleets)
    return [
        answers.CooldownNow(
            pool=row.pool,
            fleet=row.fleet,
            failures=row.failures,
            since=row.since,
            until=row.until,
            cause=row.cause,
        )
        for row in rows
        if now < row.until and editions.get((row.pool, row.fleet)) == row.edition
    ]
