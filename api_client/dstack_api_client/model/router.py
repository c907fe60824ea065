"""What a router's view of its workers and dstack's view of them come to, side by side.

Three axes that are never merged: the router as a whole (`RouterStatus`), whether each worker is
where dstack wants it in the router's list (`Sync`), and how the router and dstack each find it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from dstack_api_client.model.replica import ReplicaKey


class RouterStatus(str, Enum):
    """How the router itself is."""

    READY = "ready"
    NOT_READY = "not ready"
    DOWN = "down"
    """Its job does not run, or it does not answer."""
    REFUSES = "refuses"
    """It answers 401: it has an API key that dstack does not know."""
    NOT_MANAGED = "not managed"
    """It discovers its workers by itself (Dynamo)."""
    UNKNOWN = "unknown"
    """Nothing could be read; `RouterView.message` says why."""


class Sync(str, Enum):
    """Where a worker stands in the router's list."""

    IN_SYNC = "in sync"
    PENDING = "pending"
    """It runs, for less than two cycles of the server's sync."""
    MISSING = "missing"
    """It has run for longer and is not listed."""
    STALE = "stale"
    """It is listed, and its job no longer runs."""
    DRIFT = "address drift"
    """It is listed by its job with another address than it has."""
    FOREIGN = "foreign"
    """It is listed and no job's."""
    DUPLICATE = "duplicate"
    """It is listed more than once."""
    DRAINING = "draining"
    UNKNOWN = "unknown"
    """The router's list is not known, or too old to tell."""


class Source(str, Enum):
    """Where the router's list was read."""

    SERVER = "server"
    """The placement add-on's endpoint."""
    SSH = "ssh"
    """A tunnel of this machine's OpenSSH."""
    NONE = "none"


#: A worker that is less wrong than this is on its way in or out: it passes within seconds.
PASSING = 10


@dataclass(frozen=True)
class Worker:
    """One worker, as both sides see it.

    Attributes:
        key: Unique within the view and the same at every look.
        sync: Where it stands.
        router_health: `ready`, `not ready`, `pending`, `failed`, `draining`; None when not listed.
        job_status: The status of its job; None for one that is not a job's.
        role: `regular`, `encode`, `prefill` or `decode`; None when unknown.
        load: Requests the router has it work on; None when unknown.
        model: The model as the router names it.
        url: The address in the router's list, else the one it would be registered with.
        replica: The replica; None for one that is not a job's.
        group: Its replica group.
        fleet: The name of its fleet.
        probes_passed: Whether dstack's probes find it ready; None when it has none or is not known.
        since: Since when it has been in this state, as far as known.
        message: What the state means and what dstack does about it, one sentence; empty when good.
        wrong: 0 when all is well, else the greater the worse.
        at_least: Whether it may have been so for longer: it was so at the first look, which is
            then what `since` tells.
    """

    key: str
    sync: Sync
    router_health: str | None = None
    job_status: str | None = None
    role: str | None = None
    load: int | None = None
    model: str | None = None
    url: str | None = None
    replica: ReplicaKey | None = None
    group: str | None = None
    fleet: str | None = None
    probes_passed: bool | None = None
    since: datetime | None = None
    message: str = ""
    wrong: int = 0
    at_least: bool = False


@dataclass(frozen=True)
class RouterView:
    """A service's router and its workers at one look.

    Attributes:
        run_id: The service.
        kind: `smg` or `dynamo`.
        status: How the router is.
        source: Where its list was read.
        message: Why the status is not good, and what to do; empty when good.
        observed_at: When the router was looked at; None when it never answered.
        last_sync_at: When the server last synchronised it, where known.
        ready: Of the workers that dstack expects, those that the router calls ready.
        expected: Workers that dstack expects.
        workers: Worst first, then by group and replica.
        awaited: Whether its first look is still under way, so that nothing can be said of it yet.
        lacking: The parts (`encode`, `prefill`, `decode`) that the service's groups are there for
            and that no worker plays while others are ready; where the list is not known, while
            others run.
    """

    run_id: str
    kind: str
    status: RouterStatus
    source: Source
    message: str = ""
    observed_at: datetime | None = field(default=None, compare=False)
    last_sync_at: datetime | None = field(default=None, compare=False)
    ready: int = 0
    expected: int = 0
    workers: tuple[Worker, ...] = ()
    awaited: bool = False
    lacking: tuple[str, ...] = ()
