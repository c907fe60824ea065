"""A plan of each kind that is sent, and what it changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dstack_api_client.edits.base.base import read_fleet, read_service
from dstack_api_client.edits.fleet import new_fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan, plan_fleet
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.transport.client import Client

STOCK = Capabilities("0.22.5")


async def service_plan(client: Client) -> Plan:
    base = await read_service(client, "main", "chat")
    return await make_plan(client, ServiceEdit.begin(base, STOCK).with_priority(7))


async def fleet_plan(client: Client) -> FleetPlan:
    base = await read_fleet(client, "main", "fleet-1")
    edit = FleetEdit.begin(base).with_values({("configuration", "nodes", "max"): 9})
    return await plan_fleet(client, edit)


async def new_fleet_plan(client: Client) -> FleetPlan:
    text = "type: fleet\nname: fresh\nnodes: {min: 0, max: 1}\n"
    return await new_fleets.plan_new_fleet(client, "main", text, {})


PLANS: dict[str, tuple[Callable[[Client], Awaitable[Plan | FleetPlan]], str, str]] = {
    "service": (service_plan, "runs/apply", "runs/get"),
    "fleet": (fleet_plan, "fleets/apply", "fleets/get"),
    "new fleet": (new_fleet_plan, "fleets/apply", "fleets/get"),
}
