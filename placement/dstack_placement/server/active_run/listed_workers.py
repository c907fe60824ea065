"""Workers that a router uses: none stops for one that the router does not use yet.

dstack calls a worker without probes ready as soon as its commands run, and one with probes before
its next sync has registered it. Until the router has it in its list, requests of its group would
find nobody.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.routers import RouterType
from dstack._internal.core.models.runs import JobStatus, RunSpec
from dstack._internal.server.background.pipeline_tasks.runs.active import ActiveResult
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import JobModel, RunModel
from dstack._internal.utils.common import get_current_datetime

from dstack_placement.server.active_run.running import about_to_stop
from dstack_placement.server.routers.router_looks import Look, RouterStatus, job_of, router_looks
from dstack_placement.server.routers.router_view import jobs_to_reach
from dstack_placement.server.runs.replica_jobs import group_of

#: A worker that its router has not used for so long is not waited for any more.
_AWAITED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What dstack is about to do with the workers of a group.

    Attributes:
        stops: The jobs that it stops, in its order.
        newcomers: Those that stay, and run for not long.
    """

    stops: tuple[uuid.UUID, ...]
    newcomers: tuple[uuid.UUID, ...]


async def keep_used(run_model: RunModel, run_spec: RunSpec, result: ActiveResult) -> None:
    """Lets workers stay that their router uses, while it does not use those that came for them.

    Args:
        run_model: A run that dstack looks at.
        run_spec: Its spec.
        result: What dstack is about to do; it is changed.
    """
    router = _router_group(run_spec)
    stops = about_to_stop(result)
    if router is None or not stops:
        return
    changes = _changes(run_model.jobs, stops, router)
    if not changes:
        return
    async with get_session_ctx() as session:
        jobs = await jobs_to_reach(session, run_model.id)
    routers = [job for job in jobs if group_of(job) == router and job.status is JobStatus.RUNNING]
    looks = [await router_looks.look(job) for job in routers]
    for job_id in kept(changes, looks):
        del result.job_id_to_update_map[job_id]


def kept(changes: Iterable[GroupChange], looks: Collection[Look]) -> list[uuid.UUID]:
    """The workers that stay for now: as many of a group as there are that no router uses yet.

    Args:
        changes: What is about to be done, by group.
        looks: What the routers of the service say; where one does not answer, nothing stays.
    """
    if not looks or any(look.status is not RouterStatus.OK for look in looks):
        return []
    used = [{job_of(worker) for worker in look.workers if _is_used(worker)} for look in looks]
    staying = []
    for change in changes:
        by_any = [job for job in change.stops if any(str(job) in each for each in used)]
        awaited = [job for job in change.newcomers if any(str(job) not in each for each in used)]
        # The first to go may go where fewer are awaited.
        staying += by_any[max(len(by_any) - len(awaited), 0) :]
    return staying


def _is_used(worker: Mapping[str, Any]) -> bool:
    status = worker.get("status")
    return status == "ready" if status is not None else bool(worker.get("is_healthy", True))


def _router_group(run_spec: RunSpec) -> str | None:
    """The group of an SMG router; any other finds its workers itself."""
    configuration = run_spec.configuration
    if not isinstance(configuration, ServiceConfiguration):
        return None
    for group in configuration.replica_groups:
        if group.router is not None and group.router.type is RouterType.SMG:
            return str(group.name)
    return None


def _changes(
    jobs: Iterable[JobModel], stops: Sequence[uuid.UUID], router: str
) -> list[GroupChange]:
    """What is about to be done in groups of which workers stop and others are new."""
    since = get_current_datetime() - _AWAITED
    workers = {
        job.id: job
        for job in jobs
        if job.status is JobStatus.RUNNING and not job.job_num and group_of(job) != router
    }
    going: dict[str, list[uuid.UUID]] = defaultdict(list)
    new: dict[str, list[uuid.UUID]] = defaultdict(list)
    for job_id in stops:
        if job_id in workers:
            going[group_of(workers.pop(job_id))].append(job_id)
    for job in workers.values():
        if job.running_at is not None and job.running_at > since:
            new[group_of(job)].append(job.id)
    return [GroupChange((*going[name],), (*new[name],)) for name in going if new[name]]
