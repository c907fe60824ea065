"""The shapes of a server's answers: small structs with only what is used.

Fields of other versions and unknown ones are skipped, missing ones have defaults, and words such
as statuses stay text, so that a new one does not break reading. Texts were cleaned before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from dstack_api_client.text import clean_json
from dstack_api_client.transport.wire_values import (
    Amount,
    Answer,
    Count,
    Dollars,
    Parted,
    Port,
    Timed,
    Whole,
    a_time,
    refuse_odd,
)

#: No metric is larger: bytes of memory are not.
_MOST_MEASURED = 1e18


class Gpu(Answer):
    """One GPU of an instance type."""

    name: str = ""
    memory_mib: Amount = 0
    vendor: str | None = None


class Disk(Answer):
    """The disk of an instance type."""

    size_mib: Amount = 0


class Resources(Answer):
    """What an instance type has."""

    cpus: Amount = 0
    cpu_arch: str | None = None
    memory_mib: Amount = 0
    gpus: list[Gpu] | None = None
    spot: bool = False
    disk: Disk | None = None


class InstanceType(Answer):
    """A kind of machine."""

    name: str = ""
    resources: Resources = msgspec.field(default_factory=Resources)


class GpuDriver(Answer):
    """The accelerator driver of a host."""

    version: str | None = None


class Instance(Timed):
    """`Instance` of the server."""

    times = ("created", "finished_at")

    id: str
    name: str
    instance_num: Count
    status: str
    created: datetime
    project_name: str | None = None
    fleet_id: str | None = None
    fleet_name: str | None = None
    backend: str | None = None
    instance_type: InstanceType | None = None
    hostname: str | None = None
    unreachable: bool | None = False
    health_status: str | None = None
    termination_reason: str | None = None
    termination_reason_message: str | None = None
    finished_at: datetime | None = None
    region: str | None = None
    availability_zone: str | None = None
    price: Dollars | None = None
    total_blocks: Count | None = None
    busy_blocks: Whole | None = 0
    """Below 0 where dstack took a job from the instance twice, as a slow server does."""
    gpu_driver: GpuDriver | None = None


class Fleet(Timed, Parted):
    """`Fleet` of the server."""

    times = ("created_at",)
    parts = {"instances": Instance}

    id: str
    name: str
    status: str
    created_at: datetime
    spec: msgspec.Raw
    project_name: str = ""
    status_message: str | None = None
    instances: list[Instance] | None = None
    unread: Any = ()
    """Ids of its instances that could not be read; not the server's."""


class ExportImport(Answer):
    """A project that an export lends to."""

    project_name: str


class ExportedFleet(Answer):
    """A fleet that an export lends."""

    id: str


class Export(Answer):
    """What a project lends, and to whom."""

    is_global: bool = False
    imports: list[ExportImport] | None = None
    exported_fleets: list[ExportedFleet] | None = None


class Exports(Answer):
    """What a project lends; before 0.22 it was just the list."""

    exports: list[Export] = msgspec.field(default_factory=list)


class SshHost(Answer):
    """A host to pass through by SSH."""

    hostname: str
    username: str
    port: Port


class ProvisioningData(Answer):
    """Where a job runs, and how one logs in there."""

    backend: str | None = None
    instance_type: InstanceType | None = None
    hostname: str | None = None
    internal_ip: str | None = None
    username: str | None = None
    ssh_port: Port | None = None
    ssh_proxy: SshHost | None = None
    dockerized: bool | None = True
    region: str | None = None
    availability_zone: str | None = None
    price: Dollars | None = None


class Offer(Answer):
    """The share of an instance that a job has."""

    instance: InstanceType | None = None
    blocks: Count | None = None
    total_blocks: Count | None = None


class RuntimeData(Answer):
    """What is known of a job once it is placed."""

    gpu: Count | None = None
    offer: Offer | None = None
    ports: dict[str, Port] | None = None
    username: str | None = None


class ProbeState(Answer):
    """A probe's successes in a row."""

    success_streak: Amount = 0


