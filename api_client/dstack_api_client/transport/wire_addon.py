"""The shapes of what the placement add-on of a server answers, and routers themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from dstack_api_client.text import one_line
from dstack_api_client.transport.wire_values import (
    Amount,
    Answer,
    Count,
    Parted,
    Port,
    Timed,
)
from dstack_placement.engine import LANE_FIELDS, Lane, LaneField

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class PlacementInfo(Answer):
    """What the placement add-on says of itself."""

    version: str
    capabilities: list[str] = []


class PlacementGroup(Answer):
    """A replica group in the add-on's answer."""

    name: str
    desired: Count = 0
    pool: str | None = None


class LaneCause(Timed):
    """One reason in a lane of the add-on's answer."""

    times = ("until",)

    code: str
    fleet: str = ""
    number: Count = 0
    limit: Count = 0
    until: datetime | None = None
    detail: str = ""


def _value(field: LaneField) -> tuple[str, Any, Any]:
    """What an answer has for a field of a lane."""
    kind: Any = Annotated[field.kind, msgspec.Meta(ge=0, le=1_000_000)]
    return field.name, kind if field.default is not None else kind | None, field.default


_LaneValues: Any = msgspec.defstruct(
    "_LaneValues", map(_value, LANE_FIELDS), bases=(Timed,), gc=False, kw_only=True
)


class PlacementLane(_LaneValues):  # type: ignore[misc]
    """A lane in the add-on's answer."""

    times = ("cooldown_until", "deficit_since")

    fleet: str
    pool: str = ""
    target: Count = 0
    running: Count = 0
    ready: Count = 0
    pending: Count = 0
    deficit: Count = 0
    deficit_since: datetime | None = None
    room: Count | None = None
    cooldown_until: datetime | None = None
    reason: str = ""
    code: str = ""
    cause: str | None = None
    """None of an older add-on."""
    held: Count | None = None
    """None of an older add-on."""
    causes: list[LaneCause] = []

    def lane(self) -> Lane:
        """The lane that it is about."""
        return Lane.of(
            one_line(self.fleet), {each.name: getattr(self, each.name) for each in LANE_FIELDS}
        )


class PlacementReplica(Timed):
    """A replica in the add-on's answer."""

    times = ("since",)

    replica_num: Count
    group: str = ""
    job_id: str = ""
    fleet: str | None = None
    reason: str | None = None
    why: str | None = None
    cause: str | None = None
    since: datetime | None = None


class Rebalancing(Timed):
    """A rebalancing that goes on."""

    times = ("since",)

    since: datetime
    left: Count = 0


class Draining(Timed):
    """A replica that is to stop and ends its open requests first."""

    times = ("since",)

    job_id: str
    since: datetime
    limit: Count = 0
    open: Count | None = None


class Fault(Timed):
    """What fails in the add-on itself."""

    times = ("since",)

    since: datetime
    message: str = ""


class Placement(Timed):
    """The add-on's answer about one run."""

    times = ("observed_at",)

    run_id: str
    observed_at: datetime
    run_name: str = ""
    managed: bool = False
    groups: list[PlacementGroup] = []
    lanes: list[PlacementLane] = []
    replicas: list[PlacementReplica] = []
    notes: list[str] = []
    rebalancing: Rebalancing | None = None
    draining: list[Draining] = []
    fault: Fault | None = None


class Deficit(Timed):
    """A lane below its minimum."""

    times = ("since",)

    fleet: str
    since: datetime
    pool: str = ""
    missing: Count = 0


class Cooldown(Timed):
    """A lane that is skipped."""

    times = ("until",)

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
    fallback_replicas: Count = 0
    other_server_replicas: Count = 0
    pending_replicas: Count = 0
    rebalancing: Rebalancing | None = None
    warnings: list[str] = []
    draining: list[Draining] = []
    fault: Fault | None = None


class Traffic(Answer):
    """What the gateway of a service counted."""

    run_id: str
    requests: Count
    window: Annotated[int, msgspec.Meta(ge=1, le=86400)]
    request_time: Seconds | None = None


class PlacementList(Parted):
    """All active services in short, and some in full.

    What gateways counted stands apart: it changes far more often than how services are placed.
    """

    parts = {"runs": PlacementSummary, "placements": Placement, "traffic": Traffic}

    runs: list[PlacementSummary]
    placements: list[Placement] = []
    traffic: list[Traffic] = []


class RouterWorker(Answer):
    """A worker in SMG's own list."""

    id: str = ""
    url: str = ""
    model_id: str | None = None
    worker_type: str | None = None
    status: str | None = None
    is_healthy: bool | None = None
    load: Amount | None = None
    labels: dict[str, Any] | None = None
    bootstrap_port: Port | None = None


class RouterWorkers(Answer):
    """SMG's answer to `GET /workers`."""

    workers: list[RouterWorker]


class ExpectedWorker(Timed):
    """A worker that dstack expects in its router's list, as the add-on tells it."""

    times = ("since",)

    job_id: str
    replica_num: Count = 0
    group: str = ""
    role: str | None = None
    url: str | None = None
    bootstrap_port: Port | None = None
    job_status: str = ""
    since: datetime | None = None
    probes_passed: bool | None = None


class RouterLook(Timed):
    """The add-on's answer about a router; `workers` is the router's own list."""

    times = ("observed_at", "last_sync_at")

    status: str
    observed_at: datetime
    router_type: str | None = None
    router_replica: Count | None = None
    router_job_status: str | None = None
    message: str | None = None
    last_sync_at: datetime | None = None
    sync_interval: Seconds | None = None
    workers: list[RouterWorker] = []
    ready: bool | None = None
    expected: list[ExpectedWorker] = []
