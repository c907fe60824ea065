"""How far a rolling deployment of a service has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.snapshot import ReplicaKey


@dataclass(frozen=True)
class Deployment:
    """The replicas at one deployment number of a service."""

    number: int
    running: int
    ready: int
    pending: int
    stopping: int
    since: datetime | None
    """When its first replica that is still there was submitted."""


@dataclass(frozen=True)
class Holdup:
    """One thing that a rollout waits for."""

    text: str
    replica: ReplicaKey | None
    since: datetime | None


@dataclass(frozen=True)
class Rollout:
    """The deployments of a service side by side.

    Attributes:
        run_id: The service.
        number: The latest deployment.
        deployments: The latest first; one when nothing is being rolled out.
        at_latest: Replicas at the latest deployment that count.
        total: Replicas that count.
        under_way: Whether replicas of an older deployment are left.
        since: When the latest deployment began, where known.
        finished_at: When its last replica became ready, where known.
        holdups: What it waits for, the longest first.
    """

    run_id: str
    number: int
    deployments: tuple[Deployment, ...]
    at_latest: int
    total: int
    under_way: bool
    since: datetime | None
    finished_at: datetime | None
    holdups: tuple[Holdup, ...]
