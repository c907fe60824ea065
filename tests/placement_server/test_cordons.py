"""Instances and fleets that are cordoned and drained, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_simulator.handle import Handle
from tests.servers.lanes import ask, events, fleet, service, settled, update
from tests.servers.stories import Stories, Story
from tests.waiting import until

pytestmark = pytest.mark.e2e


async def _instances(sim: Handle, name: str) -> dict[int, dict[str, Any]]:
    found = await sim.fleet(name)
    gone = ("terminating", "terminated")
    return {each["instance_num"]: each for each in found["instances"] if each["status"] not in gone}


async def _is_idle(sim: Handle, name: str, number: int) -> bool:
    return (await _instances(sim, name))[number]["status"] == "idle"


async def _all_idle(sim: Handle, name: str, count: int) -> bool:
    there = await _instances(sim, name)
    return [each["status"] for each in there.values()] == ["idle"] * count


def _task(name: str, where: str) -> dict[str, Any]:
    return {
        "type": "task",
        "name": name,
        "commands": ["sleep 3600"],
        "fleets": [where],
        "resources": {"gpu": "H100:8"},
    }


async def _nothing_new(sim: Handle) -> None:
    """A cordon keeps replicas with lanes, a service without and a task away; uncordon lets them."""
    await sim.apply(fleet("barred", "us-east-1", "on-demand", 1))
    await sim.apply(fleet("spare", "us-west-1", "spot", "0..2"))
    await until(lambda: _all_idle(sim, "barred", 1), limit=120, every=0.5, what="a host is idle")
    done = await ask(sim, "cordon", fleet="barred", instance_num=0, reason="new driver")
    assert (done["changed"], done["cordon"]["user"]) == (True, "admin")
    assert not (await ask(sim, "cordon", fleet="barred", instance_num=0))["changed"]

    lanes = [{"name": "barred", "min_replicas": 1, "priority": 10}, "spare"]
    await sim.apply(service("kept-off", replicas=1, fleets=lanes))
    await sim.apply(_task("no-host", "barred"))
    await settled(sim, "kept-off", {"spare": 1}, limit=120)
    seen = await ask(sim, "get", run_name="kept-off")
    assert "1 of at most 1 node exists, none is idle, 1 cordoned" in seen["lanes"][0]["reason"]

    async def ended() -> dict[str, Any]:
        run: dict[str, Any] = await sim.run("no-host")
        return run if run["status"] == "failed" else {}

    run = await until(ended, limit=120, every=0.5, what="the task finds no host")
    told = run["jobs"][0]["job_submissions"][-1]["termination_reason_message"]
    assert told == "No other instance was found: instance barred-0 is cordoned by admin: new driver"

    assert (await ask(sim, "uncordon", fleet="barred", instance_num=0))["changed"]
    assert not (await ask(sim, "uncordon", fleet="barred", instance_num=0))["changed"]
    # The minimum is restored at once.
    await settled(sim, "kept-off", {"barred": 1}, limit=120)

    await ask(sim, "cordon", fleet="barred")
    inside = await ask(sim, "uncordon", status=400, fleet="barred", instance_num=0)
    assert "all of fleet barred is" in inside["detail"][0]["msg"]
    await update(sim, "kept-off", replicas=2)
    await settled(sim, "kept-off", {"barred": 1, "spare": 1}, limit=120)
    listed = (await ask(sim, "cordons"))["cordons"]
    assert [each["fleet"] for each in listed if each["fleet"] == "barred"] == ["barred"]
    assert (await ask(sim, "uncordon", fleet="barred"))["changed"]
    await sim.stop_run("kept-off")


async def _a_stock_service(sim: Handle) -> None:
    """A service without lanes waits for what is cordoned, and is not ended for it."""
    await sim.apply(fleet("flat", "us-east-1", "on-demand", 2))
    await until(lambda: _all_idle(sim, "flat", 2), limit=120, every=0.5, what="hosts are idle")
    await sim.apply(service("flat-chat", replicas=1, fleets=["flat"]))
    await settled(sim, "flat-chat", {"flat": 1}, limit=120)
    there = await _instances(sim, "flat")
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
    assert await _is_idle(sim, "flat", free)
    await ask(sim, "uncordon", fleet="flat", instance_num=free)
    await settled(sim, "flat-chat", {"flat": 2}, limit=120)
    await sim.stop_run("flat-chat")


async def _drained(sim: Handle) -> None:
    """A fleet is emptied host by host; what can't move is named, and a cancel ends it."""
    await sim.apply(fleet("pool", "us-east-1", "on-demand", 3))
    await sim.apply(fleet("reserve", "us-west-1", "spot", "0..1"))
    await until(lambda: _all_idle(sim, "pool", 3), limit=120, every=0.5, what="hosts are idle")
    lanes = [{"name": "pool", "min_replicas": 1, "priority": 10}, "reserve"]
    await sim.apply(service("mover", replicas=2, fleets=lanes))
    await settled(sim, "mover", {"pool": 2}, limit=120)
    there = await _instances(sim, "pool")
    (free,) = [number for number, each in there.items() if each["status"] == "idle"]
    first, second = (number for number in there if number != free)

    plan = await ask(sim, "drain_plan", fleet="pool", instance_num=first)
    assert plan["cordon"] is None
    assert [(each["run_name"], each["action"], each["to"]) for each in plan["occupants"]] == [
        ("mover", "move", "pool")
    ]
    assert [each["fleet"] for each in (await ask(sim, "cordons"))["cordons"]].count("pool") == 0

    await ask(sim, "drain", fleet="pool", instance_num=first, reason="new driver")
    await until(lambda: _is_idle(sim, "pool", first), limit=120, every=0.5, what="it is empty")
    await settled(sim, "mover", {"pool": 2}, limit=60)
    told = await events(sim, "mover")
    assert sum("moves to fleet pool: its instance is drained" in line for line in told) == 1, told

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
    "a cordon": _nothing_new,
    "a cordon and a stock service": _a_stock_service,
    "a drain": _drained,
}


async def test_nothing_new_is_placed_where_it_is_cordoned(life_stories: Stories) -> None:
    await life_stories["a cordon"]


async def test_a_service_without_lanes_waits_for_a_cordon(life_stories: Stories) -> None:
    await life_stories["a cordon and a stock service"]


async def test_a_fleet_is_drained_host_by_host(life_stories: Stories) -> None:
    await life_stories["a drain"]
