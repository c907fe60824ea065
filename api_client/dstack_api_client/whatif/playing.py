"""Services played on, one step after the other, as their server places them.

A start that finds room succeeds at once, and what moves or stops leaves its place to others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from dstack_api_client.analysis.endings import lanes_decide
from dstack_api_client.analysis.lane_input import stored_lanes_of
from dstack_api_client.analysis.requirements import Requirements, requirements_of
from dstack_api_client.edits.offers.prices import Prices
from dstack_api_client.edits.outlook.giving_way import would_do
from dstack_api_client.edits.service.situation import as_it_is
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif.room_left import Left
from dstack_placement import engine
from dstack_placement.engine import Action

_ANY = Requirements()


def turn(service: Service) -> tuple[int, float, str]:
    """Sorts services as dstack looks at them: those of the highest priority first."""
    return -service.priority, service.submitted_at.timestamp(), service.name


@dataclass(frozen=True, slots=True)
class GivingWay:
    """A replica that gives way to the minimum of another service.

    Attributes:
        service: The service that it is of.
        number: Its number.
        fleet: Where it gives way.
        to: The fleet to which it moves.
        short: The service that gets its place.
    """

    service: str
    number: int
    fleet: str
    to: str
    short: str


class Played:
    """A service, with its replicas where they are by now.

    Attributes:
        service: As it is.
        managed: Whether lanes decide where its replicas go.
        needs: What a replica of each group asks for.
        begun: What the engine is told of it before anything is lost.
        homes: By the keys of the replicas that are left, the fleets in which they began.
        state: What the engine is told now, but for the rooms.
        reclaims: Who gives way to it.
        gives: Which of its replicas give way.
    """

    def __init__(
        self, left: Left, service: Service, asked: Mapping[str, int], lost: Collection[str] = ()
    ) -> None:
        snapshot = left.whole
        self.service = service
        self.managed = lanes_decide(snapshot, service)
        self.needs = requirements_of(service.spec)
        self.begun = as_it_is(snapshot, service, managed=self.managed)
        self.reclaims: list[GivingWay] = []
        self.gives: list[GivingWay] = []
        self._left = left
        self._places = {
            each.submission_id: each.instance_id for each in snapshot.active_in(service)
        }
        ready = (
            each if each.fleet is None else replace(each, state=engine.ReplicaState.READY)
            for each in self.begun.replicas
            if each.key not in lost and each.state is not engine.ReplicaState.STOPPING
        )
        groups = (
            replace(each, wanted=asked.get(each.name, each.wanted)) for each in self.begun.groups
        )
        self.state = replace(self.begun, replicas=tuple(ready), groups=tuple(groups))
        self.homes = {each.key: each.fleet for each in self.state.replicas}

    @property
    def seen(self) -> engine.Service:
        """What the engine is told now."""
        return replace(self.state, rooms=self._left.rooms(self.begun.rooms, self.needs))

    @property
    def can_change(self) -> bool:
        """Whether anything may be done once nothing was, as rooms are others."""
        return engine.depends_on_rooms(self.state)

    @cached_property
    def reclaim(self) -> engine.Reclaim:
        """Who has to give way to its minimums."""
        return stored_lanes_of(self.service).reclaim if self.managed else engine.Reclaim.OFF

    def plan(self) -> engine.Plan:
        """What it does now."""
        return engine.next_actions(self.seen, now=self._left.whole.observed_at)

    def carry_out(self, plan: engine.Plan) -> bool:
        """Does what a plan says.

        Returns:
            Whether that was anything.
        """
        happened = False
        for row in plan.replicas:
            if row.action is Action.STOP:
                self._drop(row.replica)
            elif row.to is not None:
                self.put(row.replica, row.to)
            happened |= row.action is Action.STOP or row.to is not None
        return happened

    def drain(self, keys: Collection[str]) -> None:
        """Has replicas move away from where they are, which takes nothing new any more."""
        replicas = (
            replace(each, leaves=each.leaves or each.key in keys) for each in self.state.replicas
        )
        self.state = replace(self.state, replicas=tuple(replicas))

    @property
    def price(self) -> float | None:
        """Dollars per hour where its replicas are by now; None where a price is not known."""
        prices = Prices(self.service, self._left.whole, self.needs)
        total = 0.0
        for each in self.state.replicas:
            if each.fleet is None:
                continue
            if each.fleet == self.homes.get(each.key):
                price = prices.of_replica(each.group, each.number)
            else:
                price = prices.in_fleet(each.fleet, each.group)
            if price is None:
                return None
            total += price
        return total

    def put(self, replica: engine.Replica, fleet: str) -> None:
        """Places a replica in a fleet, out of which it moves where it is in one."""
        place = self._left.take(fleet, self._need(replica))
        if replica.fleet is not None:
            self._drop(replica)
        there = replace(
            replica, fleet=fleet, state=engine.ReplicaState.READY, gives_way_to="", leaves=False
        )
        self._places[replica.key] = place
        others = (each for each in self.state.replicas if each.key != replica.key)
        self.state = replace(self.state, replicas=(*others, there))

    def _drop(self, replica: engine.Replica) -> None:
        if replica.fleet is not None:
            self._left.give(replica.fleet, self._places.get(replica.key), self._need(replica))
        others = (each for each in self.state.replicas if each.key != replica.key)
        self.state = replace(self.state, replicas=tuple(others))

    def _need(self, replica: engine.Replica) -> Requirements:
        return self.needs.get(replica.group, _ANY)

    def short_in(self) -> list[str]:
        """The fleets in which one more place would go to its minimums, and none is free."""
        seen, now = self.seen, self._left.whole.observed_at
        return sorted(
            lane.fleet
            for lane in engine.preview(seen, now=now).lanes
            if lane.deficit and engine.is_reclaimable(seen, lane.pool, lane.fleet, now=now)
        )

    def contender(self, fleet: str, needs: Collection[Requirements]) -> engine.Contender | None:
        """It as another service in a fleet sees it; None where no place of it would do.

        Args:
            fleet: The fleet.
            needs: What replicas of the other service ask for.
        """
        snapshot = self._left.snapshot
        found = {}
        since = {each.submission_id: each.submitted_at for each in snapshot.active_in(self.service)}
        for replica in self.state.replicas:
            if replica.fleet != fleet:
                continue
            place = self._places.get(replica.key)
            # An instance that is created in thought is as it has to be.
            if place is None or would_do(snapshot, place, self._need(replica), needs):
                newest = snapshot.observed_at + timedelta(seconds=replica.number)
                found[replica.key] = engine.Occupant(since.get(replica.key, newest))
        if not found:
            return None
        return engine.Contender(self.service.name, self.service.priority, self.seen, found)


class Play:
    """The services of a project that loses something, or is asked for more.

    Args:
        snapshot: The project as it is.
        left: The room that is left.
    """

    def __init__(self, snapshot: Snapshot, left: Left) -> None:
        self._snapshot = snapshot
        self._left = left
        self._others: dict[str, Played] = {}
        self.played: dict[str, Played] = {}
        self.ended: set[str] = set()

    def settle(self) -> None:
        """Plays on until nothing happens any more: who gives way is asked once all is at rest."""
        # Each move and each reclaim brings a lane nearer to what it should have.
        most = sum(len(each.state.replicas) + 1 for each in self.played.values())
        for _ in range(2 * most):
            going = [
                each
                for each in self.played.values()
                if each.service.id not in self.ended and each.can_change
            ]
            moved = [each.carry_out(each.plan()) for each in going]
            if not any(moved) and not any(map(self._has_reclaimed, going)):
                return

    def _has_reclaimed(self, short: Played) -> bool:
        """Whether a replica of another service gives way to one that is short."""
        if short.reclaim is engine.Reclaim.OFF:
            return False
        for fleet in short.short_in():
            others = {each.service.name: each for each in self._in(fleet, apart_from=short)}
            needs = [*short.needs.values()]
            contenders = (each.contender(fleet, needs) for each in others.values())
            found = engine.next_reclaim(
                short.reclaim,
                short.service.priority,
                filter(None, contenders),
                name=short.service.name,
                fleet=fleet,
                now=self._snapshot.observed_at,
            )
            if found is not None:
                self._give_way(others[found.name], found, short, fleet)
                return True
        return False

    def _give_way(self, giver: Played, found: engine.Reclaiming, short: Played, fleet: str) -> None:
        replica = next(each for each in giver.state.replicas if each.key == found.key)
        giver.put(replica, found.to)
        # The place that it leaves is kept for the service that is short.
        short.carry_out(short.plan())
        way = GivingWay(found.name, found.number, fleet, found.to, short.service.name)
        giver.gives.append(way)
        short.reclaims.append(way)
        self.played.setdefault(giver.service.id, giver)

    def _in(self, fleet: str, *, apart_from: Played) -> Iterator[Played]:
        """The services that have replicas in a fleet and lanes to move them to."""
        for service in self._snapshot.services.values():
            if service.gone or service.id in {*self.ended, apart_from.service.id}:
                continue
            played = self.played.get(service.id) or self._others.get(service.id)
            if played is None:
                played = self._others[service.id] = Played(self._left, service, {})
            if played.managed and any(each.fleet == fleet for each in played.state.replicas):
                yield played
