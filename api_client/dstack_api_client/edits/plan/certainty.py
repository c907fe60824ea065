"""Which starts of a plan are sure to find a place, as far as the server shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from dstack_api_client.analysis.room_input import idle_parts
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import ONLY_GROUP, take_part

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
    starting: dict[str, list[str]] = defaultdict(list)
    moved = {(row.group, row.to) for row in outlook.replicas if row.action == "move"}
    # The extra replica of a rolling deployment replaces the first that moves there.
    extra = [row for row in outlook.surges if (row.group, row.to) not in moved]
    for row in (*outlook.replicas, *extra):
        if row.action in ("start", "move") and row.to is not None:
            starting[row.to].append(row.group)
    unsure = []
    for name, groups in starting.items():
        fleet = snapshot.fleet_named(name)
        here = [
            instance
            for instance in snapshot.instances.values()
            if fleet is not None and instance.fleet_id == fleet.id
        ]
        parts, _ = idle_parts(here, needs)
        # Each takes its place before the next is looked at.
        placed = [take_part(parts, group) is not None for group in groups]
        if not all(placed) and not all((name, group) in available for group in groups):
            unsure.append(name)
    return tuple(unsure)
