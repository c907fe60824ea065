"""The state of one project at one moment, joined once and never changed.

Every screen and every headless command reads a `Snapshot`; none joins again. It is built by
`dstack_api_client.join.join.build` from decoded answers, and two of them are compared by
`dstack_api_client.join.difference.diff`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from dstack_api_client.model.capabilities import UNKNOWN, Capabilities
from dstack_api_client.model.pulls import Pull

if TYPE_CHECKING:
    from dstack_api_client.model.placement import Placement
    from dstack_api_client.model.router import RouterView

#: Statuses after which a job or a run does nothing any more (the server's `finished_statuses`).
FINISHED = frozenset({"terminated", "aborted", "failed", "done"})
#: Statuses of an instance that is going or gone.
INSTANCE_GONE = frozenset({"terminating", "terminated"})
#: Statuses of a job that is to run and does not yet.
STARTING = frozenset({"submitted", "provisioning", "pulling"})
#: The status of a job or a run that is being stopped.
STOPPING = "terminating"
#: Why an instance ends that a user deleted.
BY_USER = "terminated_by_user"
#: Why an instance ends that never came up.
SETUP_FAILED = frozenset({"error", "provisioning_timeout"})


class Link(str, Enum):
    """How it is known which instance a job runs on.

    The API gives a job neither a fleet id nor an instance id, so the link is found by what both
    sides share.
    """

    EXACT = "exact"
    """An event names both the job and the instance."""
    HOST = "host"
    """The job's host name (and port, where two share one) is the instance's."""
    RUN_FLEET = "run fleet"
    """Only the run's fleet is known, not the instance."""
    UNKNOWN = "unknown"
    """Nothing says where the job is, or it has no place yet."""


class ReplicaKey(NamedTuple):
    """What names a job within a project: a service has one job per replica."""

    run_id: str
    replica_num: int
    job_num: int


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs of an instance or of a job's share of one."""

    name: str
    count: int
    memory_mib: int
    vendor: str | None = None
    """As the server names it, `nvidia`; None where it does not say."""

    def __str__(self) -> str:
        return f"{self.name}:{self.count}"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server answered."""

    url: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a fleet, with the jobs that run on it."""

    id: str
    name: str
    num: int
    fleet_id: str | None
    fleet_name: str | None
    status: str
    """pending, provisioning, idle, busy, terminating or terminated."""
    unreachable: bool
    health: str
    """healthy, warning or failure."""
    hostname: str | None
    backend: str | None
    region: str | None
    availability_zone: str | None
    instance_type: str | None
    cpus: int
    memory_mib: int
    disk_mib: int
    gpus: Gpus | None
    gpu_driver: str | None
    spot: bool
    price: float | None
    """Dollars per hour."""
    total_blocks: int
    busy_blocks: int
    created_at: datetime
    finished_at: datetime | None
    termination_reason: str | None
    termination_message: str | None
    idle_since: datetime | None
    """When it became idle, from the event feed; None when busy or not seen."""
    jobs: tuple[ReplicaKey, ...]
    """Jobs that run here now, services' and others'."""
    cpu_arch: str | None = None
    """`x86` or `arm`; None where the server does not say."""
    project: str | None = None
    """The project that it was made for: of a fleet that is lent, maybe the borrower."""

    @property
    def state(self) -> str:
        """The status, or `unreachable`, which counts more than the status."""
        if self.unreachable and self.status not in INSTANCE_GONE:
            return "unreachable"
        return self.status

    @property
    def gpus_busy(self) -> float:
        """GPUs in use: the instance's, times its share of busy blocks."""
        if self.gpus is None or not self.total_blocks:
            return 0.0
        return self.gpus.count * self.busy_blocks / self.total_blocks


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet with what its instances add up to (terminated ones left out)."""

    id: str
    name: str
    """`project/name` for one that another project lends, as lanes name it."""
    project: str
    status: str
    status_message: str | None
    created_at: datetime
    kind: str
    """`cloud` (the server provisions) or `ssh` (hosts that exist)."""
    nodes_min: int | None
    nodes_target: int | None
    nodes_max: int | None
    """None without a limit; for SSH fleets all three are the number of hosts."""
    spot_policy: str | None
    backends: tuple[str, ...]
    """As configured, else as its instances show."""
    placement: str | None
    reservation: str | None
    idle_duration: str | None
    instance_ids: tuple[str, ...]
    """In the order of their numbers; terminated ones left out."""
    states: Mapping[str, int]
    """Instances by `Instance.state`."""
    unhealthy: int
    gpu_name: str | None
    """None without GPUs; names joined by a comma where they differ."""
    gpus_busy: float
    gpus_total: int
    blocks_busy: int
    blocks_total: int
    price: float
    """Dollars per hour of all its instances that cost something now."""
    replicas: int
    """Replicas of services that have an instance here or are being started here."""
    other_jobs: int
    """Jobs of tasks and dev environments here."""
    spec: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole spec as received (cleaned, not masked)."""
    spec_digest: bytes = field(repr=False)
    """Stands for `spec` in comparisons."""
    unplaced: int = 0
    """Jobs here of which it is not known on which instance they are."""
    shared_numbers: frozenset[int] = frozenset()
    """Numbers that more than one of its instances has, hosts that failed among them."""
    failed: tuple[Instance, ...] = ()
    """Hosts of an SSH fleet that could not be set up: the server lists them, terminated, until
    somebody deletes them."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a replica."""

    streak: int
    ready_after: int

    @property
    def passed(self) -> bool:
        """Whether the streak of successes is long enough."""
        return self.streak >= self.ready_after