class ProbeSpec(Answer):
    """What a probe asks for."""

    ready_after: Amount | None = 1


class UnixUser(Answer):
    """The user that a container runs as."""

    username: str | None = None


class JobSpec(Answer):
    """What a job is to be."""

    job_name: str
    job_num: Count = 0
    replica_num: Count = 0
    replica_group: str | None = None
    jobs_per_replica: Count | None = None
    node_group_name: str | None = None
    probes: list[ProbeSpec] | None = None
    service_port: Port | None = None
    user: UnixUser | None = None


class ImagePull(Answer):
    """How far an image is pulled."""

    downloaded_bytes: Amount = 0
    extracted_bytes: Amount = 0
    total_bytes: Amount = 0
    is_total_bytes_final: bool = False


#: Of each job: the latest submission, and so many in all for why and since when it is looked for
#: again.
SUBMISSIONS = 10


class JobSubmission(Timed):
    """One attempt at a job."""

    times = ("submitted_at", "finished_at")

    id: str
    status: str
    submitted_at: datetime
    submission_num: Amount = 0
    deployment_num: Amount | None = 0
    finished_at: datetime | None = None
    status_message: str | None = None
    termination_reason: str | None = None
    termination_reason_message: str | None = None
    exit_status: Whole | None = None
    job_provisioning_data: ProvisioningData | None = None
    job_runtime_data: RuntimeData | None = None
    error: str | None = None
    probes: list[ProbeState] | None = None
    image_pull_progress: ImagePull | None = None


class ConnectionInfo(Answer):
    """The way to a job through the server's SSH proxy, where it has one."""

    sshproxy_hostname: str | None = None
    sshproxy_port: Port | None = None
    sshproxy_upstream_id: str | None = None


class Job(Answer):
    """A job with its attempts, the oldest first."""

    job_spec: JobSpec
    job_submissions: list[JobSubmission] | None = None
    job_connection_info: ConnectionInfo | None = None


class RunFleet(Answer):
    """The fleet stored on a run."""

    id: str
    name: str


class ServiceModel(Answer):
    """The model that a service serves."""

    name: str | None = None


class ServiceEndpoint(Answer):
    """Where a service answers."""

    url: str | None = None
    model: ServiceModel | None = None


class RunConfiguration(Answer):
    """What is used of a run's configuration; `ServiceSpec` reads its groups and lanes."""

    type: str | None = None
    name: str | None = None
    replicas: Any = None
    groups: list[dict[str, Any]] | None = None
    priority: Whole | None = None
    router: Any = None
    port: Any = None
    fleets: Any = None
    spot_policy: Any = None
    reservation: Any = None
    commands: Any = None
    entrypoint: Any = None
    image: Any = None


class Profile(Answer):
    """What is used of the profile that a run was applied with."""

    fleets: Any = None
    spot_policy: Any = None
    reservation: Any = None


class RunSpec(Answer):
    """What is used of a run's spec."""

    run_name: str | None = None
    ssh_key_pub: str | None = None
    profile: Profile | None = None
    configuration: RunConfiguration = msgspec.field(default_factory=RunConfiguration)


class Run(Timed):
    """`Run` of the server; `jobs` is None where it was read without them."""

    times = ("submitted_at", "last_processed_at", "next_triggered_at")

    id: str
    status: str
    submitted_at: datetime
    run_spec: msgspec.Raw
    project_name: str = ""
    user: str = ""
    fleet: RunFleet | None = None
    status_message: str | None = None
    jobs: list[Job] | None = None
    service: ServiceEndpoint | None = None
    deployment_num: Amount | None = 0
    error: str | None = None
    deleted: bool | None = None
    termination_reason: str | None = None
    last_processed_at: datetime | None = None
    """Of a run that has ended, when it did; of others it is of no use."""
    next_triggered_at: datetime | None = None
    """When its `schedule` starts it next."""
    read_spec: RunSpec = msgspec.field(default_factory=RunSpec)
    """What is used of `run_spec`; not the server's."""

    def latest(self) -> Iterator[tuple[Job, JobSubmission]]:
        """Each job that was ever submitted, with its latest submission."""
        for job in self.jobs or ():
            if job.job_submissions:
                yield job, job.job_submissions[-1]


