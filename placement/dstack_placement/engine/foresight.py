"""Foresight: who would give way to the minimums of a service, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .lines import Code, Line
from .model import ReplicaState, Room, Service
from .planning import preview
from .reclaim import Contender, Reclaim, Reclaiming, is_reclaimable, next_reclaim

#: By fleet, the other services that have replicas there.
Contenders = Mapping[str, Sequence[Contender]]


@dataclass(frozen=True, slots=True)
class GivingWay:
    """One replica that would give way.

    Attributes:
        fleet: Where.
        reclaiming: Which one, and to where.
    """

    fleet: str
    reclaiming: Reclaiming

    def line(self, name: str) -> Line:
        """It as a sentence.

        Args:
            name: The service that is short.
        """
        who = self.reclaiming
        text = (
            f"Replica {who.number} of {who.name} gives way in {self.fleet} and moves to {who.to}:"
            f" {name} is below its minimum there."
        )
        return Line(text, Code.FORESEEN)


@dataclass(frozen=True, slots=True)
class Foresight:
    """What reclaiming would bring.

    Attributes:
        service: The service with the room that others leave it; `preview` says what it does then.
        ways: Who gives way, in order.
    """

    service: Service
    ways: tuple[GivingWay, ...] = ()


def foresee(
    service: Service,
    reclaim: Reclaim,
    priority: int,
    contenders: Contenders,
    *,
    name: str,
    now: datetime,
) -> Foresight:
    """Plays reclaiming to its end: by the same rules, as if every start succeeded.

    Args:
        service: The service that may be short, as it is or edited.
        reclaim: Who has to give way.
        priority: The run priority of the service.
        contenders: The other services in each of its fleets.
        name: The name of the service.
        now: The time, for cooldowns.
    """
    ways: list[GivingWay] = []
    state, others = service, contenders
    while reclaim is not Reclaim.OFF:
        found = _next(state, reclaim, priority, others, name=name, now=now)
        if found is None:
            break
        ways.append(found)
        others = _moved(others, found)
        state = _with_less_room(_filled(state, found.fleet, now), found.reclaiming.to)
    freed = Counter(way.fleet for way in ways)
    taken = Counter(way.reclaiming.to for way in ways)
    rooms = dict(service.rooms)
    for fleet, count in taken.items():
        rooms[fleet] = _less(rooms.get(fleet, Room()), count)
    rooms |= {fleet: Room(count) for fleet, count in freed.items()}
    return Foresight(replace(service, rooms=rooms), tuple(ways))


def _next(
    service: Service,
    reclaim: Reclaim,
    priority: int,
    contenders: Contenders,
    *,
    name: str,
    now: datetime,
) -> GivingWay | None:
    lanes = preview(service, now=now).lanes
    for pool, fleet in sorted((lane.pool, lane.fleet) for lane in lanes if lane.deficit):
        if is_reclaimable(service, pool, fleet, now=now):
            found = next_reclaim(
                reclaim, priority, contenders.get(fleet, ()), name=name, fleet=fleet, now=now
            )
            if found is not None:
                return GivingWay(fleet, found)
    return None


def _moved(contenders: Contenders, way: GivingWay) -> Contenders:
    """The others once one has moved."""
    gone = way.reclaiming
    return {
        fleet: [
            replace(
                each,
                service=_with_less_room(
                    _put(each.service, gone.key, gone.to) if each.name == gone.name
                    else each.service,
                    gone.to,
                ),
                occupants={key: at for key, at in each.occupants.items() if key != gone.key},
            )
            for each in there
        ]
        for fleet, there in contenders.items()
    }  # fmt: skip


def _put(service: Service, key: str, fleet: str) -> Service:
    replicas = (
        replace(each, fleet=fleet) if each.key == key else each for each in service.replicas
    )
    return replace(service, replicas=tuple(replicas))


def _with_less_room(service: Service, fleet: str) -> Service:
    if fleet not in service.rooms:
        return service
    return replace(service, rooms={**service.rooms, fleet: _less(service.rooms[fleet], 1)})


def _less(room: Room, count: int) -> Room:
    return replace(
        room,
        more=None if room.more is None else max(room.more - count, 0),
        more_of={group: max(more - count, 0) for group, more in room.more_of.items()},
    )


def _filled(service: Service, fleet: str, now: datetime) -> Service:
    """The service once one of its replicas has the place that is free in a fleet."""
    with_place = replace(service, rooms={**service.rooms, fleet: Room(1)})
    row = next(row for row in preview(with_place, now=now).replicas if row.to == fleet)
    there = replace(row.replica, fleet=fleet, state=ReplicaState.READY)
    others = (each for each in service.replicas if each.key != row.replica.key)
    return replace(service, replicas=(*others, there))
