"""What the engine is told: replicas, groups, and how much the fleets can take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .cooldown import Cooldown
from .lanes import Lane

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
class Room:
    """How many more replicas a fleet can take, beyond those that were placed in it.

    Attributes:
        more: Idle matching capacity and what `nodes.max` still allows, in replicas; None is not
            known and counts as unlimited.
        more_of: Tighter limits of single groups, whose replicas need more than others. Each
            replica placed counts as one against every limit.
        why: Why there is no more, for people to read.
        why_of: The same of single groups, where their reason is another.
    """

    more: int | None = None
    more_of: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    why_of: Mapping[str, str] = field(default_factory=dict)


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