class EventTarget(Answer):
    """What an event is about."""

    type: str
    id: str
    name: str = ""
    project_name: str | None = None


class Event(Timed):
    """`Event` of the server."""

    times = ("recorded_at",)

    id: str
    message: str
    recorded_at: datetime
    actor_user: str | None = None
    targets: list[EventTarget] | None = None


class ProjectBackend(Answer):
    """A backend of a project, without how it is configured."""

    name: str


class Project(Answer):
    """A project, with little of what it holds."""

    project_id: str
    project_name: str
    backends: list[ProjectBackend] | None = None


class User(Answer):
    """A user, without anything secret."""

    id: str
    username: str
    active: bool | None = None


class UserKey(Answer):
    """What is used of a user's own account: the keys it logs in with. Never to be shown."""

    username: str = ""
    ssh_public_key: str | None = None
    ssh_private_key: str | None = None

    def __repr__(self) -> str:
        return "UserKey()"


class ServerInfo(Answer):
    """What the server says of itself."""

    server_version: str | None = None


class Metric(Answer):
    """A series of values of one metric, the latest first."""

    name: str
    timestamps: list[datetime] = []
    values: list[Any] = []

    def __post_init__(self) -> None:
        """Checks the times and the values."""
        self.timestamps = [a_time(moment) for moment in self.timestamps]
        self.values = [_measured(value) for value in self.values]


def _measured(value: Any) -> float | None:
    """A value of a metric; None for what is not a number that can be shown."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _MOST_MEASURED else None


class JobMetrics(Parted):
    """The metrics of one job."""

    parts = {"metrics": Metric}

    metrics: list[Metric] = []


class LogEvent(Timed):
    """A piece of a job's output; `message` is base64 of its bytes."""

    times = ("timestamp",)

    timestamp: datetime
    message: str


class Logs(Parted):
    """A page of a job's output."""

    parts = {"logs": LogEvent}

    logs: list[LogEvent] = []
    next_token: str | None = None
    """For the next page; None where there is none, or the server reports none."""


_run = msgspec.json.Decoder(Run)
_fleet = msgspec.json.Decoder(Fleet)
_run_spec = msgspec.json.Decoder(RunSpec)
_items = msgspec.json.Decoder(list[msgspec.Raw])


def decode_items(body: bytes) -> list[bytes]:
    """Splits a JSON list into its items, without decoding them.

    Args:
        body: A list in JSON.

    Returns:
        The items, each JSON of its own.

    Raises:
        msgspec.DecodeError: It is not a list.
    """
    return [bytes(item) for item in _items.decode(body)]


def decode_run(raw: bytes) -> Run:
    """Decodes one run; its spec no longer holds on to the whole answer."""
    run = _run.decode(clean_json(raw))
    run.run_spec = run.run_spec.copy()
    refuse_odd(bytes(run.run_spec))
    run.read_spec = _run_spec.decode(run.run_spec)
    return run


def decode_run_alone(raw: bytes) -> Run:
    """Decodes one run that was asked for without its jobs."""
    run = decode_run(raw)
    run.jobs = None
    return run


def decode_fleet(raw: bytes) -> Fleet:
    """Decodes one fleet with its instances; its spec no longer holds on to the whole answer."""
    fleet = _fleet.decode(clean_json(raw))
    fleet.spec = fleet.spec.copy()
    fleet.unread = ()
    refuse_odd(bytes(fleet.spec))
    return fleet


_exports = msgspec.json.Decoder(Exports | list[Export])


def decode_exports(raw: bytes) -> list[Export]:
    """Decodes what a project lends, as servers of any version write it."""
    found = _exports.decode(clean_json(raw))
    return found.exports if isinstance(found, Exports) else found
