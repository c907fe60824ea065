"""A job at its latest submission: a replica of a service, or a job of another run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.pulls import Pull

#: Statuses after which a job or a run does nothing any more (the server's `finished_statuses`).
FINISHED = frozenset({"terminated", "aborted", "failed", "done"})
#: Statuses of a job that is to run and does not yet.
STARTING = frozenset({"submitted", "provisioning", "pulling"})
#: The status of a job or a run that is being stopped.
STOPPING = "terminating"
#: Why a submission ends that found no instance anywhere.
NO_CAPACITY = "failed_to_start_due_to_no_capacity"
#: Why one ends of which there is one too many.
SCALED_DOWN = "scaled_down"


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """A submission before a replica's latest.

    Attributes:
        submitted_at: When it was made.
        termination_reason: Why it ended.
        message: What the server said of that.
        finished_at: When it ended; None while it stops, though there is one after it.
        submission_num: Its number; None where it is not told.
        hostname: The host that it had; None where it had none.
    """

    submitted_at: datetime
    termination_reason: str | None
    message: str
    finished_at: datetime | None = None
    submission_num: int | None = None
    hostname: str | None = None

    @property
    def had_place(self) -> bool:
        """Whether it found an instance."""
        return self.termination_reason != NO_CAPACITY

    @property
    def was_lost(self) -> bool:
        """Whether it ended against the wish of all: a number is given again after a move."""
        return self.had_place and self.termination_reason != SCALED_DOWN


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
    """Running with every probe passed, and sent requests as far as events say."""
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
    """How far its image is, while it is pulled and where the server reports."""
    unreached: bool = False
    """Whether its probes pass and dstack sends it no requests yet."""
    cut_off: bool = False
    """Whether it runs and the server can't reach it; later its instance is unreachable too."""
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
        """How often it was started again after it was lost, as far as its submissions tell.

        Attempts that found no place are no restarts, nor is one that was scaled down or moved.
        What lies further back than what is known is taken to be as the oldest of that.
        """
        if not self.earlier:
            return self.submission_num
        oldest = self.earlier[0]
        before = oldest.submission_num
        if before is None:
            before = self.submission_num - len(self.earlier)
        return sum(each.was_lost for each in self.earlier) + (before if oldest.was_lost else 0)

    @property
    def lost_at(self) -> datetime | None:
        """When the last submission before this one that had a place was lost, if it was.

        One that still stops has been given up by the one that was made after it.
        """
        after = self.submitted_at
        for attempt in reversed(self.earlier):
            if attempt.had_place:
                return (attempt.finished_at or after) if attempt.was_lost else None
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
        from dstack_api_client.sentences import of_no_place

        return of_no_place(self.before.message)

    @property
    def message(self) -> str:
        """What the server last said of it, in the order of weight."""
        if self.found_no_place:
            from dstack_api_client.sentences import of_no_place

            return of_no_place(self.termination_message or self.error)
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
