"""The board: counts per lane and room per fleet, on which placing and stopping are played."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import Enum

from .cooldown import Cooldown
from .lane import Lane
from .lanes import in_order
from .model import SHARED, Group, Replica, ReplicaState, Service, take_part


class Block(Enum):
    """Why a lane takes no further replica."""

    MAXIMUM = "maximum"
    COOLDOWN = "cooldown"
    FULL = "full"


class Rooms:
    """Room of the fleets, shared by all pools."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._more = {
            fleet: max(room.more, 0)
            for fleet, room in service.rooms.items()
            if room.more is not None
        }
        self._more_of = {
            fleet: {group: max(more, 0) for group, more in room.more_of.items()}
            for fleet, room in service.rooms.items()
            if room.more_of
        }
        self._parts = {
            fleet: list(room.parts) for fleet, room in service.rooms.items() if room.parts
        }
        self._taken: Counter[tuple[str, str]] = Counter()

    def more(self, fleet: str) -> int | None:
        """How many more replicas fit; None is not known."""
        return self._more.get(fleet)

    def endless(self, fleet: str) -> bool:
        """Whether there is no limit to how many more fit."""
        room = self._service.rooms.get(fleet)
        return room is not None and room.endless

    def fits(self, fleet: str, group: str) -> bool:
        """Whether one more replica of a group fits."""
        if self._more.get(fleet, 1) <= 0:
            return False
        limits = self._more_of.get(fleet)
        return limits is None or limits.get(group, 1) > 0

    def take(self, fleet: str, group: str) -> None:
        """Places one replica of a group."""
        self._taken[fleet, group] += 1
        if fleet not in self._more_of and fleet not in self._parts:
            if fleet in self._more:
                self._more[fleet] -= 1
            return
        limits = self._more_of.get(fleet, {})
        taken = take_part(self._parts.get(fleet, []), group)
        if taken is None:
            most, less = 1, dict.fromkeys(limits, 1)
        else:
            before, after = taken
            most = before.most - after.most
            less = {name: (before.holds(name) or 0) - (after.holds(name) or 0) for name in limits}
        if fleet in self._more:
            self._more[fleet] -= most
        for name, lost in less.items():
            limits[name] -= lost

    def left_by_others(self, fleet: str, group: str) -> int | None:
        """How many of a group were placed, where others have taken places that it could have had.

        None where no other has, or it is not told of what the room is made.
        """
        own = self._taken[fleet, group]
        return own if fleet in self._parts and own < self.at_first(fleet, group) else None

    def at_first(self, fleet: str, group: str = "") -> int:
        """How many more fitted before any was placed; 0 where that was not known."""
        room = self._service.rooms.get(fleet)
        if room is None:
            return 0
        limits = (room.more, room.more_of.get(group))
        return max(0, min((limit for limit in limits if limit is not None), default=0))

    def why(self, fleet: str, group: str = "") -> str:
        """What the caller said of there being no more, for a group where it told."""
        room = self._service.rooms.get(fleet)
        return room.why_of.get(group, room.why) if room is not None else ""


class LaneCount:
    """One lane in play.

    Attributes:
        lane: The lane.
        least: The lane's minimum.
        most: The lane's maximum; None is no limit.
        place: Its place in the order of filling, from 0.
        workers: Replicas here that count towards the minimum.
        routers: Router replicas here.
        leaving: Workers among them that a rolling deployment is about to stop.
        drained: Workers among them that are to move away from their instances.
        members: The replicas by group, who goes first last.
    """

    __slots__ = (
        "cooldown",
        "drained",
        "lane",
        "least",
        "leaving",
        "members",
        "most",
        "place",
        "routers",
        "workers",
    )

    def __init__(self, lane: Lane, place: int, cooldown: Cooldown | None) -> None:
        self.lane = lane
        self.least = lane.min_replicas
        self.most = lane.max_replicas
        self.place = place
        self.cooldown = cooldown
        self.workers = 0
        self.routers = 0
        self.leaving = 0
        self.drained = 0
        self.members: dict[str, list[Replica]] = {}

    @property
    def count(self) -> int:
        """All replicas here."""
        return self.workers + self.routers

    @property
    def missing(self) -> int:
        """Workers short of the minimum; what is about to leave does not count."""
        return max(0, self.least - self.workers + self.leaving)

    @property
    def above_minimum(self) -> bool:
        """Whether a worker can go without breaking the minimum."""
        return self.workers > self.least

    @property
    def above_maximum(self) -> bool:
        """Whether there are more replicas than the maximum."""
        return self.most is not None and self.workers + self.routers > self.most


