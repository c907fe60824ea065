"""What the add-on's endpoints take and give."""

from __future__ import annotations

import uuid
from datetime import datetime
from importlib import metadata
from typing import Any

from dstack._internal.core.models.common import CoreModel
from dstack._internal.core.models.resources import Range
from pydantic import create_model

from dstack_placement.engine import LANE_COLUMNS, Cause, LaneField, LanePlan, Reclaim, ReplicaState
from dstack_placement.server.base import faults
from dstack_placement.server.base.tables import Claim, RebalanceRow

_WAITING = (ReplicaState.PENDING, ReplicaState.STARTING)

#: What a client may rely on, by name.
CAPABILITIES = (
    "lanes",
    "group-lanes",
    "update-lanes",
    "moves",
    "placement",
    "desired-counts",
    "preview",
    "list",
    "rebalance",
    "reachability",
    "router",
    "faults",
    "drain",
    "reclaim",
    "preview-reclaim",
    "cordons",
    "drains",
    "traffic",
)


class Info(CoreModel):
    """What the add-on is and can do."""

    name: str
    version: str
    dstack_version: str
    capabilities: list[str]


class RunRequest(CoreModel):
    """Which run is meant."""

    run_name: str


class RebalanceRequest(CoreModel):
    """Which run is to follow its priorities, or no longer."""

    run_name: str
    cancel: bool = False


class ListRequest(CoreModel):
    """Runs whose whole placement is wanted too; names of no run are left out."""

    run_names: list[str] = []


class PreviewRequest(CoreModel):
    """Changes to try: `fleets` as in a configuration, by group where it has its own.

    `replicas` by group are as in a configuration too: a count, or a range. The answer has a row for
    each replica only with `include_replicas`.
    """

    run_name: str
    fleets: list[Any] | None = None
    group_fleets: dict[str, list[Any] | None] = {}
    replicas: dict[str, Range[int]] = {}
    reclaim: Reclaim | None = None
    rebalance: bool = False
    include_replicas: bool = False


class PlacementGroup(CoreModel):
    """One replica group and how many replicas it should have now."""

    name: str
    desired: int
    pool: str | None


class Reclaiming(CoreModel):
    """A replica of another service that gives way to the minimum of a lane."""

    run_name: str
    replica_num: int
    to: str
    since: datetime
    freed: bool


class LaneCause(CoreModel):
    """One reason why a lane stands as it does: a code, and what its text is made of."""

    code: str
    fleet: str
    number: int
    limit: int
    until: datetime | None
    detail: str


def _value(field: LaneField) -> Any:
    """What the answer has for a field of a lane."""
    return field.kind if field.default is not None else field.kind | None


_values: dict[str, Any] = {each.name: _value(each) for each in LANE_COLUMNS}
_LaneValues: Any = create_model("_LaneValues", __base__=CoreModel, __module__=__name__, **_values)


class PlacementLane(_LaneValues):
    """One lane; `pool` is empty for the service's own, else the group's name.

    `reason` is one line on all of it, `code` what counts most, `cause` the line without how many
    of the minimum there are. `held` says how many, and `causes` has the cause as codes.
    """

    pool: str
    fleet: str
    target: int
    running: int
    ready: int
    pending: int
    deficit: int
    deficit_since: datetime | None = None
    room: int | None
    cooldown_until: datetime | None
    reason: str
    code: str
    cause: str
    held: int
    causes: list[LaneCause]
    after: int
    reclaiming: Reclaiming | None = None


class PlacementReplica(CoreModel):
    """One replica that has not ended: where it is, since when, and why there.

    `cause` is why without for which replica of a minimum; empty where that is not kept.
    """

    replica_num: int
    group: str
    job_id: uuid.UUID
    state: str
    fleet: str | None
    instance: str | None
    reason: str | None
    why: str | None
    cause: str | None
    since: datetime | None
    gives_way_to: str | None = None


class Rebalancing(CoreModel):
    """A rebalancing that goes on, and how many replicas it has still to move."""

    since: datetime
    left: int


class Draining(CoreModel):
    """A replica that is to stop and ends its open requests first, within `limit` seconds.

    `open` is how many are open, empty where that is not known; `in_rotation` whether new ones may
    still reach it.
    """

    replica_num: int
    group: str
    job_id: uuid.UUID
    since: datetime
    limit: int
    open: int | None
    in_rotation: bool


class Fault(CoreModel):
    """What fails in the add-on itself, so that dstack's own rule applies to the run."""

    since: datetime
    last_at: datetime
    message: str


class Placement(CoreModel):
    """The placement of a run.

    One without lanes is not `managed`: dstack's own rule places it, and only the counts of its
    groups are told.
    """

    run_id: uuid.UUID
    run_name: str
    managed: bool
    observed_at: datetime
    groups: list[PlacementGroup]
    lanes: list[PlacementLane]
    replicas: list[PlacementReplica]
    rebalancing: Rebalancing | None
    notes: list[str]
    note_codes: list[str] = []
    draining: list[Draining] = []
    fault: Fault | None = None


