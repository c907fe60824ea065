"""Instances and fleets that are cordoned, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import (
    all_idle,
    ask,
    fleet,
    service,
    settled,
    update,
)
from tests.servers.stories import Stories, Story
from tests.waiting import until

pytestmark = pytest.mark.e2e


def _task(name: str, where: str) -> dict[str, Any]:
    return {
        "type": "task",
        "name": name,
        "commands": ["sleep 3600"],
        "fleets": [where],
        "resources": {"gpu": "H100:8"},
    }


async def _nothing_new(sim: Handle) -> None:
    """A cordon keeps replicas with lanes, a task and a dev environment away; uncordon lets them."""
    await sim.apply(fleet("barred", "us-east-1", "on-demand", 1))
    await sim.apply(fleet("spare", "us-west-1", "spot", "0..2"))
    await until(lambda: all_idle(sim, "barred", 1), limit=120, every=0.5, what="a host is idle")
    done = await ask(sim, "cordon", fleet="barred", instance_num=0, reason="new driver")
    assert (done["changed"], done["cordon"]["user"]) == (True, "admin")
    assert not (await ask(sim, "cordon", fleet="barred", instance_num=0))["changed"]

    lanes = [{"name": "barred", "min_replicas": 1, "priority": 10}, "spare"]
    await sim.apply(service("kept-off", replicas=1, fleets=lanes))
    tasks = ("no-host", "no-desk")
    await sim.apply(_task("no-host", "barred"))
    desk = {"type": "dev-environment", "name": "no-desk", "ide": "vscode", "fleets": ["barred"]}
    await sim.apply({**desk, "resources": {"gpu": "H100:8"}})
    await settled(sim, "kept-off", {"spare": 1}, limit=120)
    seen = await ask(sim, "get", run_name="kept-off")
    assert "1 of at most 1 node exists, none is idle, 1 cordoned" in seen["lanes"][0]["reason"]

    async def ended() -> list[dict[str, Any]]:
        runs = [await sim.run(name) for name in tasks]
        return runs if all(run["status"] == "failed" for run in runs) else []

    for run in await until(ended, limit=120, every=0.5, what="neither finds a host"):
        told = run["jobs"][0]["job_submissions"][-1]["termination_reason_message"]
        why = "instance barred-0 is cordoned by admin: new driver"
        assert told == f"No other instance was found: {why}"

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


STORIES: dict[str, Story] = {"a cordon": _nothing_new}


async def test_nothing_new_is_placed_where_it_is_cordoned(life_stories: Stories) -> None:
    await life_stories["a cordon"]
