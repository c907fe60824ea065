"""What a drain does to the price of the services on what is drained."""

from __future__ import annotations

from dataclasses import dataclass

from dstack_api_client.analysis.requirements import requirements_of
from dstack_api_client.edits.offers.prices import Prices
from dstack_api_client.model.cordon import DrainPlan, Occupant
from dstack_api_client.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class DrainPrice:
    """Dollars per hour of the services that are there.

    Attributes:
        now: What they cost now.
        after: What they cost once all has moved that can; None where that is not known.
    """

    now: float
    after: float | None


def price_of_drain(snapshot: Snapshot, plan: DrainPlan) -> DrainPrice | None:
    """The price of what moves and stops, by the same figures as a what-if.

    Args:
        snapshot: The project.
        plan: What the drain does.

    Returns:
        None where no replica of a service of the project is concerned.
    """
    leaving: dict[str, list[Occupant]] = {}
    for each in plan.occupants:
        if each.project == snapshot.project and each.run_type == "service" and each.job == 0:
            leaving.setdefault(each.run, []).append(each)
    now, after = 0.0, 0.0
    known = True
    for name, occupants in leaving.items():
        service = snapshot.service_named(name)
        if service is None:
            return None
        prices = Prices(service, snapshot, requirements_of(service.spec))
        now += service.price
        after += service.price
        for each in occupants:
            if each.action == "stay":
                continue
            of_replica = prices.of_replica(each.group, each.replica)
            there = prices.in_fleet(each.to, each.group) if each.to is not None else 0.0
            known = known and of_replica is not None and there is not None
            after += (there or 0.0) - (of_replica or 0.0)
    return DrainPrice(now, max(after, 0.0) if known else None) if leaving else None
