"""One thing that is wrong, and how bad it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from dstack_api_client.analysis.health import Health
from dstack_api_client.model.labels import replica_key
from dstack_api_client.model.replica import ReplicaKey

#: A row that is a replica's, or a worker's that is one.
_REPLICA_ROW = re.compile(r"(\d+\.\d+)(?:\+.*)?", re.ASCII)


class Severity(int, Enum):
    """How bad a problem is; the greater the worse."""

    NOTICE = 1
    """Costs money or may become a problem."""
    WARNING = 2
    """Something does not work as it should."""
    CRITICAL = 3
    """Requests fail or a baseline is broken, and it does not recover by itself."""


class Impact(int, Enum):
    """What users feel of a problem; the greater the worse."""

    COSTS = 1
    """Nothing yet: it costs money or may become a problem."""
    PROMISE = 2
    """Nothing yet: something that was promised is not kept, and all replicas are ready."""
    SERVES_LESS = 3
    """A service has fewer replicas than it should, or a job that nothing else does is lost."""
    SERVES_NOTHING = 4
    """A service has no replica that takes requests."""


class Kind(str, Enum):
    """What sort of problem it is."""

    BASELINE = "baseline"
    ROUTER = "router"
    WORKER = "worker"
    INSTANCE = "instance"
    REPLICA = "replica"
    SERVICE = "service"
    ROLLOUT = "rollout"
    FLEET = "fleet"
    IDLE = "idle"
    LOSS = "loss"


@dataclass(frozen=True)
class Affected:
    """A service that a problem concerns.

    Attributes:
        name: The service's name.
        health: How it is; None where that is not known.
    """

    name: str
    health: Health | None = None


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        key: The same at every look as long as it is the same problem.
        kind: What sort.
        severity: How bad.
        subject: What it is about, such as `chat-70b` or `gpu-reserved/3`.
        text: What is wrong, one line.
        hint: What it means or what can be done, one sentence; may be empty.
        since: Since when, as far as known.
        at_least: Whether it may have been so for longer: nothing told since when, and `since` is
            when it was first seen.
        service_id: The service to jump to; None when it is about a fleet.
        fleet_id: The fleet to jump to.
        view: The view of the service or fleet to open (`distribution`, `replicas`, `router`,
            `rollout`, `instances`).
        row: The key of the row to put the cursor on there; None for none.
        price: Dollars per hour that it costs, for what is unused.
        continuous: Whether it is one and the same as long as it is found at every look, and never
            begins again in between.
        run_ids: The runs whose jobs it concerns, where `service_id` is not the one.
        impact: What users feel of it.
        affects: The services that it concerns, the worst first.
    """

    key: str
    kind: Kind
    severity: Severity
    subject: str
    text: str
    hint: str = ""
    since: datetime | None = None
    service_id: str | None = None
    fleet_id: str | None = None
    view: str = ""
    row: str | None = None
    price: float | None = None
    at_least: bool = False
    continuous: bool = False
    run_ids: tuple[str, ...] = ()
    impact: Impact = Impact.PROMISE
    affects: tuple[Affected, ...] = ()

    @property
    def replica(self) -> ReplicaKey | None:
        """The replica that it is about, or the first of several; None where it is about none."""
        found = _REPLICA_ROW.fullmatch(self.row or "")
        if found is None or self.service_id is None:
            return None
        return replica_key(self.service_id, found[1])
