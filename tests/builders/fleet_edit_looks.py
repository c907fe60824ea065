"""Edits of a fleet, and what opens the plan of one."""

from __future__ import annotations

from textual.pilot import Pilot

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.model.short_forms import Nodes
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from tests.builders.cloud_fleet_edit import edit, snapshot
from tests.builders.fleet_plans import fleet_plan
from tests.builders.snapshots import NOW
from tests.waiting import until

SHOT = snapshot()
EDITS = {
    "unchanged": edit(),
    "changed": edit().with_nodes(Nodes(0, 0, 1)).with_field("tags", None),
    "unfit": edit().with_field("regions", ["eu-west-1"]),
    "wrong": edit().with_nodes(Nodes(5, 2, 4)),
}
OFFERS = tuple(
    PlanOffer("", "aws", region, "p5.48xlarge", False, 98.32, "available")
    for region in ("us-east-1", "us-west-2")
)


def plan(change: FleetEdit, *, new: bool = False) -> FleetPlan:
    """The plan that a server would make of an edit."""
    return fleet_plan(change, SHOT, new=new, offers=OFFERS, made_at=NOW)


def planning(made: FleetPlan):
    async def go(pilot: Pilot[int]) -> None:
        await until(lambda: pilot.app.snapshot is not None)
        await pilot.app.push_screen(PlanScreen(made, lambda: None))
        await pilot.pause()

    return go
