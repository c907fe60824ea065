"""What an edit would do, as values: each lane and each replica now and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property

from dstack_api_client.model.labels import lane_name
from dstack_placement import engine


class Source(str, Enum):
    """Where a dry run was computed."""

    SERVER = "server"
    ENGINE = "this client"


@dataclass(frozen=True, slots=True)
class LaneOutlook:
    """One lane now and after the edit.

    Attributes:
        pool: Empty for the service's lanes, else the group whose own lane it is.
        lane: As edited.
        target: Replicas here when nothing holds back.
        now: Replicas here now that are not stopping.
        after: Replicas here once all is done.
        reason: One line on all of it.
        start: Replicas that start here.
        stop: Replicas that stop here.
        enter: Replicas that move here.
        leave: Replicas that move away.
        deficit: How many are short of the minimum even then.
        room: How many more the fleet takes; None is not known.
        cooldown_until: Until when the lane is skipped.
    """

    pool: str
    lane: engine.Lane
    target: int
    now: int
    after: int
    reason: str
    start: int = 0
    stop: int = 0
    enter: int = 0
    leave: int = 0
    deficit: int = 0
    room: int | None = None
    cooldown_until: datetime | None = None

    @property
    def fleet(self) -> str:
        """The lane's fleet."""
        return self.lane.fleet


@dataclass(frozen=True, slots=True)
class ReplicaOutlook:
    """What one replica would do."""

    number: int
    group: str
    new: bool
    fleet: str | None
    action: str
    """`stay`, `start`, `stop`, `move` or `pending`."""
    to: str | None
    reason: str | None
    why: str

    @classmethod
    def of(cls, row: engine.ReplicaPlan) -> ReplicaOutlook:
        """The same as the engine plans it."""
        return cls(
            number=row.replica.number,
            group=row.replica.group,
            new=row.new,
            fleet=row.replica.fleet,
            action=row.action.value,
            to=row.to,
            reason=row.reason.value if row.reason is not None else None,
            why=row.why,
        )


@dataclass(frozen=True)
class DryRun:
    """What would happen if every start succeeded.

    Attributes:
        source: Who told.
        lanes: In the order of filling, fleets that are left last.
        replicas: By group and number.
        notes: What a reader should know besides, a line each.
        price_now: Dollars per hour of the service now.
        price_after: The same afterwards; None where a price is not known.
        unpriced: Fleets of which no price is known.
        managed: Whether lanes decide; else dstack's own rule does.
        surges: The first extra replica of each group that the edit rolls out, by `surging`.
        unsure: Fleets in which replicas start without a place that is known, by `certainty`.
        labels: What the replica groups are called, by name.
    """

    source: Source
    lanes: tuple[LaneOutlook, ...]
    replicas: tuple[ReplicaOutlook, ...]
    notes: tuple[str, ...] = ()
    price_now: float = 0.0
    price_after: float | None = None
    unpriced: tuple[str, ...] = ()
    managed: bool = True
    surges: tuple[ReplicaOutlook, ...] = ()
    unsure: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def lane_name(self, lane: LaneOutlook) -> str:
        """What a lane is called: `gpu-spot`, `1 prefill/gpu-spot`."""
        return lane_name(lane.pool, lane.fleet, self.labels)

    def count(self, action: str) -> int:
        """How many replicas do one thing; those that a rolling deployment takes away `replace`."""
        return self._counts[action]

    @cached_property
    def _counts(self) -> Counter[str]:
        """How many replicas do each thing."""
        return Counter(map(self.does, self.replicas))

    @cached_property
    def _rolled(self) -> frozenset[str]:
        """The groups that are rolled out."""
        return frozenset(surge.group for surge in self.surges)

    def does(self, row: ReplicaOutlook) -> str:
        """What a replica does: its action, or `replace` where it stays only until it is rolled."""
        rolled = row.action == "stay" and not row.new and row.group in self._rolled
        return "replace" if rolled else row.action

    @property
    def starts(self) -> frozenset[tuple[str, str | None]]:
        """Where a replica starts or would have to, by group and fleet: offers for them matter.

        The fleet is None where none is known.
        """
        rows = [row for row in self.replicas if row.action in ("start", "move")]
        return frozenset((row.group, row.to) for row in (*rows, *self.surges))

    @property
    def still(self) -> bool:
        """Whether nothing is left to do."""
        return all(row.action == "stay" and not row.new for row in self.replicas)

    @property
    def price_change(self) -> float | None:
        """Dollars per hour more or less; None where a price is not known."""
        return None if self.price_after is None else self.price_after - self.price_now