class PreviewReplica(CoreModel):
    """What one replica would do: stay, start, stop, move or pending."""

    replica_num: int
    group: str
    new: bool
    fleet: str | None
    action: str
    to: str | None
    reason: str | None
    why: str


class Preview(CoreModel):
    """What would happen, if every start succeeded; `after` of a lane is its count then.

    `actions` counts the replicas by what they do, `replicas` has them one by one if asked for.
    """

    run_id: uuid.UUID
    run_name: str
    managed: bool
    observed_at: datetime
    lanes: list[PlacementLane]
    actions: dict[str, int]
    replicas: list[PreviewReplica]
    notes: list[str]
    note_codes: list[str] = []


class Move(CoreModel):
    """One replica that is to move; it stops when the new one is ready."""

    replica_num: int
    group: str
    fleet: str | None
    to: str
    why: str


class Rebalance(CoreModel):
    """What a rebalancing will move; `rebalancing` is empty when there is nothing to move."""

    run_id: uuid.UUID
    run_name: str
    observed_at: datetime
    rebalancing: Rebalancing | None
    moves: list[Move]
    lanes: list[PlacementLane]


class Deficit(CoreModel):
    """A lane below its minimum."""

    pool: str
    fleet: str
    missing: int
    since: datetime
    reason: str


class CooldownNow(CoreModel):
    """A lane that is skipped after failed starts."""

    pool: str
    fleet: str
    failures: int
    since: datetime
    until: datetime
    cause: str


class PendingReplica(CoreModel):
    """A replica that fits in no lane at present."""

    replica_num: int
    group: str
    since: datetime
    why: str


class RunSummary(CoreModel):
    """What is worth knowing of one service without its whole placement.

    `other_server_replicas` counts those that a server without the add-on has placed.
    `pending_replicas` counts those without an instance yet, `pending` has those of them that fit in
    no lane. A service without lanes is not `managed`, and has its groups only.
    """

    run_id: uuid.UUID
    run_name: str
    managed: bool
    groups: list[PlacementGroup]
    deficits: list[Deficit]
    cooldowns: list[CooldownNow]
    fallback_replicas: int
    other_server_replicas: int
    pending_replicas: int
    pending: list[PendingReplica]
    rebalancing: Rebalancing | None
    warnings: list[str]
    draining: list[Draining] = []
    fault: Fault | None = None


class Traffic(CoreModel):
    """The requests that the gateway of a service counted over the last `window` seconds.

    `request_time` is how many seconds one took on average, empty where there was none.
    """

    run_id: uuid.UUID
    window: int
    requests: int
    request_time: float | None


class PlacementList(CoreModel):
    """All active services of a project, and the whole placement of those that were named.

    `traffic` has those services whose gateway told this server of it lately.
    """

    observed_at: datetime
    runs: list[RunSummary]
    placements: list[Placement]
    traffic: list[Traffic] = []


def info() -> Info:
    """The add-on of this process."""
    return Info(
        name="dstack-fleets",
        version=metadata.version("dstack-fleets-tui"),
        dstack_version=metadata.version("dstack"),
        capabilities=list(CAPABILITIES),
    )


def lane(
    plan: LanePlan, deficit_since: datetime | None = None, claim: Claim | None = None
) -> PlacementLane:
    """A lane as it is sent.

    Args:
        plan: What is planned for it.
        deficit_since: Since when it is below its minimum, where that is known.
        claim: The replica of another service that gives way to it, if there is one.
    """
    ready = plan.states.get(ReplicaState.READY, 0)
    return PlacementLane(
        pool=plan.pool,
        fleet=plan.fleet,
        **plan.lane.values(),
        target=plan.target,
        running=plan.states.get(ReplicaState.RUNNING, 0) + ready,
        ready=ready,
        pending=sum(plan.states.get(state, 0) for state in _WAITING),
        deficit=plan.deficit,
        deficit_since=deficit_since if plan.deficit else None,
        room=plan.room,
        cooldown_until=plan.until,
        reason=plan.reason,
        code=plan.why.code.value,
        cause=plan.why.cause,
        held=plan.why.held,
        causes=[_cause(each) for each in plan.why.causes],
        after=plan.after,
        reclaiming=_reclaiming(claim) if claim is not None else None,
    )


def _cause(cause: Cause) -> LaneCause:
    return LaneCause(
        code=cause.code.value,
        fleet=cause.fleet,
        number=cause.number,
        limit=cause.limit,
        until=cause.until,
        detail=str(cause.detail),
    )


def _reclaiming(claim: Claim) -> Reclaiming:
    return Reclaiming(
        run_name=claim.row.run_name,
        replica_num=claim.row.replica_num,
        to=claim.row.to,
        since=claim.row.since,
        freed=claim.freed,
    )


def rebalancing(row: RebalanceRow | None) -> Rebalancing | None:
    """A rebalancing as it is sent."""
    return Rebalancing(since=row.since, left=row.left) if row is not None else None


def fault(run_id: uuid.UUID) -> Fault | None:
    """What fails of a run on this server, as it is sent."""
    found = faults.faults.of(run_id)
    if found is None:
        return None
    return Fault(since=found.since, last_at=found.last_at, message=found.message)
