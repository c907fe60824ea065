"""Which starts of a plan are sure to find a place, as far as the server shows it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from dstack_api_client.analysis.requirements import Requirements
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.dryrun import DryRun
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import ONLY_GROUP

_SURE = "available"


def unsure_fleets(
    edit: ServiceEdit, outlook: DryRun, snapshot: Snapshot, offers: Iterable[PlanOffer]
) -> tuple[str, ...]:
    """The fleets in which replicas start without a place that is known.

    A place is known where idle instances hold all that starts there, or where the server says of
    an offer for the group that it is available.

    Args:
        edit: The edit.
        outlook: What it would do.
        snapshot: What is known of the project.
        offers: What the server offers, by fleet and group.
    """
    needs = edit.read.needs
    available = {
        (offer.fleet, offer.group or ONLY_GROUP) for offer in offers if offer.availability == _SURE
    }
    starting: dict[str, Counter[str]] = defaultdict(Counter)
    for row in (*outlook.replicas, *outlook.surges):
        if row.action in ("start", "move") and row.to is not None:
            starting[row.to][row.group] += 1
    unsure = []
    for name, groups in starting.items():
        fleet = snapshot.fleet_named(name)
        here = [
            instance
            for instance in snapshot.instances.values()
            if fleet is not None and instance.fleet_id == fleet.id
        ]
        # What another group takes is gone too: all that start must fit where the least do.
        idle = min(_idle(here, needs.get(group)) for group in groups)
        if groups.total() > idle and not all((name, group) in available for group in groups):
            unsure.append(name)
    return tuple(unsure)


def _idle(instances: Iterable[Instance], need: Requirements | None) -> int:
    """Places that are known to be idle."""
    return sum(need.idle_places(each) or 0 for each in instances) if need is not None else 0
