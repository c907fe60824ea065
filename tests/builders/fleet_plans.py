"""Plans of fleets as a server would make them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleet_effects import effects
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.snapshot import Snapshot


def fleet_plan(
    change: FleetEdit,
    snapshot: Snapshot,
    *,
    new: bool = False,
    offers: Sequence[PlanOffer] = (),
    made_at: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc),
) -> FleetPlan:
    """The plan of an edit of the fleet gpu, or as if it made that fleet."""
    found = effects(change, snapshot)
    assert found is not None
    return FleetPlan(
        base=None if new else change.base,
        project="main",
        name="gpu",
        spec=change.spec,
        expected=change.spec,
        changes=() if new else difference(change.base.spec, change.spec, "fleet", UNKNOWN),
        action="create" if new else "update",
        offers=tuple(offers),
        starts=found.starts,
        ends=found.ends,
        warnings=found.warnings,
        made_at=made_at,
        above=found.above,
        with_jobs_only=found.with_jobs_only,
    )
