"""A service over its fleets, as values: a row for what each fleet holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dstack_api_client.analysis.group_rows import GroupRow
from dstack_placement import engine


@dataclass(frozen=True)
class Cell:
    """What one fleet holds of one replica group."""

    running: int = 0
    ready: int = 0
    pending: int = 0
    stopping: int = 0
    serving: int = 0
    """Of the ready ones, those that can be reached."""


@dataclass(frozen=True)
class FleetRow:
    """What one fleet holds of a service, against what it should.

    Attributes:
        pool: The group whose lanes these are; empty for the service's own.
        fleet: The fleet's name; None for replicas without a place yet.
        fleet_id: None for a fleet that is not in the snapshot.
        lane: None where there are no lanes, and for a fleet that is none.
        target: None where it is not known.
        running: Replicas that run.
        ready: Of those, the ones that are ready.
        pending: Replicas that are to run here and don't yet.
        stopping: Replicas that are going.
        groups: The same by replica group, in the service's order; groups without any are left out.
        price: Dollars per hour of these replicas.
        serving: Of the ready ones, those that can be reached.
        deficit: Replicas that the minimum lacks.
        deficit_since: Since when, where known.
        fallbacks: Replicas that are here because a fleet before it could not take them.
        cooldown_until: Until when new replicas skip it.
        reason: Why it is as it is, one line.
        code: What of that counts most, as the engine's `Code` has it; empty where nothing tells.
        cause: The line without how many of the minimum there are.
        why: The reason of its lane as codes; None where only its text is known.
        fallback_causes: Why those that fell back did, one line for each.
        causes_fallen: The same once per cause, for whichever replica of a minimum it was.
    """

    pool: str
    fleet: str | None
    fleet_id: str | None
    lane: engine.Lane | None
    target: int | None
    running: int
    ready: int
    pending: int
    stopping: int
    groups: dict[str, Cell]
    price: float
    serving: int = 0
    deficit: int = 0
    deficit_since: datetime | None = None
    fallbacks: int = 0
    cooldown_until: datetime | None = None
    reason: str = ""
    code: str = ""
    cause: str = ""
    why: engine.LaneWhy | None = None
    fallback_causes: tuple[str, ...] = ()
    causes_fallen: tuple[str, ...] = ()

    def of_lane(self, field: engine.LaneField) -> engine.LaneValue | None:
        """What its lane says of one field; None where there is no lane."""
        return self.lane.value(field) if self.lane is not None else None

    @property
    def minimum(self) -> int:
        """The replicas always kept here; 0 where there is no lane."""
        return self.lane.min_replicas if self.lane is not None else 0

    @property
    def reason_here(self) -> str:
        """The reason beside the fleet's name."""
        return self.reason if self.why is None else self.why.here

    @property
    def cause_here(self) -> str:
        """The cause beside the fleet's name."""
        return self.cause if self.why is None else self.why.cause_here

    @property
    def held(self) -> int:
        """How many of the minimum there are."""
        return self.minimum - self.deficit


@dataclass(frozen=True)
class Distribution:
    """A service over its fleets.

    Attributes:
        run_id: The service.
        managed: Whether lanes decide.
        observed_at: When the figures were read.
        rows: In the order in which fleets are filled.
        wanted: Replicas desired now; None where the server does not say.
        running: Over all fleets.
        ready: Over all fleets.
        pending: Over all fleets.
        price: Dollars per hour.
        groups: Replica groups in the service's order.
        serving: Over all fleets.
        notes: What can't be known on this server and why, and what the server notes.
        labels: What the groups are called, by `labels_of`.
        by_group: The replica groups, where no lanes decide and they are bought in different ways.
    """

    run_id: str
    managed: bool
    observed_at: datetime
    rows: tuple[FleetRow, ...]
    wanted: int | None
    running: int
    ready: int
    pending: int
    price: float
    groups: tuple[str, ...]
    serving: int = 0
    notes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    by_group: tuple[GroupRow, ...] = ()
