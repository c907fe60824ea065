"""Lanes on a real server: how its replicas are placed, and what can be edited."""

from __future__ import annotations

from collections import Counter

import pytest

from dstack_simulator import Simulator
from tests.placement_server.helpers import events, service, settled, update

pytestmark = pytest.mark.e2e


async def test_a_baseline_and_an_overflow(addon: Simulator) -> None:
    await addon.apply(service("chat"))
    await settled(addon, "chat", {"gpu-reserved": 1, "gpu-spot": 1}, limit=30)


async def test_scaling_keeps_the_minimum_at_every_moment(addon: Simulator) -> None:
    def baseline(seen: Counter[str]) -> None:
        assert seen["gpu-reserved"] >= 1

    await update(addon, "chat", replicas=6)
    await settled(addon, "chat", {"gpu-reserved": 1, "gpu-spot": 5}, at_every_look=baseline)
    await update(addon, "chat", replicas=2)
    await settled(addon, "chat", {"gpu-reserved": 1, "gpu-spot": 1}, at_every_look=baseline)


async def test_lanes_are_edited_in_place(addon: Simulator) -> None:
    before = await addon.run("chat")
    lanes = [
        {"name": "gpu-reserved", "min_replicas": 1, "max_replicas": 2},
        {"name": "gpu-spot", "min_replicas": 1, "max_replicas": 3},
    ]
    spec = before["run_spec"]
    spec["configuration"].update(fleets=lanes, replicas=4)
    plan = await addon.api("runs/get_plan", {"run_spec": spec})
    assert plan["action"] == "update"
    offers = {offer["region"] for offer in plan["job_plans"][0]["offers"]}
    assert offers == {"us-east-1", "us-west-2"}

    after = await update(addon, "chat", fleets=lanes, replicas=4)
    assert after["id"] == before["id"]
    assert after["deployment_num"] == before["deployment_num"] + 1
    stored = after["run_spec"]["configuration"]["fleets"]
    assert [lane.get("max_replicas") for lane in stored] == [2, 3]
    await settled(addon, "chat", {"gpu-reserved": 2, "gpu-spot": 2})
    assert any("fleets" in message for message in await events(addon, "chat"))
