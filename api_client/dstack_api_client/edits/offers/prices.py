"""What a replica costs in a fleet, and by how much an edit changes the price, as far as known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dstack_api_client.analysis.requirements import Requirements, idle_blocks
from dstack_api_client.analysis.spot_policies import SpotPolicy
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.model.fleet import INSTANCE_GONE, Fleet, Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import ONLY_GROUP, mapping


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """An offer in the server's plan for a replica group."""

    group: str
    backend: str
    region: str
    instance: str
    spot: bool
    price: float
    """Dollars per hour."""
    availability: str
    """`available`, `idle`, `busy`, `not_available`, `no_quota`, `unknown`, ..."""
    fleet: str = ""
    """The fleet that it is for, as lanes name it; empty where the server does not say."""
    share: float = 1.0
    """The part of the instance that a replica takes."""

    @property
    def usable(self) -> bool:
        """Whether a replica could start on it, as far as the server knows."""
        return self.availability not in _NO_USE

    @property
    def is_new(self) -> bool:
        """Whether it is for an instance that is still to be created."""
        return self.availability not in _EXIST


_NO_USE = frozenset({"not_available", "no_quota", "no_balance", "busy"})
_EXIST = frozenset({"idle", "busy"})


@dataclass(frozen=True)
class Prices:
    """What replicas of a service cost, under an edit.

    Attributes:
        service: The service as it runs.
        snapshot: Where it is.
        needs: By group, what a replica asks for after the edit.
        replaced: The groups whose replicas no longer fit: what those that run cost tells nothing.
        offers: Those of the server's plan.
    """

    service: Service
    snapshot: Snapshot
    needs: Mapping[str, Requirements] = field(default_factory=dict)
    replaced: Collection[str] = ()
    offers: Sequence[PlanOffer] = ()

    def of_replica(self, group: str, number: int) -> float | None:
        """Dollars per hour of a replica that runs."""
        return self._by_number.get((group, number))

    def in_fleet(self, fleet_name: str, group: str) -> float | None:
        """Dollars per hour of the next replica of a group that starts in a fleet.

        By the cheapest idle instance that holds it and that none before it took, which dstack takes
        first; else by what the group's own replicas there cost; else by the cheapest offer; else by
        an instance of the fleet that would hold it. None where none of them tells.
        """
        fleet = self.snapshot.fleet_named(fleet_name)
        if fleet is not None and fleet.kind == "ssh":
            return 0.0
        at = (fleet_name, group)
        if at not in self._idle:
            self._idle[at] = self._idle_in(fleet, group)
        idle = self._idle[at]
        while idle:
            instance, blocks = idle[-1]
            if idle_blocks(instance) - self._taken[instance.id] >= blocks:
                self._taken[instance.id] += blocks
                return _share(instance, blocks)
            idle.pop()
        if at not in self._in_fleet:
            self._in_fleet[at] = self._price_in_fleet(fleet_name, fleet, group)
        return self._in_fleet[at]

    def _idle_in(self, fleet: Fleet | None, group: str) -> list[tuple[Instance, int]]:
        """Idle instances that hold a replica with the blocks it takes, the cheapest last."""
        need = self.needs.get(group, _ANY)
        idle = [each for each in self._instances(fleet) if idle_blocks(each)]
        found = [(each, blocks) for each in idle if (blocks := need.blocks_in(each))]
        return sorted(found, key=lambda each: each[0].price or 0.0, reverse=True)

    def _price_in_fleet(self, fleet_name: str, fleet: Fleet | None, group: str) -> float | None:
        """That of one for which no idle instance is left."""
        if fleet is not None and group not in self.replaced:
            own = self._own.get((group, fleet.id))
            if own:
                return sum(own) / len(own)
        offered = self.offered(group, fleet_name, fleet)
        if offered is not None:
            return offered
        need = self.needs.get(group, _ANY)
        held = [(each, need.blocks_in(each)) for each in self._instances(fleet)]
        cheapest = min(
            ((each, blocks) for each, blocks in held if blocks),
            key=lambda each: each[0].price or 0.0,
            default=None,
        )
        return None if cheapest is None else _share(*cheapest)

    def offered(self, group: str, fleet_name: str = "", fleet: Fleet | None = None) -> float | None:
        """The price of the cheapest offer for a group, of those for the fleet where there are.

        Once an idle instance of the fleet was taken, those for new ones come first.
        """
        need = self.needs.get(group, _ANY)
        mine = [
            offer
            for offer in self.offers
            if (offer.group or ONLY_GROUP) == group
            and offer.usable
            and (need.spot is SpotPolicy.AUTO or offer.spot == (need.spot is SpotPolicy.SPOT))
        ]
        exact = [offer for offer in mine if offer.fleet and offer.fleet == fleet_name]
        found = exact or [offer for offer in mine if not offer.fleet and _fits(offer, fleet)]
        if any(each.id in self._taken for each in self._instances(fleet)):
            found = [offer for offer in found if offer.is_new] or found
        return min((offer.price * offer.share for offer in found), default=None)

    @cached_property
    def _active(self) -> list[Replica]:
        return self.snapshot.active_in(self.service)

    @cached_property
    def _by_number(self) -> dict[tuple[str, int], float | None]:
        """What each replica costs, by its group and number."""
        return {
            (replica.group, replica.key.replica_num): replica.price
            for replica in reversed(self._active)
        }

    @cached_property
    def _own(self) -> dict[tuple[str, str | None], list[float]]:
        """What replicas cost, by their group and fleet."""
        found: dict[tuple[str, str | None], list[float]] = {}
        for replica in self._active:
            if replica.price is not None:
                found.setdefault((replica.group, replica.fleet_id), []).append(replica.price)
        return found

    @cached_property
    def _in_fleet(self) -> dict[tuple[str, str], float | None]:
        """What `in_fleet` found where no idle instance is left, by fleet and group."""
        return {}

    @cached_property
    def _idle(self) -> dict[tuple[str, str], list[tuple[Instance, int]]]:
        """The idle instances that `in_fleet` may still take, by fleet and group."""
        return {}

    @cached_property
    def _taken(self) -> Counter[str]:
        """Blocks of idle instances that `in_fleet` took, by the instance's id."""
        return Counter()

    def _instances(self, fleet: Fleet | None) -> list[Instance]:
        if fleet is None:
            return []
        return [
            instance
            for instance in self.snapshot.instances.values()
            if instance.fleet_id == fleet.id
            and instance.price is not None
            and instance.status not in INSTANCE_GONE
        ]


_ANY = Requirements(spot=SpotPolicy.AUTO)


def _share(instance: Instance, blocks: int) -> float:
    return (instance.price or 0.0) * blocks / instance.total_blocks


def _fits(offer: PlanOffer, fleet: Fleet | None) -> bool:
    if fleet is None:
        return True
    if fleet.spot_policy in ("spot", "on-demand") and offer.spot != (fleet.spot_policy == "spot"):
        return False
    regions = _setting(fleet.spec, "regions")
    if regions and offer.region not in regions:
        return False
    return not fleet.backends or offer.backend in fleet.backends


def _setting(spec: Mapping[str, Any], name: str) -> Any:
    value = configuration_of(spec).get(name)
    return mapping(spec.get("profile")).get(name) if value is None else value