@dataclass(frozen=True, slots=True)
class SshHop:
    """A host that one logs in to, or passes through."""

    host: str
    port: int
    user: str


@dataclass(frozen=True, slots=True)
class Login:
    """The way into the container of a job by SSH, as `dstack attach` goes it."""

    hops: tuple[SshHop, ...]
    """The last one is the container; each other one is passed through."""
    own_jump: bool
    """Whether the first is a jump host that the user's own SSH configuration must know."""
    port: int
    """The port of the service in the container."""
    key: str | None
    """The public key that the run lets in; None where another is asked (an SSH proxy)."""


#: Why a submission ends that found no instance anywhere.
NO_CAPACITY = "failed_to_start_due_to_no_capacity"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A submission before a replica's latest.

    Attributes:
        submitted_at: When it was made.
        termination_reason: Why it ended.
        message: What the server said of that.
        finished_at: When it ended; None while it stops, though there is one after it.
        submission_num: Its number; None where it is not told.
    """

    submitted_at: datetime
    termination_reason: str | None
    message: str
    finished_at: datetime | None = None
    submission_num: int | None = None

    @property
    def had_place(self) -> bool:
        """Whether it found an instance."""
        return self.termination_reason != NO_CAPACITY


@dataclass(frozen=True, slots=True)
class Replica:
    """A job at its latest submission: a replica of a service, or a job of another run."""

    key: ReplicaKey
    run_name: str
    run_type: str
    """service, task or dev-environment."""
    group: str
    """The replica group's name; `0` where a service has just one."""
    is_router: bool
    job_name: str
    submission_id: str
    submission_num: int
    deployment_num: int
    status: str
    """submitted, provisioning, pulling, running, terminating, terminated, aborted, failed, done."""
    status_message: str
    submitted_at: datetime
    finished_at: datetime | None
    termination_reason: str | None
    termination_message: str | None
    exit_status: int | None
    error: str | None
    probes: tuple[Probe, ...]
    ready: bool
    """Running with every probe passed, and sent requests as far as events tell."""
    hostname: str | None
    backend: str | None
    region: str | None
    spot: bool | None
    gpus: Gpus | None
    price: float | None
    """Dollars per hour of its instance's share."""
    instance_id: str | None
    fleet_id: str | None
    fleet_name: str | None
    link: Link
    address: str | None = None
    """Where the router of its service dials it, `host:port`; None where that is not known."""
    login: Login | None = field(default=None, repr=False)
    """How to get into its container; only known of routers."""
    earlier: tuple[Attempt, ...] = ()
    """The last submissions before this one, the oldest first."""
    role: str | None = None
    """What its group does, as `Group.role` tells; `router` for the one that routes to others."""
    reservation: str | None = None
    """The reservation that its group is to start in."""
    user: str = ""
    """Who submitted its run."""
    nodes: int = 1
    """How many jobs work together: the nodes of a task."""
    node_group: str | None = None
    """The node group of a task that has several."""
    pull: Pull | None = None
    """How far its image is, while it is pulled and where the server tells."""
    unreached: bool = False
    """Whether its probes pass and dstack sends it no requests yet."""
    asked: str | None = None
    """What its group is to be bought as, `on-demand`, `spot` or `auto`; None where the spec of its
    service does not tell of any group."""
    tried_in: str | None = None
    """The fleet in which it found no instance; None where it has a fleet, or where none is told."""

    @property
    def active(self) -> bool:
        """Whether the submission has not ended."""
        return self.status not in FINISHED

    @property
    def starting(self) -> bool:
        """Whether it is to run and does not yet."""
        return self.status in STARTING

    @property
    def stopping(self) -> bool:
        """Whether it is being stopped."""
        return self.status == STOPPING

    @property
    def standing(self) -> bool:
        """Whether it counts: it has not ended and is not being stopped."""
        return self.active and not self.stopping

    @property
    def found_no_place(self) -> bool:
        """Whether the submission ended, or is about to, as no instance was to be had for it."""
        return self.termination_reason == NO_CAPACITY

    @property
    def has_place(self) -> bool:
        """Whether the submission found an instance."""
        return self.status != "submitted" and not self.found_no_place

    @property
    def before(self) -> Attempt | None:
        """The submission before, where there was one."""
        return self.earlier[-1] if self.earlier else None

    @property
    def restarts(self) -> int:
        """How often it was started again after it had a place, as far as its submissions tell.

        Attempts that found none are no restarts. What lies further back than what is known is
        taken to be as the oldest of that.
        """
        if not self.earlier:
            return self.submission_num
        oldest = self.earlier[0]
        before = oldest.submission_num
        if before is None:
            before = self.submission_num - len(self.earlier)
        return sum(each.had_place for each in self.earlier) + (before if oldest.had_place else 0)

    @property
    def lost_at(self) -> datetime | None:
        """When the last submission before this one that had a place ended, if there was one.

        One that still stops has been given up by the one that was made after it.
        """
        after = self.submitted_at
        for attempt in reversed(self.earlier):
            if attempt.had_place:
                return attempt.finished_at or after
            after = attempt.submitted_at
        return None

    @property
    def since(self) -> datetime:
        """Since when it has its place; else since when it has none, as far as that is known."""
        if self.has_place:
            return self.submitted_at
        oldest = self.earlier[0].submitted_at if self.earlier else self.submitted_at
        return self.lost_at or oldest

    @property
    def since_earlier(self) -> bool:
        """Whether it may be without a place for longer than since `since`."""
        further = self.submission_num > len(self.earlier)
        return further and bool(self.earlier) and not self.has_place and self.lost_at is None

    @property
    def sought_before(self) -> bool:
        """Whether the submission before found no place."""
        return self.before is not None and not self.before.had_place

    @property
    def message_of_search(self) -> str:
        """What the server says while no place is found, of this attempt or else the one before."""
        if self.message or self.before is None or not self.sought_before:
            return self.message
        return self.before.message

    @property
    def message(self) -> str:
        """What the server last said of it, in the order of weight."""
        for text in (
            self.termination_message,
            self.error,
            self.status_message if self.status_message != self.status else "",
            (self.termination_reason or "").replace("_", " "),
            str(self.pull) if self.pull is not None else "",
        ):
            if text:
                return text
        return ""


