"""Writes a data set with dstack's own models and helpers: the answers are real, nothing runs."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import gpuhunt
from dstack._internal.core.models.backends.base import BackendType
from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.fleets import FleetConfiguration, FleetSpec, FleetStatus
from dstack._internal.core.models.health import HealthStatus
from dstack._internal.core.models.instances import (
    Disk,
    Gpu,
    GpuDriverInfo,
    InstanceAvailability,
    InstanceConfiguration,
    InstanceOfferWithAvailability,
    InstanceStatus,
    InstanceType,
    Resources,
)
from dstack._internal.core.models.profiles import Profile, TerminationPolicy
from dstack._internal.core.models.repos.base import RepoType
from dstack._internal.core.models.repos.virtual import VirtualRunRepoData
from dstack._internal.core.models.resources import ResourcesSpec
from dstack._internal.core.models.runs import (
    JobProvisioningData,
    JobRuntimeData,
    JobStatus,
    JobTerminationReason,
    NetworkMode,
    Requirements,
    RunSpec,
    RunStatus,
    ServiceSpec,
)
from dstack._internal.server.db import get_session_ctx, migrate
from dstack._internal.server.models import (
    FleetModel,
    InstanceModel,
    JobModel,
    ProbeModel,
    ProjectModel,
    RepoModel,
    RunModel,
    UserModel,
)
from dstack._internal.server.services.config import ServerConfigManager
from dstack._internal.server.services.jobs import get_job_specs_from_run_spec
from dstack._internal.server.services.offers import generate_shared_offer
from dstack._internal.server.services.projects import get_or_create_default_project
from dstack._internal.server.services.users import get_or_create_admin_user
from dstack._internal.server.settings import init_server_data_dir
from dstack._internal.server.testing.common import create_repo
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_simulator.seeds import large
from dstack_simulator.seeds.history import event, of_replica
from dstack_simulator.seeds.large import FleetPlan, GroupPlan, InstancePlan, ServicePlan

_SSH_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKqR3vQ0mZ0lJ2x4mTq0bGgC0m2r0x0w0v0u0t0s0r0q operator"
)
#: Every so many replicas one has an earlier submission that failed.
_RETRIED_EVERY = 40


async def write(name: str) -> None:
    """Writes a data set into the database that the environment names.

    Args:
        name: `large`.

    Raises:
        ValueError: There is no such data set.
    """
    if name != "large":
        raise ValueError(f"There is no data set {name!r}.")
    init_server_data_dir()
    await migrate()
    config = ServerConfigManager()
    config.load_config()
    # Users can't be written before it is settled how their tokens are stored.
    await config.apply_encryption()
    async with get_session_ctx() as session:
        user, _ = await get_or_create_admin_user(session=session)
        created, _ = await get_or_create_default_project(session=session, user=user)
        project = (
            await session.execute(
                select(ProjectModel).where(ProjectModel.name == created.project_name)
            )
        ).scalar_one()
        repo = await create_repo(
            session,
            project.id,
            repo_name="none",
            repo_type=RepoType.VIRTUAL,
            info={"repo_type": "virtual"},
        )
        await _Writer(session, user, project, repo).write_large()


@dataclass
class _Slot:
    """A block of an instance that a replica can take."""

    fleet: FleetModel
    instance: InstanceModel
    provisioning: JobProvisioningData
    runtime: str
    health: HealthStatus = HealthStatus.HEALTHY


@dataclass
class _Writer:
    session: AsyncSession
    user: UserModel
    project: ProjectModel
    repo: RepoModel
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    chance: random.Random = field(default_factory=lambda: random.Random("large"))
    slots: dict[str, list[_Slot]] = field(default_factory=dict)

    async def write_large(self) -> None:
        for number, fleet in enumerate(large.FLEETS):
            self._fleet(number, fleet)
        await self.session.flush()
        replicas = 0
        for service in large.services():
            replicas += await self._service(service, replicas)
        await self.session.commit()

    def _fleet(self, number: int, plan: FleetPlan) -> None:
        created = self.now - timedelta(days=3 + 9 * number, hours=number)
        plans = list(large.instances(number, plan))
        described = plan.dstack_configuration()
        if plan.ssh:
            described["ssh_config"] = {
                "user": "ubuntu",
                "identity_file": "~/.ssh/lab",
                "hosts": [instance.address for instance in plans],
            }
        spec = FleetSpec(
            configuration=FleetConfiguration.model_validate(described),
            configuration_path=f"{plan.name}.dstack.yml",
            profile=Profile(name="default"),
        )
        fleet = FleetModel(
            id=uuid.uuid4(),
            project=self.project,
            project_id=self.project.id,
            name=plan.name,
            status=FleetStatus.ACTIVE,
            created_at=created,
            last_processed_at=self.now,
            spec=spec.model_dump_json(),
            instances=[],
        )
        self.session.add(fleet)
        self.session.add(event(created, "Fleet created. Status: ACTIVE", fleet, actor=self.user))
        slots: list[list[_Slot]] = []
        for instance_plan in plans:
            instance, provisioning, offer = self._instance(fleet, plan, instance_plan, created)
            if instance_plan.status != "busy":
                continue
            assert provisioning is not None
            shared = generate_shared_offer(offer, 1, plan.blocks) if plan.blocks > 1 else offer
            runtime = JobRuntimeData(
                network_mode=NetworkMode.HOST if plan.blocks == 1 else NetworkMode.BRIDGE,
                offer=shared,
                cpu=shared.instance.resources.cpus if plan.blocks > 1 else None,
                gpu=len(shared.instance.resources.gpus) if plan.blocks > 1 else None,
            ).model_dump_json()
            slots.append([_Slot(fleet, instance, provisioning, runtime)] * plan.blocks)
        # One block of every instance first, then the second of every one, and so on.
        self.slots[plan.name] = [slot for row in zip(*slots, strict=True) for slot in row]

    def _instance(
        self, fleet: FleetModel, plan: FleetPlan, instance: InstancePlan, created: datetime
    ) -> tuple[InstanceModel, JobProvisioningData | None, InstanceOfferWithAvailability]:
        backend = BackendType.REMOTE if plan.ssh else BackendType.AWS
        started = created + timedelta(minutes=self.chance.randrange(1, 60 * 24 * 2))
        offer = _offer(plan, instance.region, backend)
        provisioning = None
        if instance.status != "pending":
            provisioning = JobProvisioningData(
                backend=backend,
                instance_type=offer.instance,
                instance_id=(
                    "instance_id" if plan.ssh else f"i-{self.chance.getrandbits(68):017x}"
                ),
                hostname=None if instance.status == "provisioning" else instance.address,
                internal_ip=None if instance.status == "provisioning" else instance.address,
                region=instance.region,
                availability_zone=None if plan.ssh else f"{instance.region}a",
                price=plan.price,
                username="ubuntu",
                ssh_port=22,
                dockerized=True,
                gpu_driver=(
                    GpuDriverInfo(
                        vendor=gpuhunt.AcceleratorVendor.cast(plan.gpu.vendor), version="570.86.15"
                    )
                    if plan.gpu is not None
                    else None
                ),
            )
        name = f"{plan.name}-{instance.num}"
        model = InstanceModel(
            id=uuid.uuid4(),
            name=name,
            instance_num=instance.num,
            fleet=fleet,
            fleet_id=fleet.id,
            project=self.project,
            project_id=self.project.id,
            status=InstanceStatus(instance.status),
            last_processed_at=self.now - timedelta(seconds=self.chance.randrange(1, 20)),
            unreachable=instance.unreachable,
            health=HealthStatus(instance.health),
            created_at=started,
            started_at=started,
            job_provisioning_data=provisioning.model_dump_json() if provisioning else None,
            offer=offer.model_dump_json() if provisioning else None,
            price=plan.price,
            region=instance.region,
            backend=backend if provisioning else None,
            termination_policy=TerminationPolicy.DESTROY_AFTER_IDLE,
            termination_idle_time=-1 if plan.ssh else 3600,
            profile=Profile(name="default").model_dump_json(),
            requirements=Requirements(resources=ResourcesSpec()).model_dump_json(),
            instance_configuration=InstanceConfiguration(
                project_name=self.project.name,
                instance_name=name,
                user=self.user.name,
                ssh_keys=[],
            ).model_dump_json(),
            volume_attachments=[],
            total_blocks=plan.blocks,
            busy_blocks=0,
        )
        self.session.add(model)
        if instance.unreachable:
            since = self.now - timedelta(minutes=self.chance.randrange(2, 90))
            self.session.add(event(since, "Instance became unreachable", model))
        return model, provisioning, offer

    async def _service(self, plan: ServicePlan, before: int) -> int:
        """Writes one service; returns how many replicas run."""
        submitted = self.now - timedelta(
            hours=self.chance.randrange(2, 24 * 20), seconds=self.chance.randrange(3600)
        )
        configuration = ServiceConfiguration.model_validate(plan.dstack_configuration())
        spec = RunSpec(
            run_name=plan.name,
            repo_id="none",
            repo_data=VirtualRunRepoData(),
            configuration_path=f"{plan.name}.dstack.yml",
            configuration=configuration,
            profile=Profile(name="default"),
            ssh_key_pub=_SSH_KEY,
        )
        wanted = {group.name: group.count for group in plan.groups}
        run = RunModel(
            id=uuid.uuid4(),
            project_id=self.project.id,
            repo_id=self.repo.id,
            user_id=self.user.id,
            submitted_at=submitted,
            last_processed_at=self.now,
            run_name=plan.name,
            status=RunStatus.RUNNING,
            run_spec=spec.model_dump_json(),
            service_spec=ServiceSpec(
                url=f"/proxy/services/{self.project.name}/{plan.name}/"
            ).model_dump_json(),
            jobs=[],
            priority=plan.priority,
            deployment_num=plan.deployment,
            desired_replica_count=sum(wanted.values()),
            desired_replica_counts=json.dumps(wanted),
        )
        self.session.add(run)
        self.session.add(event(submitted, "Run submitted. Status: SUBMITTED", run, actor=self.user))
        number = 0
        fleets: set[uuid.UUID] = set()
        for group in plan.groups:
            # The specs of one group's replicas differ in their numbers alone, and to make one
            # takes a key pair.
            specs = await get_job_specs_from_run_spec(
                run_spec=spec, secrets={}, replica_num=0, replica_group_name=group.name
            )
            described = json.loads(specs[0].model_dump_json())
            for _ in range(group.count):
                slot = self._take(plan)
                fleets.add(slot.fleet.id)
                self._replica(run, plan, group, described, number, slot, before + number)
                number += 1
        # As the server does it: one fleet is named, several are not.
        run.fleet_id = next(iter(fleets)) if len(fleets) == 1 else None
        await self.session.flush()
        return number

    def _take(self, plan: ServicePlan) -> _Slot:
        for name in (*plan.fleets, *self.slots):
            if self.slots[name]:
                return self.slots[name].pop(0)
        raise ValueError("There are more replicas than blocks of instances.")

    def _replica(
        self,
        run: RunModel,
        plan: ServicePlan,
        group: GroupPlan,
        described: dict[str, Any],
        number: int,
        slot: _Slot,
        overall: int,
    ) -> None:
        name = f"{plan.name}-0-{number}"
        spec = json.dumps({**described, "replica_num": number, "job_name": name})
        behind = self.chance.random() < plan.behind
        deployment = plan.deployment - 1 if behind and plan.deployment else plan.deployment
        submitted = run.submitted_at + timedelta(
            seconds=self.chance.randrange(
                1, max(2, int((self.now - run.submitted_at).total_seconds() / 2))
            )
        )
        submission = 0
        if overall % _RETRIED_EVERY == _RETRIED_EVERY - 1:
            self.session.add(
                self._job(
                    run,
                    slot,
                    spec,
                    name,
                    number,
                    submission_num=0,
                    deployment_num=deployment,
                    submitted_at=submitted,
                    last_processed_at=submitted + timedelta(minutes=4),
                    status=JobStatus.FAILED,
                    termination_reason=JobTerminationReason.CONTAINER_EXITED_WITH_ERROR,
                    termination_reason_message="CUDA error: uncorrectable ECC error encountered",
                    exit_status=1,
                    instance=None,
                    used_instance_id=slot.instance.id,
                )
            )
            submitted += timedelta(minutes=5)
            submission = 1
        job = self._job(
            run,
            slot,
            spec,
            name,
            number,
            submission_num=submission,
            deployment_num=deployment,
            submitted_at=submitted,
            running_at=submitted + timedelta(seconds=95),
            last_processed_at=self.now,
            status=JobStatus.RUNNING,
            instance=slot.instance,
            used_instance_id=slot.instance.id,
            instance_assigned=True,
            ready=True,
            registered=group.router or len(plan.groups) == 1,
        )
        slot.instance.busy_blocks += 1
        self.session.add(job)
        for probe_num in range(len(described.get("probes") or [])):
            self.session.add(
                ProbeModel(
                    name=f"{name}-{probe_num}",
                    job=job,
                    probe_num=probe_num,
                    due=self.now,
                    success_streak=self.chance.choice((0, 1, 2, 2, *(40,) * 96)),
                    active=True,
                )
            )
        self.session.add_all(of_replica(job, slot.instance))

    def _job(
        self, run: RunModel, slot: _Slot, spec: str, name: str, number: int, **given: Any
    ) -> JobModel:
        return JobModel(
            id=uuid.uuid4(),
            project_id=self.project.id,
            fleet_id=slot.fleet.id,
            run_id=run.id,
            run_name=run.run_name,
            job_num=0,
            job_name=name,
            replica_num=number,
            job_spec_data=spec,
            job_provisioning_data=slot.provisioning.model_dump_json(),
            job_runtime_data=slot.runtime,
            probes=[],
            **given,
        )


def _offer(plan: FleetPlan, region: str, backend: BackendType) -> InstanceOfferWithAvailability:
    gpus = []
    if plan.gpu is not None:
        gpu = Gpu(
            name=plan.gpu.name,
            memory_mib=plan.gpu.memory_gib * 1024,
            vendor=gpuhunt.AcceleratorVendor.cast(plan.gpu.vendor),
        )
        gpus = [gpu] * plan.gpu.count
    return InstanceOfferWithAvailability(
        backend=backend,
        instance=InstanceType(
            name=plan.instance_type,
            resources=Resources(
                cpus=plan.cpus,
                memory_mib=plan.memory_gib * 1024,
                gpus=gpus,
                spot=plan.spot,
                disk=Disk(size_mib=1000 * 1024),
            ),
        ),
        region=region,
        price=plan.price,
        availability=InstanceAvailability.AVAILABLE,
        total_blocks=plan.blocks,
    )
