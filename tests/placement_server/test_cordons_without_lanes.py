"""A cordon on the fleet of a service without lanes."""

from __future__ import annotations

import pytest

from dstack_simulator.handle import Handle
from tests.servers.lanes import all_idle, ask, fleet, instances_of, is_idle, service, settled
from tests.servers.stories import Stories, Story
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def _a_stock_service(sim: Handle) -> None:
    """A service without lanes waits for what is cordoned, and is not ended for it."""
    await sim.apply(fleet("flat", "us-east-1", "on-demand", 2))
    await until(lambda: all_idle(sim, "flat", 2), limit=120, every=0.5, what="hosts are idle")
    await sim.apply(service("flat-chat", replicas=1, fleets=["flat"]))
    await settled(sim, "flat-chat", {"flat": 1}, limit=120)
    there = await instances_of(sim, "flat")
    (free,) = [number for number, each in there.items() if each["status"] == "idle"]
    (busy,) = [number for number in there if number != free]
    await ask(sim, "cordon", fleet="flat", instance_num=free)
    await sim.touch_run("flat-chat", replicas=2)

    async def waits() -> bool:
        jobs = (await sim.run("flat-chat"))["jobs"]
        return [job["job_submissions"][-1]["status"] for job in jobs] == ["running", "submitted"]

    await until(waits, limit=60, every=0.5, what="the second replica waits")
    plan = await ask(sim, "drain_plan", fleet="flat", instance_num=busy)
    (occupant,) = plan["occupants"]
    assert (occupant["action"], occupant["why"]) == (
        "stay",
        "the service has no lanes, so that all its replicas are in one fleet",
    )
    assert await is_idle(sim, "flat", free)
    await ask(sim, "uncordon", fleet="flat", instance_num=free)
    await settled(sim, "flat-chat", {"flat": 2}, limit=120)
    await sim.stop_run("flat-chat")


STORIES: dict[str, Story] = {"a cordon and a stock service": _a_stock_service}


async def test_a_service_without_lanes_waits_for_a_cordon(life_stories: Stories) -> None:
    await life_stories["a cordon and a stock service"]
