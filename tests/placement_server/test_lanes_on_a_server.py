"""Lanes on a real server: how replicas are placed, what can be edited, and what lanes survive.

What happens on a server takes its time, so all that does not touch begins at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.servers.lanes import (
    PAIRS,
    active,
    events,
    places,
    service,
    settled,
    update,
)
from tests.servers.stopping import stopped
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Stories = dict[str, "asyncio.Task[Any]"]


def _baseline_is_kept(seen: Counter[str]) -> None:
    assert seen["gpu-reserved"] >= 1, seen


async def _overflow(addon: Handle) -> None:
    spec = {"configuration": service("chat"), "run_name": "chat"}
    plan = await addon.api("runs/get_plan", {"run_spec": spec})
    assert {offer["region"] for offer in plan["job_plans"][0]["offers"]} == set(PAIRS["gpu"])

    await addon.apply(service("chat"))
    await settled(addon, "chat", {"gpu-reserved": 1, "gpu-spot": 1}, limit=60)


async def _edit_and_scale(addon: Handle, overflow: asyncio.Task[None]) -> None:
    await asyncio.wait([overflow])
    before = await addon.run("chat")
    edited = [
        {"name": "gpu-reserved", "min_replicas": 1, "max_replicas": 2},
        {"name": "gpu-spot", "min_replicas": 1, "max_replicas": 3},
    ]
    after = await update(addon, "chat", fleets=edited, replicas=5)
    assert after["id"] == before["id"]
    assert after["deployment_num"] == before["deployment_num"] + 1
    stored = after["run_spec"]["configuration"]["fleets"]
    assert [lane["max_replicas"] for lane in stored] == [2, 3]
    expected = {"gpu-reserved": 2, "gpu-spot": 3}
    await settled(addon, "chat", expected, limit=90, at_every_look=_baseline_is_kept)
    told = await events(addon, "chat")
    assert any("configuration.fleets" in message for message in told), told

    await update(addon, "chat", replicas=2)
    expected = {"gpu-reserved": 1, "gpu-spot": 1}
    await settled(addon, "chat", expected, limit=90, at_every_look=_baseline_is_kept)


async def _no_capacity(addon: Handle) -> None:
    spot_first = [
        {"name": "dry-spot", "min_replicas": 1, "priority": 10},
        {"name": "dry-reserved", "min_replicas": 1},
    ]
    await addon.faults.no_capacity(PAIRS["dry"][1])
    await addon.apply(service("dry", fleets=spot_first))
    await settled(addon, "dry", {"dry-reserved": 2}, limit=90)
    told = await events(addon, "dry")
    passed_over = "Fleet dry-spot is skipped for 60 s after a failed start: p5.48xlarge in aws/"
    assert any(message.startswith(passed_over) for message in told), told
    assert any("Replica falls back to fleet dry-reserved" in message for message in told), told

    async def missed() -> bool:
        told = await events(addon, "dry")
        return any("Fleet dry-spot is below its minimum" in message for message in told)

    await until(missed, limit=60, every=0.3, what="the deficit is told")

    # An edit of the lanes ends the cooldown, and the baseline is restored: new before old.
    def never_fewer(seen: Counter[str]) -> None:
        assert sum(seen.values()) >= 2, seen

    await addon.faults.no_capacity(PAIRS["dry"][1], on=False)
    spot_first[0]["priority"] = 20
    await update(addon, "dry", fleets=spot_first)
    expected = {"dry-reserved": 1, "dry-spot": 1}
    await settled(addon, "dry", expected, limit=120, at_every_look=never_fewer)
    told = await events(addon, "dry")
    assert any("moves to fleet dry-spot: restores the minimum" in line for line in told), told
    assert any("Fleet dry-spot has its minimum again" in line for line in told), told


async def _without_lanes(sim: Handle) -> dict[str, Any]:
    await sim.apply(service("plain", fleets=["plain-reserved", "plain-spot"]))

    async def replicas(count: int, deployment: int) -> None:
        async def there() -> bool:
            now = await active(sim, "plain")
            return len(now) == sum((await places(sim, "plain")).values()) == count and all(
                one["deployment_num"] == deployment for one in now
            )

        await until(there, limit=120, every=0.3, what=f"{count} of deployment {deployment}")

    await replicas(2, 0)
    run = await sim.run("plain")
    run["run_spec"]["configuration"]["fleets"] = ["plain-spot", "plain-reserved"]
    plan = await sim.api("runs/get_plan", {"run_spec": run["run_spec"]})
    begun = await places(sim, "plain")
    await update(sim, "plain", replicas=3)
    await replicas(3, 1)
    scaled = await places(sim, "plain")
    await update(sim, "plain", replicas=1, env={"LEVEL": "debug"})
    await replicas(1, 2)
    rolled = await places(sim, "plain")
    assert await stopped(sim, "plain") == "terminated"
    return {
        "spec": {**run["run_spec"], "ssh_key_pub": None, "repo_id": None},
        "fleet": run["fleet"]["name"],
        "action": plan["action"],
        "offers": [offer["region"] for offer in plan["job_plans"][0]["offers"]],
        "places": [begun, scaled, rolled],
        # What goes on beside the jobs is not in step with them, nor is how fast a host answers.
        "events": {
            told
            for told in await events(sim, "plain")
            if told.startswith("Job ") and not told.startswith("Job became ")
        },
    }


@pytest_asyncio.fixture(scope="module")
async def stories(addon: Handle, stock: Handle) -> AsyncIterator[Stories]:
    """All that goes on at the same time, by name."""
    begun: Stories = {}

    def begin(name: str, story: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        begun[name] = asyncio.create_task(story, name=name)
        return begun[name]

    begin("edit", _edit_and_scale(addon, begin("overflow", _overflow(addon))))
    begin("no capacity", _no_capacity(addon))
    begin("without lanes", _without_lanes(addon))
    begin("without the add-on", _without_lanes(stock))
    yield begun
    for task in begun.values():
        task.cancel()
    await asyncio.gather(*begun.values(), return_exceptions=True)


async def test_a_baseline_and_an_overflow(stories: Stories) -> None:
    await stories["overflow"]


@longest
async def test_a_service_without_lanes_is_as_on_the_stock_server(stories: Stories) -> None:
    ours, theirs = await stories["without lanes"], await stories["without the add-on"]
    assert ours == theirs
    assert ours["action"] == "create"


async def test_a_lane_without_capacity_is_passed_over(stories: Stories) -> None:
    await stories["no capacity"]


async def test_lanes_are_edited_and_scaled_in_place(stories: Stories) -> None:
    await stories["edit"]
