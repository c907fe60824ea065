"""What the engine is told: replicas, groups, and how much the fleets can take."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .cooldown import Cooldown
from .lane import Lane

#: The name of the pool that shares the service's own lanes.
SHARED = ""


class ReplicaState(str, Enum):
    """How far a replica has come."""

    PENDING = "pending"  # submitted, no instance yet
    STARTING = "starting"  # provisioning or pulling
    RUNNING = "running"  # runs, receives no traffic yet
    READY = "ready"  # receives traffic
    STOPPING = "stopping"  # on its way out: counts nowhere

    @property
    def progress(self) -> int:
        """Greater is further, in the order in which the server compares replicas."""
        return _PROGRESS[self]


_PROGRESS = {state: number for number, state in enumerate(ReplicaState)}


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as it is now.

    Attributes:
        key: What names it to the caller, unique in the service.
        number: Its replica number.
        group: Its replica group.
        state: How far it has come.
        fleet: The fleet it was placed in, as lanes name it; None while it has none.
        out_of_date: Whether it is of an older deployment.
        gives_way_to: The service whose minimum needs its place, see `next_reclaim`; empty for none.
        leaves: Whether it is to move away from its instance, since that is drained.
    """

    key: str
    number: int
    group: str = "0"
    state: ReplicaState = ReplicaState.READY
    fleet: str | None = None
    out_of_date: bool = False
    gives_way_to: str = ""
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """One replica group.

    Attributes:
        name: Its name.
        wanted: Replicas it should have now.
        router: Whether its replica is the service's router.
        lanes: Lanes of its own, which replace the service's; None where it has none.
    """

    name: str = "0"
    wanted: int = 1
    router: bool = False
    lanes: tuple[Lane, ...] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the room in a fleet: an idle instance, or those that may still be created.

    Attributes:
        left: Its idle blocks, or the instances; None is no limit.
        takes: By group, how many of these one replica takes; no other group has a place here.
    """

    left: int | None
    takes: Mapping[str, int]

    def holds(self, group: str) -> int | None:
        """How many replicas of a group it holds if nothing else takes it; None is no limit."""
        takes = self.takes.get(group)
        if takes is None:
            return 0
        return None if self.left is None else self.left // takes

    @property
    def most(self) -> int:
        """How many replicas it holds of the group that takes least; 0 where it has no limit."""
        return (self.left or 0) // min(self.takes.values(), default=1)

    def less(self, group: str) -> Part:
        """What is left of it beside one more replica of a group."""
        return self if self.left is None else Part(self.left - self.takes[group], self.takes)


@dataclass(frozen=True, slots=True)
class Room:
    """How many more replicas a fleet can take, beyond those that were placed in it.

    Attributes:
        more: Idle matching capacity and what `nodes.max` still allows, in replicas of the groups
            that take least; None is not known and counts as unlimited.
        more_of: Limits of single groups, whose replicas need more than others, or other instances.
        why: Why there is no more, for people to read; a `Line` where that has a code.
        why_of: The same of single groups, where their reason is another.
        parts: Of what it is made, in the order in which it is filled: a replica placed counts
            against the groups that could have had its part. Where no part is left for it, or none
            is told, it counts as one against every limit.
        endless: Whether None is known to be no limit: the fleet has no maximum of nodes.
    """

    more: int | None = None
    more_of: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    why_of: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    endless: bool = False

    @classmethod
    def of_parts(
        cls,
        parts: Sequence[Part],
        groups: Collection[str],
        *,
        unknown: Container[str] = (),
        kept: int = 0,
        why: str = "",
        why_of: Mapping[str, str] | None = None,
    ) -> Room:
        """The room that parts make.

        Args:
            parts: The parts, in the order in which they are filled.
            groups: All groups that may be placed in the fleet.
            unknown: Those of which it is not known what fits.
            kept: Places that are given away and not taken yet.
            why: Why there is no more.
            why_of: The same of single groups.
        """
        totals = {group: None if group in unknown else _held(parts, group) for group in groups}
        limits = {group: max(n - kept, 0) for group, n in totals.items() if n is not None}
        more = None
        if limits and len(limits) == len(totals):
            more = max(sum(part.most for part in parts) - kept, 0)
        endless = len(limits) < len(totals) and not any(group in unknown for group in totals)
        if len(totals) < 2:
            return cls(more, why=why, why_of=why_of or {}, endless=endless)
        return cls(more, limits, why, why_of or {}, tuple(parts), endless)


def take_part(parts: list[Part], group: str) -> tuple[Part, Part] | None:
    """Places a replica in the first part that has a place for it.

    Args:
        parts: The parts; what is left of that one replaces it.
        group: The replica's group.

    Returns:
        The part before and after; None where none has a place.
    """
    for place, part in enumerate(parts):
        if part.holds(group) != 0:
            parts[place] = part.less(group)
            return part, parts[place]
    return None


def _held(parts: Iterable[Part], group: str) -> int | None:
    total = 0
    for part in parts:
        holds = part.holds(group)
        if holds is None:
            return None
        total += holds
    return total


@dataclass(frozen=True, slots=True)
class Service:
    """Everything the engine looks at. The order of `replicas` plays no part.

    Attributes:
        lanes: The service's lanes, shared by the groups without lanes of their own.
        groups: The replica groups, in the order of the configuration.
        replicas: The replicas that have not ended.
        rooms: By fleet; a fleet that is not in it has room that is not known.
        cooldowns: By pool (`SHARED`, or the group with lanes of its own) and fleet.
    """

    lanes: tuple[Lane, ...] = ()
    groups: tuple[Group, ...] = (Group(),)
    replicas: tuple[Replica, ...] = ()
    rooms: Mapping[str, Room] = field(default_factory=dict)
    cooldowns: Mapping[tuple[str, str], Cooldown] = field(default_factory=dict)
