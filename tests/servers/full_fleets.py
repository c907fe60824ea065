"""Fleets that are soon full, and services that contend for them."""

from __future__ import annotations

from typing import Any

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.servers.lanes import ask, eight_gpus, fleet, service
from tests.waiting import until

#: By story, the regions of its full fleet and of the one for the rest, each with its most nodes.
_FLEETS = {
    "one": ("us-east-1", 2, "us-east-2", 2),
    "vain": ("eu-west-1", 2, "eu-west-2", 1),
    "three": ("eu-south-1", 3, "eu-south-2", 4),
    "roll": ("ca-central-1", 2, "ca-west-1", 3),
    "both": ("us-west-1", 4, "us-west-2", 4),
}


def scenario(*stories: str) -> Scenario:
    """The fleets of some stories, and no service."""
    steps: list[dict[str, Any]] = []
    regions: dict[str, dict[str, float]] = {}
    for name in stories:
        reserved, most, spot, most_spot = _FLEETS[name]
        regions[reserved], regions[spot] = {"on_demand": 98.32}, {"spot": 31.05}
        steps.append({"apply": fleet(f"{name}-reserved", reserved, "on-demand", f"0..{most}")})
        steps.append({"apply": fleet(f"{name}-spot", spot, "spot", f"0..{most_spot}")})
    cloud = {"start_seconds": 0.2, "offers": [eight_gpus(regions)]}
    return Scenario.model_validate({"description": "Full fleets", "cloud": cloud, "steps": steps})


def lanes_of(story: str, minimum: int) -> list[Any]:
    """A minimum in the fleet that is full, all else in the other."""
    first = {"name": f"{story}-reserved", "min_replicas": minimum, "priority": 10}
    return [first, f"{story}-spot"]


def service_of(story: str, name: str, minimum: int, **changes: Any) -> dict[str, Any]:
    """A service of a story."""
    return service(f"{story}-{name}", fleets=lanes_of(story, minimum), retry=True, **changes)


async def first_lane(sim: Handle, name: str) -> dict[str, Any]:
    """How a service stands in the fleet that is full."""
    lane: dict[str, Any] = (await ask(sim, "get", run_name=name))["lanes"][0]
    return lane


async def claimed(sim: Handle, name: str) -> dict[str, Any]:
    """Waits until a replica gives way to a service."""

    async def gives_way() -> dict[str, Any] | None:
        lane = await first_lane(sim, name)
        return lane if lane["reclaiming"] else None

    found: dict[str, Any] = await until(gives_way, limit=45, every=0.3, what="one gives way")
    return found
