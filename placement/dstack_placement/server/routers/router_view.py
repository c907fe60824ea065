"""A service's router beside what dstack expects of it."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Sequence
from datetime import datetime

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.configurations import ReplicaGroup, ServiceConfiguration
from dstack._internal.core.models.routers import RouterType
from dstack._internal.core.models.runs import JobStatus
from dstack._internal.server.background.pipeline_tasks.service_router_worker_sync import (
    ServiceRouterWorkerSyncPipeline,
)
from dstack._internal.server.models import (
    InstanceModel,
    JobModel,
    ProjectModel,
    RunModel,
    ServiceRouterWorkerSyncModel,
)
from dstack._internal.server.services.jobs import get_job_spec
from dstack._internal.server.services.runs import get_run_spec
from dstack._internal.server.services.runs.replicas import get_router_replica_group
from dstack._internal.server.services.runs.router_worker_sync import (
    _get_worker_jobs_with_addresses,
)
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, load_only

from dstack_placement.server.routers.router_answers import ExpectedWorker, Router
from dstack_placement.server.routers.router_looks import Look, RouterStatus, router_looks
from dstack_placement.server.routers.worker_commands import read_worker_command
from dstack_placement.server.runs.finding import find_run


async def router_of(session: AsyncSession, project: ProjectModel, run_name: str) -> Router:
    """The router of a run, as it is seen now.

    Raises:
        ResourceNotExistsError: There is no such run.
        ServerClientError: The run is not a service.
    """
    run_model = await find_run(session, project, run_name)
    run_spec = get_run_spec(run_model)
    configuration = run_spec.configuration
    if not isinstance(configuration, ServiceConfiguration):
        raise ServerClientError("The run is not a service. Name one.")
    group = get_router_replica_group(run_spec)
    jobs = await jobs_to_reach(session, run_model.id) if group is not None else []
    last_sync_at = await _last_sync(session, run_model) if group is not None else None
    # Others get the connection to the database while the router is asked.
    await session.commit()
    router = _router_job(jobs, group) if group is not None else None
    look = await _look(run_model, group, router)
    router_type = group.router.type if group is not None and group.router is not None else None
    return Router(
        run_name=run_name,
        router_type=router_type.value if router_type is not None else None,
        router_replica=router.replica_num if router is not None else None,
        router_job_status=router.status.value if router is not None else None,
        status=look.status,
        message=look.message,
        observed_at=look.observed_at,
        last_sync_at=last_sync_at,
        sync_interval=_sync_interval() if router_type is RouterType.SMG else None,
        workers=list(look.workers),
        ready=look.ready,
        expected=_expected(jobs, configuration, str(group.name)) if group is not None else [],
    )


async def _look(run_model: RunModel, group: ReplicaGroup | None, router: JobModel | None) -> Look:
    status, message = RouterStatus.NO_ROUTER, "The service has no router."
    if group is not None and group.router is not None:
        if group.router.type is not RouterType.SMG:
            status = RouterStatus.NOT_MANAGED
            message = "A Dynamo router finds its workers itself: dstack has no list of them."
        elif run_model.status.is_finished():
            status, message = RouterStatus.DOWN, "The run has ended, and its router with it."
        elif router is None:
            status = RouterStatus.DOWN
            message = "The router has no replica. Wait until dstack starts one."
        elif router.status is not JobStatus.RUNNING:
            status = RouterStatus.DOWN
            message = f"The router does not run: its replica is {router.status.value}."
        else:
            return await router_looks.look(router)
    return Look(status, message, get_current_datetime())


async def jobs_to_reach(session: AsyncSession, run_id: uuid.UUID) -> list[JobModel]:
    """The jobs of a run that have not ended, with what dstack's tunnels to them need."""
    result = await session.execute(
        select(JobModel)
        .where(
            JobModel.run_id == run_id,
            JobModel.job_num == 0,
            JobModel.status.not_in(JobStatus.finished_statuses()),
        )
        .order_by(JobModel.replica_num, JobModel.submission_num)
        .options(
            joinedload(JobModel.project).load_only(ProjectModel.id, ProjectModel.ssh_private_key),
            joinedload(JobModel.instance)
            .load_only(InstanceModel.id, InstanceModel.remote_connection_info)
            .joinedload(InstanceModel.project)
            .load_only(ProjectModel.id, ProjectModel.ssh_private_key),
        )
    )
    return list(result.unique().scalars())


async def _last_sync(session: AsyncSession, run_model: RunModel) -> datetime | None:
    result = await session.execute(
        select(ServiceRouterWorkerSyncModel)
        .where(
            ServiceRouterWorkerSyncModel.run_id == run_model.id,
            ServiceRouterWorkerSyncModel.deleted.is_(False),
        )
        .options(
            load_only(
                ServiceRouterWorkerSyncModel.created_at,
                ServiceRouterWorkerSyncModel.last_processed_at,
            )
        )
    )
    row = result.scalar_one_or_none()
    # dstack writes the same time into both until it has been there once.
    return row.last_processed_at if row and row.last_processed_at != row.created_at else None


def _sync_interval() -> float:
    """Seconds after which dstack's pipeline looks at the same router again."""
    parameters = inspect.signature(ServiceRouterWorkerSyncPipeline.__init__).parameters
    return float(parameters["min_processing_interval"].default.total_seconds())


def _router_job(jobs: Sequence[JobModel], group: ReplicaGroup) -> JobModel | None:
    """The router's job: one that runs before any other, then the newest."""
    own = [job for job in jobs if get_job_spec(job).replica_group == group.name]
    return max(
        own,
        key=lambda job: (job.status is JobStatus.RUNNING, job.deployment_num, job.replica_num),
        default=None,
    )


def _expected(
    jobs: Sequence[JobModel], configuration: ServiceConfiguration, router_group: str
) -> list[ExpectedWorker]:
    addresses = {
        job.id: address
        for job, address in _get_worker_jobs_with_addresses(
            jobs=list(jobs), configuration=configuration, router_group_name=router_group
        )
    }
    expected = []
    for job in jobs:
        spec = get_job_spec(job)
        if spec.replica_group == router_group:
            continue
        command = read_worker_command(spec.commands)
        address = addresses.get(job.id)
        runs = job.status is JobStatus.RUNNING
        expected.append(
            ExpectedWorker(
                job_id=job.id,
                replica_num=job.replica_num,
                group=spec.replica_group,
                role=command.role,
                url=f"{command.scheme}://{address}" if address is not None else None,
                bootstrap_port=command.bootstrap_port,
                job_status=job.status.value,
                since=job.running_at if runs else None,
                probes_passed=job.ready and runs if spec.probes else None,
            )
        )
    return expected
