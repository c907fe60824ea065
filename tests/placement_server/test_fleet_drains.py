"""Fleets that are drained, and a cordon on the fleet of a service without lanes."""

from __future__ import annotations

import re

import pytest

from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.servers.lanes import (
    all_idle,
    ask,
    events,
    fleet,
    instances_of,
    is_idle,
    service,
    settled,
)
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
        "the service has no lanes, so all its replicas are in one fleet",
    )
    assert await is_idle(sim, "flat", free)
    await ask(sim, "uncordon", fleet="flat", instance_num=free)
    await settled(sim, "flat-chat", {"flat": 2}, limit=120)
    await sim.stop_run("flat-chat")


async def _emptied(sim: Handle, instance: str) -> str:
    """What the one event says of an instance that it is empty; nothing before."""
    found = await sim.api("/api/events/list", {"target_instances": [instance], "limit": 100})
    said = [each["message"] for each in found if "empty" in each["message"]]
    assert len(said) < 2, said
    return said[0] if said else ""


async def _drained(sim: Handle) -> None:
    """A fleet is emptied host by host; what can't move is named, and a cancel ends it."""
    await sim.apply(fleet("pool", "us-east-1", "on-demand", 3))
    await sim.apply(fleet("reserve", "us-west-1", "spot", "0..1"))
    await until(lambda: all_idle(sim, "pool", 3), limit=120, every=0.5, what="hosts are idle")
    lanes = [{"name": "pool", "min_replicas": 1, "priority": 10}, "reserve"]
    await sim.apply(service("mover", replicas=2, fleets=lanes))
    await settled(sim, "mover", {"pool": 2}, limit=120)
    there = await instances_of(sim, "pool")
    (free,) = [number for number, each in there.items() if each["status"] == "idle"]
    first, second = (number for number in there if number != free)

    plan = await ask(sim, "drain_plan", fleet="pool", instance_num=first)
    assert plan["cordon"] is None
    assert [(each["run_name"], each["action"], each["to"]) for each in plan["occupants"]] == [
        ("mover", "move", "pool")
    ]
    assert [each["fleet"] for each in (await ask(sim, "cordons"))["cordons"]].count("pool") == 0

    await ask(sim, "drain", fleet="pool", instance_num=first, reason="new driver")
    await until(lambda: is_idle(sim, "pool", first), limit=120, every=0.5, what="it is empty")
    await settled(sim, "mover", {"pool": 2}, limit=60)
    told = await events(sim, "mover")
    assert sum("moves to fleet pool: its instance is drained" in line for line in told) == 1, told

    said = await until(lambda: _emptied(sim, there[first]["id"]), limit=30, every=0.5)
    assert re.fullmatch(rf"Drained instance {there[first]['name']}: empty after \d+ s", said)

    # The second has no room in the pool any more, and none is left for the third.
    plan = await ask(sim, "drain", fleet="pool", instance_num=second)
    assert [(each["action"], each["to"]) for each in plan["occupants"]] == [("move", "reserve")]
    assert plan["broken_minimums"] == []
    await settled(sim, "mover", {"pool": 1, "reserve": 1}, limit=120)
    stuck = await ask(sim, "drain", fleet="pool", instance_num=free)
    (occupant,) = stuck["occupants"]
    assert occupant["action"] == "stay"
    assert "reserve has no room" in occupant["why"]
    left = {each["instance_num"]: each for each in (await ask(sim, "cordons"))["cordons"]}
    assert [each["run_name"] for each in left[free]["left"]] == ["mover"]
    assert left[first]["left"] == []

    assert (await ask(sim, "uncordon", fleet="pool", instance_num=free))["changed"]
    assert (await ask(sim, "uncordon", fleet="pool", instance_num=first))["changed"]
    await settled(sim, "mover", {"pool": 1, "reserve": 1}, limit=60)
    await sim.stop_run("mover")


STORIES: dict[str, Story] = {
    "a cordon and a stock service": _a_stock_service,
    "a drain": _drained,
}


@longest
async def test_a_service_without_lanes_waits_for_a_cordon(life_stories: Stories) -> None:
    await life_stories["a cordon and a stock service"]


async def test_a_fleet_is_drained_host_by_host(life_stories: Stories) -> None:
    await life_stories["a drain"]