@dataclass(frozen=True, slots=True)
class Group:
    """A replica group of a service; a service without groups has one, named `0`."""

    name: str
    replicas_min: int
    replicas_max: int | None
    router: str | None
    """`smg` or `dynamo` for the group that routes, else None."""
    active: int
    running: int
    ready: int
    role: str | None = None
    """What its commands say it does: `regular`, `encode`, `prefill` or `decode`; None for a router
    and where they don't tell."""
    spot_policy: str = "on-demand"
    """What is in force for it: `on-demand`, `spot` or `auto`."""
    reservation: str | None = None
    """The reservation that its replicas are to start in."""


@dataclass(frozen=True, slots=True)
class FleetShare:
    """What one fleet holds of one service."""

    fleet: str | None
    """The fleet's name; None for replicas without a place yet."""
    fleet_id: str | None
    running: int
    ready: int
    starting: int
    """Submitted, provisioning or pulling."""
    stopping: int
    instances: int
    """Different instances they are on."""
    price: float

    @property
    def active(self) -> int:
        """Replicas that count: running and starting."""
        return self.running + self.starting


@dataclass(frozen=True, slots=True)
class Service:
    """A run of type service with what its replicas add up to."""

    id: str
    name: str
    project: str
    user: str
    status: str
    status_message: str
    error: str | None
    priority: int
    submitted_at: datetime
    deployment_num: int
    at_deployment: int
    """Active replicas at the latest deployment."""
    active: int
    """Replicas that have not ended and are not stopping."""
    running: int
    ready: int
    replicas_min: int
    replicas_max: int | None
    autoscaled: bool
    router: str | None
    groups: tuple[Group, ...]
    fleet_name: str | None
    """The fleet the server stored on the run, if any."""
    shares: tuple[FleetShare, ...]
    """Per fleet, most replicas first, replicas without a place last."""
    price: float
    """Dollars per hour."""
    url: str | None
    model: str | None
    replica_keys: tuple[ReplicaKey, ...]
    """In the order of replica numbers: every replica whose last submission is active or failed."""
    jobs_known: bool
    """False while only the run without its jobs was read."""
    spec: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole run spec as received (cleaned, not masked)."""
    spec_digest: bytes = field(repr=False)
    ended_at: datetime | None = None
    """When it ended, if it has."""
    has_lanes: bool = False
    """Whether its fleets are lanes, which the placement add-on of a server fills."""
    termination_reason: str | None = None
    """Why dstack ends it, or has ended it, in dstack's word: `job_failed`, `stopped_by_user`."""

    @property
    def stopping(self) -> bool:
        """Whether it is being stopped."""
        return self.status == STOPPING

    @property
    def gone(self) -> bool:
        """Whether it has ended or is on its way to."""
        return self.finished or self.stopping

    def lacks(self, replica: Replica) -> bool:
        """Whether the group of a replica has fewer than its minimum: it is missed if it ended."""
        group = next((each for each in self.groups if each.name == replica.group), None)
        return group is not None and group.active < group.replicas_min

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A task or a dev environment: it matters for what it occupies."""

    id: str
    name: str
    type: str
    user: str
    status: str
    submitted_at: datetime
    fleet_name: str | None
    price: float
    replica_keys: tuple[ReplicaKey, ...]
    status_message: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One project of one server as it was at `observed_at`."""

    server: ServerInfo
    project: str
    observed_at: datetime
    fleets: Mapping[str, Fleet]
    """By id, in the order of names."""
    instances: Mapping[str, Instance]
    services: Mapping[str, Service]
    other_runs: Mapping[str, OtherRun]
    replicas: Mapping[ReplicaKey, Replica]
    """The jobs of services and of other runs."""
    complete: bool = True
    """False while the first full read is under way."""
    capabilities: Capabilities = UNKNOWN
    """What the server can do."""
    placements: Mapping[str, Placement] = field(default_factory=dict)
    """By run id, where the server has the placement add-on: of the service that is looked at in
    full, of the others what the add-on tells in short."""
    placement_failure: str = ""
    """Why the placement add-on could not be asked or read when it was asked last, a sentence;
    `placements` and what it can do are then what was known before. Empty where it could."""
    routers: Mapping[str, RouterView] = field(default_factory=dict)
    """By run id, of services with a router, once it was looked at."""
    unreadable: tuple[str, ...] = ()
    """A sentence for each record of the server's lists that could not be read."""
    clock_ahead: int = 0
    """Seconds that the server's clock, by which all times here are, is ahead of this machine's."""

    def replicas_of(self, run: Service | OtherRun) -> list[Replica]:
        """The replicas of a service, or the jobs of another run, by number."""
        found = map(self.replicas.get, run.replica_keys)
        return [replica for replica in found if replica is not None]

    def active_in(self, run: Service | OtherRun) -> list[Replica]:
        """Those of them that have not ended."""
        return [replica for replica in self.replicas_of(run) if replica.active]

    def fleet_named(self, name: str) -> Fleet | None:
        """The fleet of that name; one of this project may be named with the project too."""
        name = name.removeprefix(f"{self.project}/")
        return next((fleet for fleet in self.fleets.values() if fleet.name == name), None)

    def service_named(self, name: str) -> Service | None:
        """The service of that name; the active one where a finished one shares its name."""
        named = [service for service in self.services.values() if service.name == name]
        return min(named, key=lambda s: (s.finished, -s.submitted_at.timestamp()), default=None)
