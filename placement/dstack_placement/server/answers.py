"""What the add-on's endpoints take and give."""

from __future__ import annotations

import uuid
from datetime import datetime
from importlib import metadata
from typing import Any

from dstack._internal.core.models.common import CoreModel

from dstack_placement.engine import LanePlan, ReplicaState

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
    "router",
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


class PreviewRequest(CoreModel):
    """Changes to try: `fleets` as in a configuration, by group where it has its own."""

    run_name: str
    fleets: list[Any] | None = None
    group_fleets: dict[str, list[Any] | None] = {}
    replicas: dict[str, int] = {}
    rebalance: bool = False


class PlacementGroup(CoreModel):
    """One replica group and how many replicas it should have now."""

    name: str
    desired: int
    pool: str | None


class PlacementLane(CoreModel):
    """One lane; `pool` is empty for the service's own, else the group's name."""

    pool: str
    fleet: str
    min_replicas: int
    max_replicas: int | None
    priority: int
    target: int
    running: int
    ready: int
    pending: int
    deficit: int
    room: int | None
    cooldown_until: datetime | None
    reason: str
    after: int


class PlacementReplica(CoreModel):
    """One replica that has not ended: where it is, since when, and why there."""

    replica_num: int
    group: str
    job_id: uuid.UUID
    state: str
    fleet: str | None
    instance: str | None
    reason: str | None
    why: str | None
    since: datetime | None


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
    notes: list[str]


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
    """What would happen, if every start succeeded; `after` of a lane is its count then."""

    run_id: uuid.UUID
    run_name: str
    managed: bool
    observed_at: datetime
    lanes: list[PlacementLane]
    replicas: list[PreviewReplica]
    notes: list[str]


def info() -> Info:
    """The add-on of this process."""
    return Info(
        name="dstack-fleets",
        version=metadata.version("dstack-fleets-tui"),
        dstack_version=metadata.version("dstack"),
        capabilities=list(CAPABILITIES),
    )


def lane(plan: LanePlan) -> PlacementLane:
    """A lane as it is sent."""
    ready = plan.states.get(ReplicaState.READY, 0)
    return PlacementLane(
        pool=plan.pool,
        fleet=plan.fleet,
        min_replicas=plan.min_replicas,
        max_replicas=plan.max_replicas,
        priority=plan.priority,
        target=plan.target,
        running=plan.states.get(ReplicaState.RUNNING, 0) + ready,
        ready=ready,
        pending=sum(plan.states.get(state, 0) for state in _WAITING),
        deficit=plan.deficit,
        room=plan.room,
        cooldown_until=plan.until,
        reason=plan.reason,
        after=plan.after,
    )
