"""The shapes of a server's answers: small structs with only what is used.

Fields of other versions and unknown ones are skipped, missing ones have defaults, and words such
as statuses stay text, so that a new one does not break reading. Texts were cleaned before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from dstack_api_client.cleaning import clean_json


class LazySpec(Mapping[str, Any]):
    """A spec as received, decoded when something of it is read."""

    __slots__ = ("_decoded", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._decoded: dict[str, Any] | None = None

    def _mapping(self) -> dict[str, Any]:
        if self._decoded is None:
            decoded = msgspec.json.decode(self.raw)
            self._decoded = decoded if isinstance(decoded, dict) else {}
        return self._decoded

    def __getitem__(self, key: str) -> Any:
        return self._mapping()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping())

    def __len__(self) -> int:
        return len(self._mapping())

    def __repr__(self) -> str:
        return f"LazySpec({len(self.raw)} bytes)"

    def digest(self) -> bytes:
        """What stands for the spec in comparisons."""
        return hashlib.blake2b(self.raw, digest_size=16).digest()


class Answer(msgspec.Struct, gc=False):
    """Part of an answer; never in a cycle, so the garbage collector need not look at it."""


class Gpu(Answer):
    """One GPU of an instance type."""

    name: str = ""
    memory_mib: int = 0


class Disk(Answer):
    """The disk of an instance type."""

    size_mib: int = 0


class Resources(Answer):
    """What an instance type has."""

    cpus: int = 0
    memory_mib: int = 0
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


class Instance(Answer):
    """`Instance` of the server."""

    id: str
    name: str
    instance_num: int
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
    price: float | None = None
    total_blocks: int | None = None
    busy_blocks: int | None = 0
    gpu_driver: GpuDriver | None = None


class Fleet(Answer):
    """`Fleet` of the server."""

    id: str
    name: str
    status: str
    created_at: datetime
    spec: msgspec.Raw
    project_name: str = ""
    status_message: str | None = None
    instances: list[Instance] | None = None


class SshHost(Answer):
    """A host to pass through by SSH."""

    hostname: str
    username: str
    port: int


class ProvisioningData(Answer):
    """Where a job runs, and how one logs in there."""

    backend: str | None = None
    instance_type: InstanceType | None = None
    hostname: str | None = None
    internal_ip: str | None = None
    username: str | None = None
    ssh_port: int | None = None
    ssh_proxy: SshHost | None = None
    dockerized: bool | None = True
    region: str | None = None
    availability_zone: str | None = None
    price: float | None = None


class Offer(Answer):
    """The share of an instance that a job has."""

    instance: InstanceType | None = None
    blocks: int | None = None
    total_blocks: int | None = None


class RuntimeData(Answer):
    """What is known of a job once it is placed."""

    gpu: int | None = None
    offer: Offer | None = None
    ports: dict[str, int] | None = None
    username: str | None = None


class ProbeState(Answer):
    """A probe's successes in a row."""

    success_streak: int = 0


class ProbeSpec(Answer):
    """What a probe asks for."""

    ready_after: int | None = 1


class UnixUser(Answer):
    """The user that a container runs as."""

    username: str | None = None


class JobSpec(Answer):
    """What a job is to be."""

    job_name: str
    job_num: int = 0
    replica_num: int = 0
    replica_group: str | None = None
    probes: list[ProbeSpec] | None = None
    service_port: int | None = None
    user: UnixUser | None = None


class JobSubmission(Answer):
    """One attempt at a job."""

    id: str
    status: str
    submitted_at: datetime
    submission_num: int = 0
    deployment_num: int | None = 0
    finished_at: datetime | None = None
    status_message: str | None = None
    termination_reason: str | None = None
    termination_reason_message: str | None = None
    exit_status: int | None = None
    job_provisioning_data: ProvisioningData | None = None
    job_runtime_data: RuntimeData | None = None
    error: str | None = None
    probes: list[ProbeState] | None = None


class ConnectionInfo(Answer):
    """The way to a job through the server's SSH proxy, where it has one."""

    sshproxy_hostname: str | None = None
    sshproxy_port: int | None = None
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


class ReplicaGroup(Answer):
    """A group of replicas in a configuration; `count` is the name before 0.21.3."""

    name: str | None = None
    replicas: Any = None
    count: Any = None
    router: Any = None
    fleets: Any = None


class RunConfiguration(Answer):
    """What is used of a run's configuration; `replicas` was a list of groups before 0.21.3."""

    type: str | None = None
    name: str | None = None
    replicas: Any = None
    groups: list[ReplicaGroup] | None = None
    priority: int | None = None
    router: Any = None
    port: Any = None
    fleets: Any = None


class Profile(Answer):
    """What is used of the profile that a run was applied with."""

    fleets: Any = None


class RunSpec(Answer):
    """What is used of a run's spec."""

    run_name: str | None = None
    ssh_key_pub: str | None = None
    profile: Profile | None = None
    configuration: RunConfiguration = msgspec.field(default_factory=RunConfiguration)


class Run(Answer):
    """`Run` of the server; `jobs` is None where it was read without them."""

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
    deployment_num: int | None = 0
    error: str | None = None
    deleted: bool | None = None
    last_processed_at: datetime | None = None
    """Of a run that has ended, when it did; of others it is of no use."""
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


class Event(Answer):
    """`Event` of the server."""

    id: str
    message: str
    recorded_at: datetime
    actor_user: str | None = None
    targets: list[EventTarget] | None = None


class Project(Answer):
    """A project, without what it holds."""

    project_id: str
    project_name: str


class User(Answer):
    """A user, without anything secret."""

    id: str
    username: str
    global_role: str | None = None
    active: bool | None = None
    email: str | None = None


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


class JobMetrics(Answer):
    """The metrics of one job."""

    metrics: list[Metric] = []


class LogEvent(Answer):
    """A piece of a job's output; `message` is base64 of its bytes."""

    timestamp: datetime
    message: str
    log_source: str = "stdout"


class Logs(Answer):
    """A page of a job's output."""

    logs: list[LogEvent] = []
    next_token: str | None = None
    external_url: str | None = None


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
    return fleet
