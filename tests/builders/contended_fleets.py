"""Several services on the same fleets, played until nothing more happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from dstack_placement.engine import (
    Contender,
    Lane,
    Occupant,
    Reclaim,
    Room,
    Service,
    is_reclaimable,
    needs_places,
    next_actions,
    next_reclaim,
)
from tests.builders.placement_cases import FLEETS
from tests.builders.placement_services import NOW, all_ready, carry_out, service


@dataclass(frozen=True, slots=True)
class Claim:
    """One replica that was asked to give way.

    Attributes:
        short: The service that is short.
        fleet: Where.
        giver: The service of the replica.
        key: The replica's key.
    """

    short: str
    fleet: str
    giver: str
    key: str


class ContendedFleets:
    """Fleets of a fixed size, and services that share them.

    Args:
        sizes: How many replicas each fleet takes.
        services: The services by name.
        reclaims: How each of them reclaims.
        priorities: Their run priorities.
    """

    def __init__(
        self,
        sizes: dict[str, int],
        services: dict[str, Service],
        reclaims: dict[str, Reclaim],
        priorities: dict[str, int] | None = None,
    ) -> None:
        self.sizes = sizes
        self.services = dict(services)
        self.reclaims = reclaims
        self.priorities = priorities or {}
        self.claims: list[Claim] = []
        self.claimed: list[Claim] = []

    def missing(self) -> int:
        """How many replicas are short of minimums, in all."""
        return sum(
            max(lane.min_replicas - self.workers(name)[lane.fleet], 0)
            for name, service in self.services.items()
            for lane in service.lanes
        )

    def workers(self, name: str) -> Counter[str | None]:
        """The replicas of a service by fleet."""
        return Counter(replica.fleet for replica in self.services[name].replicas)

    def step(self, name: str) -> bool:
        """One look at a service, after which all it has started is ready.

        Returns:
            Whether anything happened.
        """
        before = (self.services[name], tuple(self.claims))
        seen = self.seen(name)
        self._claim(name, seen)
        self.services[name] = all_ready(carry_out(seen, next_actions(seen, now=NOW)))
        return before != (self.services[name], tuple(self.claims))

    def settle(self) -> None:
        """Looks at one service after the other until nothing happens any more."""
        for _ in range(100):
            happened = [self.step(name) for name in self.services]
            if not any(happened):
                return
        raise AssertionError("the services don't come to rest")

    def seen(self, name: str) -> Service:
        """A service with the room that there is for it, and its replicas that give way."""
        taken: Counter[str | None] = Counter()
        for other in self.services.values():
            # Those on hosts that are drained have none of the places that are left.
            taken += Counter(each.fleet for each in other.replicas if not each.leaves)
        kept = Counter(claim.fleet for claim in self.claims if claim.short != name)
        gives = {claim.key: claim.short for claim in self.claims if claim.giver == name}
        return replace(
            self.services[name],
            replicas=tuple(
                replace(replica, gives_way_to=gives.get(replica.key, ""))
                for replica in self.services[name].replicas
            ),
            rooms={
                fleet: Room(max(size - taken[fleet] - kept[fleet], 0))
                for fleet, size in self.sizes.items()
            },
        )

    def _claim(self, name: str, seen: Service) -> None:
        held = self.workers(name)
        short = {lane.fleet for lane in seen.lanes if held[lane.fleet] < lane.min_replicas}
        self.claims = [
            claim
            for claim in self.claims
            if claim.short != name or (claim.fleet in short and not self._is_over(claim, seen))
        ]
        for fleet in sorted(short):
            if any(claim.fleet == fleet for claim in self.claims):
                continue
            coming = [("", claim.fleet) for claim in self.claims if claim.short == name]
            if not is_reclaimable(seen, "", fleet, now=NOW, coming=coming):
                continue
            found = next_reclaim(
                self.reclaims[name],
                self.priorities.get(name, 0),
                [self.contender(other, fleet) for other in self.services if other != name],
                name=name,
                fleet=fleet,
                now=NOW,
            )
            if found is not None:
                claim = Claim(name, fleet, found.name, found.key)
                self.claims.append(claim)
                self.claimed.append(claim)

    def _is_over(self, claim: Claim, seen: Service) -> bool:
        """Whether the replica has given way, and its place is taken or of no use any more."""
        if claim.key in {replica.key for replica in self.services[claim.giver].replicas}:
            return False
        free = seen.rooms[claim.fleet].more
        return not free or not needs_places(seen, [("", claim.fleet)], now=NOW)

    def contender(self, name: str, fleet: str) -> Contender:
        """A service as another one in a fleet sees it."""
        seen = self.seen(name)
        there = {
            replica.key: Occupant(NOW)
            for replica in seen.replicas
            if replica.fleet == fleet and not replica.leaves
        }
        return Contender(name, self.priorities.get(name, 0), seen, there)


@st.composite
def contended_fleets(draw: st.DrawFn) -> ContendedFleets:
    """Two to four services whose replicas are anywhere in two or three fleets."""
    fleets = FLEETS[: draw(st.integers(2, 3))]
    services, priorities, reclaims = {}, {}, {}
    for number in range(draw(st.integers(2, 4))):
        name = f"s{number}"
        lanes = tuple(
            Lane(fleet, draw(st.integers(0, 2)), None, draw(st.integers(0, 2)))
            for fleet in draw(st.permutations(fleets))[: draw(st.integers(1, len(fleets)))]
        )
        where = [draw(st.sampled_from(lanes)).fleet for _ in range(draw(st.integers(0, 4)))]
        made = service(lanes, len(where), " ".join(where))
        # A key is unique among all of them.
        keyed = (replace(each, key=f"{name}{each.key}") for each in made.replicas)
        services[name] = replace(made, replicas=tuple(keyed))
        priorities[name] = draw(st.integers(0, 2))
        reclaims[name] = draw(st.sampled_from(Reclaim))
    taken: Counter[str | None] = Counter()
    for made in services.values():
        taken += Counter(replica.fleet for replica in made.replicas)
    sizes = {fleet: taken[fleet] + draw(st.integers(0, 2)) for fleet in fleets}
    return ContendedFleets(sizes, services, reclaims, priorities)
