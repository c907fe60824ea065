"""Reclaiming: which replica of another service gives way to a minimum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from .board import Block, Board
from .model import Room, Service
from .planning import Action, next_actions, preview


class Reclaim(str, Enum):
    """From which services the minimums of a service take places."""

    OFF = "off"
    LOWER = "lower"  # those of lower run priority
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Occupant:
    """A replica of which the place would do for the service that is short.

    Attributes:
        since: When it was submitted.
        load: How busy it is, in any unit that is the same for all; None where it is not known.
    """

    since: datetime
    load: float | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """Another service in the fleet.

    Attributes:
        name: Its name, unique among the contenders.
        priority: Its run priority.
        service: The service as it is.
        occupants: By key, those of its replicas in the fleet whose place would do.
    """

    name: str
    priority: int
    service: Service
    occupants: Mapping[str, Occupant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reclaiming:
    """One replica that gives way.

    Attributes:
        name: The service that it is of.
        key: Its key there.
        number: Its number there.
        to: The fleet to which it moves.
    """

    name: str
    key: str
    number: int
    to: str


def is_reclaimable(
    service: Service,
    pool: str,
    fleet: str,
    *,
    now: datetime,
    coming: Collection[tuple[str, str]] = (),
) -> bool:
    """Whether one more place in a fleet would go to a minimum of a service, and none is free.

    It is not while the lane cools down or is at its maximum, nor during a rolling deployment, nor
    where no replica of the service could take the place.

    Args:
        service: The service that may be short.
        pool: The pool of its lane.
        fleet: The lane's fleet.
        now: The time, for cooldowns.
        coming: Pools and fleets of places that others leave to it already: it has to need them too.
    """
    board = Board(service, now)
    found = next((each for each in board.pools if each.name == pool), None)
    count = found.by_fleet.get(fleet) if found is not None else None
    if found is None or count is None or not count.missing:
        return False
    if any(group.name in board.rolling for group in found.groups):
        return False
    if board.block(count, "") is not Block.FULL:
        return False
    return needs_places(service, [(pool, fleet), *coming], now=now)


def needs_places(service: Service, places: Collection[tuple[str, str]], *, now: datetime) -> bool:
    """Whether a service would have a replica in each of some places, were they free.

    Args:
        service: The service.
        places: Their pools and fleets.
        now: The time, for cooldowns.
    """
    rooms = dict(service.rooms)
    for fleet, number in Counter(fleet for _, fleet in places).items():
        more = rooms.get(fleet, Room()).more
        rooms[fleet] = Room(None if more is None else max(more, number))
    plan = preview(replace(service, rooms=rooms), now=now)
    filled = {(lane.pool, lane.fleet) for lane in plan.lanes if lane.after > lane.placed}
    return filled.issuperset(places)


def next_reclaim(
    reclaim: Reclaim,
    priority: int,
    contenders: Iterable[Contender],
    *,
    name: str,
    fleet: str,
    now: datetime,
) -> Reclaiming | None:
    """The replica that gives way to a service that is below its minimum in a full fleet.

    It is one that its own service holds there above its minimum and that finds room in another of
    its lanes, now: its service has what it wants, and nothing of it starts, stops or moves. Of
    several it is that of the lowest run priority, then of the least load, then the newest.

    Args:
        reclaim: Who has to give way.
        priority: The run priority of the service that is short.
        contenders: The other services in the fleet.
        name: The name of the service that is short.
        fleet: The fleet.
        now: The time, for cooldowns.
    """
    if reclaim is Reclaim.OFF:
        return None
    candidates = [
        (contender, key, occupant)
        for contender in contenders
        if reclaim is Reclaim.ANY or contender.priority < priority
        for key, occupant in contender.occupants.items()
    ]
    candidates.sort(key=_order)
    for contender, key, _ in candidates:
        service = _giving_way(contender.service, key, name)
        for row in next_actions(service, now=now).doing(Action.MOVE):
            if row.replica.key == key and row.to not in (None, fleet):
                return Reclaiming(contender.name, key, row.replica.number, str(row.to))
    return None


def _order(candidate: tuple[Contender, str, Occupant]) -> tuple[int, bool, float, float, str, str]:
    contender, key, occupant = candidate
    # One whose load is not known may be the busiest of all.
    unknown, load = occupant.load is None, occupant.load or 0.0
    newest_first = -occupant.since.timestamp()
    return (contender.priority, unknown, load, newest_first, contender.name, key)


def _giving_way(service: Service, key: str, name: str) -> Service:
    replicas = tuple(
        replace(replica, gives_way_to=name) if replica.key == key else replica
        for replica in service.replicas
    )
    return replace(service, replicas=replicas)
