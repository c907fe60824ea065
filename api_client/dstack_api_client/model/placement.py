"""How a service is placed over fleets, as the placement add-on of a server reports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dstack_api_client.model.labels import counted
from dstack_placement.engine import Lane, LaneWhy

#: The reason of a replica that a server without the add-on has placed.
OTHER_SERVER = "other-server"


@dataclass(frozen=True)
class LanePlacement:
    """One lane: what it should hold and what it holds."""

    pool: str
    """Empty for the service's own lanes, else the replica group whose lanes they are."""
    lane: Lane
    target: int
    running: int
    ready: int
    """Of those running."""
    pending: int
    """Given to the lane and not running yet."""
    deficit: int
    """Replicas that the minimum lacks."""
    deficit_since: datetime | None
    """Since when the minimum has not been held; None when it is, or where this is not known."""
    fallbacks: int
    """Replicas that are here because a lane before it had no room or was cooling down."""
    room: int | None
    """Replicas that it can take more; None when unknown."""
    cooldown_until: datetime | None
    reason: str
    """Why it is as it is, one line."""
    code: str = ""
    """What of that counts most, as the engine's `Code` has it; empty for an older add-on."""
    cause: str = ""
    """The line without how many of the minimum there are; all of it for an older add-on."""
    why: LaneWhy | None = None
    """The reason as codes; None for an older add-on."""

    @property
    def fleet(self) -> str:
        """The lane's fleet."""
        return self.lane.fleet


@dataclass(frozen=True)
class ReplicaPlacement:
    """Why a replica is where it is."""

    replica_num: int
    group: str
    job_id: str
    fleet: str | None
    reason: str | None
    """`baseline`, `priority`, `fallback`, `move`, or `reclaim` where it replaces one that gives way
    to another service's minimum; `OTHER_SERVER` or `own-rule` where the add-on did not place it,
    None where nothing is known."""
    why: str | None
    since: datetime | None
    cause: str = ""
    """Why, without for which replica of a minimum; all of it where that is not kept apart."""


@dataclass(frozen=True)
class Drain:
    """A replica that is to stop, gets no new requests, and ends the open ones first."""

    job_id: str
    """Its submission."""
    since: datetime
    limit: int
    """How many seconds it may take."""
    open: int | None
    """Requests that are open; None where that is not known."""

    def told(self, now: datetime) -> str:
        """What it does, as in `draining 41 s, 3 open`.

        Args:
            now: The time.
        """
        lasted = max(0, round((now - self.since).total_seconds()))
        return f"draining {lasted} s" + ("" if self.open is None else f", {self.open} open")


@dataclass(frozen=True)
class Placement:
    """The placement of one service."""

    run_id: str
    managed: bool
    """Whether lanes decide; else dstack's own rule does."""
    observed_at: datetime = field(compare=False)
    desired: dict[str, int]
    """Replicas desired now, by replica group."""
    pools: dict[str, str | None]
    """Which lanes serve a replica group: a `LanePlacement.pool`, None for none."""
    lanes: tuple[LanePlacement, ...]
    """In the order of priority within a pool."""
    replicas: tuple[ReplicaPlacement, ...]
    notes: tuple[str, ...]
    rebalancing_since: datetime | None = None
    """Since when replicas are moved to where the priorities want them; None when they are not."""
    rebalancing_left: int = 0
    """How many are still to move."""
    draining: tuple[Drain, ...] = ()
    """The replicas that drain."""
    fault: str = ""
    """What fails in the add-on itself, where dstack's own rule applies; empty for nothing."""
    fault_since: datetime | None = None

    @property
    def rebalancing(self) -> str:
        """`a rebalancing is under way, 3 replicas to move`; empty where none is."""
        if self.rebalancing_since is None:
            return ""
        left = f", {counted(self.rebalancing_left, 'replica')} to move"
        return f"a rebalancing is under way{left if self.rebalancing_left else ''}"
