"""What one more replica in a fleet costs, as far as can be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.snapshot import INSTANCE_GONE, Fleet, Service, Snapshot


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

    @property
    def usable(self) -> bool:
        """Whether a replica could start on it, as far as the server knows."""
        return self.availability not in _NO_USE


_NO_USE = frozenset({"not_available", "no_quota", "no_balance", "busy"})


def price_in(
    fleet_name: str, service: Service, snapshot: Snapshot, offers: Iterable[PlanOffer] = ()
) -> float | None:
    """Dollars per hour of one replica of a service in a fleet.

    By what its replicas there cost, else an instance there, else the cheapest offer that fits the
    fleet; None where none of them tells.

    Args:
        fleet_name: The fleet as lanes name it.
        service: The service.
        snapshot: Where both are.
        offers: Offers of the server's plan.
    """
    fleet = _fleet(fleet_name, snapshot)
    if fleet is not None and fleet.kind == "ssh":
        return 0.0
    prices = [
        replica.price
        for key in service.replica_keys
        if (replica := snapshot.replicas.get(key)) is not None
        and fleet is not None
        and replica.fleet_id == fleet.id
        and replica.price is not None
    ]
    if prices:
        return sum(prices) / len(prices)
    if fleet is not None:
        whole = [
            instance.price
            for instance_id in fleet.instance_ids
            if (instance := snapshot.instances.get(instance_id)) is not None
            and instance.price is not None
            and instance.total_blocks == 1
            and instance.status not in INSTANCE_GONE
        ]
        if whole:
            return min(whole)
    fitting = [offer.price for offer in offers if _fits(offer, fleet)]
    return min(fitting, default=None)


def _fleet(name: str, snapshot: Snapshot) -> Fleet | None:
    project, slash, last = name.rpartition("/")
    for fleet in snapshot.fleets.values():
        if fleet.name == last and fleet.project == (project if slash else snapshot.project):
            return fleet
    return None


def _fits(offer: PlanOffer, fleet: Fleet | None) -> bool:
    if not offer.usable:
        return False
    if fleet is None:
        return True
    if fleet.spot_policy in ("spot", "on-demand") and offer.spot != (fleet.spot_policy == "spot"):
        return False
    regions = _setting(fleet.spec, "regions")
    if regions and offer.region not in regions:
        return False
    return not fleet.backends or offer.backend in fleet.backends


def _setting(spec: Mapping[str, Any], name: str) -> Any:
    value = (spec.get("configuration") or {}).get(name)
    return (spec.get("profile") or {}).get(name) if value is None else value
