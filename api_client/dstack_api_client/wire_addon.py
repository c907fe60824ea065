"""The shapes of what the placement add-on of a server answers, and routers themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dstack_api_client.wire import Answer


class PlacementInfo(Answer):
    """What the placement add-on says of itself."""

    version: str
    capabilities: list[str] = []


class PlacementGroup(Answer):
    """A replica group in the add-on's answer."""

    name: str
    desired: int = 0
    pool: str | None = None


class PlacementLane(Answer):
    """A lane in the add-on's answer."""

    fleet: str
    pool: str = ""
    min_replicas: int = 0
    max_replicas: int | None = None
    priority: int = 0
    target: int = 0
    running: int = 0
    ready: int = 0
    pending: int = 0
    deficit: int = 0
    room: int | None = None
    cooldown_until: datetime | None = None
    reason: str = ""


class PlacementReplica(Answer):
    """A replica in the add-on's answer."""

    replica_num: int
    group: str = ""
    job_id: str = ""
    fleet: str | None = None
    reason: str | None = None
    why: str | None = None
    since: datetime | None = None


class Rebalancing(Answer):
    """A rebalancing that goes on."""

    since: datetime
    left: int = 0


class Placement(Answer):
    """The add-on's answer about one run."""

    run_id: str
    observed_at: datetime
    run_name: str = ""
    managed: bool = False
    groups: list[PlacementGroup] = []
    lanes: list[PlacementLane] = []
    replicas: list[PlacementReplica] = []
    notes: list[str] = []
    rebalancing: Rebalancing | None = None


class Deficit(Answer):
    """A baseline that is not held."""

    fleet: str
    since: datetime
    pool: str = ""
    missing: int = 0


class Cooldown(Answer):
    """A lane that is passed over."""

    fleet: str
    until: datetime
    pool: str = ""


class PlacementSummary(Answer):
    """What the add-on tells of one service among all: enough to see that something changed."""

    run_id: str
    managed: bool = False
    groups: list[PlacementGroup] = []
    deficits: list[Deficit] = []
    cooldowns: list[Cooldown] = []
    fallback_replicas: int = 0
    pending_replicas: int = 0
    rebalancing: Rebalancing | None = None
    warnings: list[str] = []


class PlacementList(Answer):
    """All active services in short, and some in full."""

    runs: list[PlacementSummary] = []
    placements: list[Placement] = []


class RouterWorker(Answer):
    """A worker in SMG's own list."""

    id: str = ""
    url: str = ""
    model_id: str | None = None
    worker_type: str | None = None
    status: str | None = None
    is_healthy: bool | None = None
    load: int | None = None
    labels: dict[str, Any] | None = None
    bootstrap_port: int | None = None
    connection_mode: str | None = None
    runtime_type: str | None = None


class RouterWorkers(Answer):
    """SMG's answer to `GET /workers`."""

    workers: list[RouterWorker]


class ExpectedWorker(Answer):
    """A worker that dstack expects in its router's list, as the add-on tells it."""

    job_id: str
    replica_num: int = 0
    group: str = ""
    role: str | None = None
    url: str | None = None
    bootstrap_port: int | None = None
    job_status: str = ""
    since: datetime | None = None
    probes_passed: bool | None = None


class RouterLook(Answer):
    """The add-on's answer about a router; `workers` is the router's own list."""

    status: str
    observed_at: datetime
    router_type: str | None = None
    router_replica: int | None = None
    router_job_status: str | None = None
    message: str | None = None
    last_sync_at: datetime | None = None
    sync_interval: float | None = None
    workers: list[RouterWorker] = []
    ready: bool | None = None
    expected: list[ExpectedWorker] = []