class Pool:
    """Groups that share lanes.

    Attributes:
        name: `SHARED`, or the name of the group with lanes of its own.
        groups: The groups, in the order of the configuration.
        lanes: The lanes in the order of filling.
        strays: Replicas in fleets that are not lane, by group, who goes first last.
        unplaced: Replicas without a fleet, by group, in the order in which they are placed.
    """

    def __init__(self, name: str, groups: list[Group], lanes: list[LaneCount]) -> None:
        self.name = name
        self.groups = groups
        self.lanes = lanes
        self.by_fleet = {count.lane.fleet: count for count in lanes}
        self.strays: dict[str, list[Replica]] = {group.name: [] for group in groups}
        self.unplaced: dict[str, list[Replica]] = {group.name: [] for group in groups}

    def spread(self, group: str) -> int:
        """In how many lanes a group has replicas."""
        return sum(1 for count in self.lanes if count.members.get(group))


class Board:
    """The state of a service, made from plain data and changed by each step that is played."""

    def __init__(self, service: Service, now: datetime) -> None:
        self.service = service
        self.rooms = Rooms(service)
        self.pools = _pools(service, now)
        self.groups = {group.name: group for group in service.groups}
        self.pool_of = {group.name: pool for pool in self.pools for group in pool.groups}
        self.active: dict[str, list[Replica]] = {group.name: [] for group in service.groups}
        self.removed: list[Replica] = []
        for replica in sorted(service.replicas, key=stopping_key, reverse=True):
            self._add(replica)
        for pool in self.pools:
            for waiting in pool.unplaced.values():
                waiting.sort(key=placing_key)
        self.rolling = {
            group
            for group, replicas in self.active.items()
            if any(replica.out_of_date for replica in replicas)
        }

    def _add(self, replica: Replica) -> None:
        if replica.state is ReplicaState.STOPPING:
            return
        if replica.group not in self.groups:
            self.removed.append(replica)
            return
        self.active[replica.group].append(replica)
        pool = self.pool_of.get(replica.group)
        if pool is None:
            return
        if replica.fleet is None:
            pool.unplaced[replica.group].append(replica)
            return
        count = pool.by_fleet.get(replica.fleet)
        if count is None:
            pool.strays[replica.group].append(replica)
            return
        self.count_in(count, replica)

    def count_in(self, count: LaneCount, replica: Replica) -> None:
        """Counts a replica that is in a lane; it goes first there."""
        count.members.setdefault(replica.group, []).append(replica)
        if self.groups[replica.group].router:
            count.routers += 1
        else:
            count.workers += 1
            count.drained += replica.leaves

    def block(self, count: LaneCount, group: str) -> Block | None:
        """Why a lane takes no further replica of a group; None when it takes one."""
        if count.most is not None and count.workers + count.routers >= count.most:
            return Block.MAXIMUM
        if count.cooldown is not None:
            return Block.COOLDOWN
        if not self.rooms.fits(count.lane.fleet, group):
            return Block.FULL
        return None

    def put(self, count: LaneCount, replica: Replica) -> None:
        """Places one more replica in a lane; it goes first there, being the newest."""
        self.rooms.take(count.lane.fleet, replica.group)
        self.count_in(count, replica)

    def drop(self, count: LaneCount, group: str) -> Replica:
        """Takes from a lane the replica of a group that goes first.

        The room it leaves is not given back: it is free only when the replica has ended.
        """
        gone = count.members[group].pop()
        if self.groups[group].router:
            count.routers -= 1
        else:
            count.workers -= 1
            count.drained -= gone.leaves
        return gone


def stopping_key(replica: Replica) -> tuple[bool, bool, bool, int, int, str]:
    """Sorts those that go first to the front, inside a lane.

    Those that leave a drained instance, those that give way, and then the stock server's order:
    out of date first, then least progressed, then highest number.
    """
    return (
        not replica.leaves,
        not replica.gives_way_to,
        not replica.out_of_date,
        replica.state.progress,
        -replica.number,
        replica.key,
    )


def placing_key(replica: Replica) -> tuple[int, str]:
    """Sorts replicas without a lane into the order in which they get one."""
    return (replica.number, replica.key)


def _pools(service: Service, now: datetime) -> list[Pool]:
    shared = [group for group in service.groups if group.lanes is None]
    owners: list[tuple[str, list[Group], Iterable[Lane]]] = [(SHARED, shared, service.lanes)]
    owners += [(group.name, [group], group.lanes) for group in service.groups if group.lanes]
    pools = []
    for name, groups, lanes in owners:
        ordered = in_order(tuple(lanes))
        if not groups or not ordered:
            continue
        counts = []
        for place, lane in enumerate(ordered):
            cooldown = service.cooldowns.get((name, lane.fleet))
            if cooldown is not None and not cooldown.cools(now):
                cooldown = None
            counts.append(LaneCount(lane, place, cooldown))
        pools.append(Pool(name, groups, counts))
    return pools
