"""A service and what its replicas add up to; another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dstack_api_client.model.replica import FINISHED, STOPPING, Replica, ReplicaKey

#: Why dstack ends a run that nobody has asked it to end.
_FAILURES = frozenset({"job_failed", "retry_limit_exceeded", "server_error", "gateway_error"})


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
    on_gateway: bool = False
    """Whether its requests come through a gateway, which counts them."""
    starts_at: datetime | None = None
    """When its `schedule` starts it next, if it has one."""
    names_addresses: bool = False
    """Whether its replicas may be given the address of one of them when they start."""
    termination_reason: str | None = None
    """Why dstack ends it, or has ended it, in dstack's word: `job_failed`, `stopped_by_user`."""

    @property
    def stopping(self) -> bool:
        """Whether it is being stopped."""
        return self.status == STOPPING

    @property
    def waits_for_its_time(self) -> bool:
        """Whether it is started at set times only, and none of them has come."""
        owners = (self.spec.get("configuration"), self.spec.get("profile"))
        return self.status == "pending" and any(
            isinstance(owner, Mapping) and owner.get("schedule") for owner in owners
        )

    @property
    def gone(self) -> bool:
        """Whether it has ended or is on its way to."""
        return self.finished or self.stopping

    @property
    def failing(self) -> bool:
        """Whether it is being ended after a failure."""
        return self.stopping and self.termination_reason in _FAILURES

    def lacks(self, replica: Replica) -> bool:
        """Whether the group of a replica has fewer than its minimum: it is missed if it ended."""
        if self.gone:
            return False
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
