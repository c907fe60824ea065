"""What a drain brings besides what moves away: who gives way to minimums, and the price.

The server says what moves where, and which minimums break. Whose replicas then give way to these
is played on here, as for a loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dstack_api_client.analysis.requirements import Requirements, requirements_of
from dstack_api_client.edits.offers.prices import Prices
from dstack_api_client.model.cordon import Cordon, DrainPlan, Occupant
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.placement import LanePlacement, Placement
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif.loss import Loss
from dstack_api_client.whatif.playing import GivingWay, Play, Played, turn
from dstack_api_client.whatif.room_left import Left


@dataclass(frozen=True, slots=True)
class DrainPrice:
    """Dollars per hour of the services that are there, and of those that give way to them.

    Attributes:
        now: What they cost now.
        after: What they cost once all has moved that can; None where that is not known.
    """

    now: float
    after: float | None


@dataclass(frozen=True, slots=True)
class DrainOutcome:
    """What a drain brings.

    Attributes:
        gives: Replicas that give way to minimums that it breaks, in order.
        price: By the same figures as a what-if; None where no replica of a service of the project
            is concerned.
    """

    gives: tuple[GivingWay, ...] = ()
    price: DrainPrice | None = None


def outcome_of_drain(
    snapshot: Snapshot, fleet_name: str, number: int | None, plan: DrainPlan
) -> DrainOutcome:
    """What a drain brings besides what moves away.

    Args:
        snapshot: The project.
        fleet_name: The fleet that is drained.
        number: The number of its instance; None for the whole fleet.
        plan: What the server says of the drain.
    """
    found = [
        (service, occupants)
        for name, occupants in _by_service(snapshot, plan).items()
        if (service := snapshot.service_named(name)) is not None
    ]
    leaving = sorted(found, key=lambda each: turn(each[0]))
    played: dict[str, Played] = {}
    if (fleet := snapshot.fleet_named(fleet_name)) is not None:
        played = _played(_cordoned(snapshot, fleet, number), leaving)
    gives = tuple(way for each in played.values() for way in each.reclaims)
    return DrainOutcome(gives, _price(snapshot, leaving, played))


def _by_service(snapshot: Snapshot, plan: DrainPlan) -> Mapping[str, list[Occupant]]:
    found: dict[str, list[Occupant]] = {}
    for each in plan.occupants:
        if each.project == snapshot.project and each.run_type == "service" and each.job == 0:
            found.setdefault(each.run, []).append(each)
    return found


def _played(
    snapshot: Snapshot, leaving: Iterable[tuple[Service, Sequence[Occupant]]]
) -> dict[str, Played]:
    """The services of which replicas move away, once nothing happens any more, and who gives way.

    Args:
        snapshot: The project, with the cordon.
        leaving: The services there, in the order of their turns, and what is there of them.
    """
    left = Left(snapshot, Loss())
    play = Play(snapshot, left)
    for service, occupants in leaving:
        numbers = {each.replica for each in occupants if each.action == "move"}
        keys = (
            each.submission_id
            for each in snapshot.active_in(service)
            if each.key.replica_num in numbers
        )
        played = Played(left, service, {})
        if played.managed:
            played.drain([*keys])
            play.played[service.id] = played
    play.settle()
    return play.played


def _cordoned(snapshot: Snapshot, fleet: Fleet, number: int | None) -> Snapshot:
    """The project with the cordon that the drain begins with, and without the room there."""
    numbered = {snapshot.instances[key].num: snapshot.instances[key] for key in fleet.instance_ids}
    instance = numbered.get(number) if number is not None else None
    key = fleet.id if instance is None else instance.id
    now = snapshot.observed_at
    cordon = Cordon(key, fleet.name, number, user="", reason="", since=now, draining_since=now)
    return replace(
        snapshot,
        cordons={**snapshot.cordons, key: cordon},
        placements={
            id_: _with_less_room(each, fleet, instance, snapshot.services.get(id_))
            for id_, each in snapshot.placements.items()
        },
    )


def _with_less_room(
    placement: Placement, fleet: Fleet, instance: Instance | None, service: Service | None
) -> Placement:
    """A placement whose rooms, which the server told before the cordon, go without what is there.

    Args:
        placement: As it was told.
        fleet: The fleet.
        instance: What of it is cordoned; None for all.
        service: The service that the placement is of.
    """
    needs = requirements_of(service.spec).values() if service is not None else ()
    idle = max((_idle_places(need, instance) for need in needs), default=0)

    def less(lane: LanePlacement) -> LanePlacement:
        if lane.fleet != fleet.name:
            return lane
        if instance is None:
            return replace(lane, room=0)
        return replace(lane, room=None if lane.room is None else max(lane.room - idle, 0))

    return replace(placement, lanes=tuple(map(less, placement.lanes)))


def _idle_places(need: Requirements, instance: Instance | None) -> int:
    return (need.idle_places(instance) or 0) if instance is not None else 0


def _price(
    snapshot: Snapshot,
    leaving: Iterable[tuple[Service, Sequence[Occupant]]],
    played: Mapping[str, Played],
) -> DrainPrice | None:
    prices: dict[str, tuple[float, float | None]] = {
        service.id: (service.price, _price_after(snapshot, service, occupants))
        for service, occupants in leaving
    }
    prices |= {
        each.service.id: (each.service.price, each.price)
        for each in played.values()
        if each.gives or each.reclaims
    }
    if not prices:
        return None
    after = [each for _, each in prices.values() if each is not None]
    known = len(after) == len(prices)
    return DrainPrice(sum(now for now, _ in prices.values()), sum(after) if known else None)


def _price_after(
    snapshot: Snapshot, service: Service, occupants: Iterable[Occupant]
) -> float | None:
    prices = Prices(service, snapshot, requirements_of(service.spec))
    total = service.price
    for each in occupants:
        if each.action == "stay":
            continue
        of_replica = prices.of_replica(each.group, each.replica)
        there = prices.in_fleet(each.to, each.group) if each.to is not None else 0.0
        if of_replica is None or there is None:
            return None
        total += there - of_replica
    return max(total, 0.0)
