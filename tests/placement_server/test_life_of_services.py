"""Services with lanes that are scaled by load, edited under requests and rolled out, for real."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import events, service
from tests.servers.request_flow import Requests
from tests.servers.stories import PROBES, Look, Stories, Story, Watch
from tests.waiting import until

pytestmark = pytest.mark.e2e


async def _scale(sim: Handle) -> None:
    """The load decides on 2, 10 and 3 replicas; no lane ever has less than its minimum."""

    async def gateway() -> bool:
        return bool((await sim.api("gateways/list"))[0]["status"] == "running")

    await until(gateway, limit=120, every=0.5, what="the gateway runs")
    lanes = [
        {"name": "scale-reserved", "min_replicas": 1, "max_replicas": 3, "priority": 10},
        {"name": "scale-spot", "min_replicas": 1},
    ]
    scaling = {
        "metric": "rps",
        "target": 10,
        "window": "30s",
        "scale_up_delay": "5s",
        "scale_down_delay": "5s",
    }
    await sim.apply(
        service(
            "scale",
            gateway="edge",
            https=False,
            replicas="2..10",
            scaling=scaling,
            fleets=lanes,
        )
    )
    watch = Watch(sim, "scale")
    await watch.at_rest({"scale-reserved": 1, "scale-spot": 1})

    def minimums(look: Look) -> None:
        assert look.running["scale-reserved"] >= 1, look
        assert look.running["scale-spot"] >= 1, look
        assert look.active["scale-reserved"] <= 3, look

    watch.check = minimums

    async def registered() -> bool:
        return f"{sim.project}/scale" in await sim.gateway_services()

    await until(registered, limit=60, every=0.5, what="the gateway knows the service")
    await sim.faults.set_rps("scale", 98)
    await watch.at_rest({"scale-reserved": 3, "scale-spot": 7})
    await sim.faults.set_rps("scale", 28)
    await watch.at_rest({"scale-reserved": 2, "scale-spot": 1})
    assert not [line for line in await events(sim, "scale") if "falls back" in line]


async def _edit(sim: Handle) -> None:
    """Priorities, minimums and maximums are edited in place while requests flow."""

    def lanes(reserved: tuple[int, int, int], spot: tuple[int, int, int]) -> list[dict[str, Any]]:
        keys = ("min_replicas", "max_replicas", "priority")
        return [
            {"name": "edit-reserved", **dict(zip(keys, reserved, strict=True))},
            {"name": "edit-spot", **dict(zip(keys, spot, strict=True))},
        ]

    await sim.apply(service("edit", fleets=lanes((1, 1, 10), (0, 3, 0)), probes=PROBES))
    watch = Watch(sim, "edit")
    await watch.at_rest({"edit-reserved": 1, "edit-spot": 1})
    first = await sim.run("edit")

    def never_fewer_than_two(look: Look) -> None:
        assert sum(look.ready.values()) >= 2, look

    watch.check = never_fewer_than_two
    requests = Requests(sim, "edit")
    async with requests.flowing():
        # A mere change of priority moves nothing.
        await sim.touch_run("edit", fleets=lanes((1, 1, 0), (0, 3, 10)))
        await watch.at_rest({"edit-reserved": 1, "edit-spot": 1})
        # A higher minimum takes a replica from the other lane.
        await sim.touch_run("edit", fleets=lanes((2, 3, 0), (0, 3, 10)))
        await watch.at_rest({"edit-reserved": 2})
        # A lower maximum gives it back.
        await sim.touch_run("edit", fleets=lanes((0, 1, 0), (1, 3, 10)))
        await watch.at_rest({"edit-reserved": 1, "edit-spot": 1})
        # Counts and lanes in one edit.
        await sim.touch_run("edit", fleets=lanes((2, 2, 5), (1, 3, 0)), replicas=4)
        await watch.at_rest({"edit-reserved": 2, "edit-spot": 2})
        await sim.touch_run("edit", replicas=3)
        await watch.at_rest({"edit-reserved": 2, "edit-spot": 1})
    last = await sim.run("edit")
    assert last["id"] == first["id"]
    assert last["deployment_num"] == first["deployment_num"] + 5
    assert requests.failed == [], (len(requests.failed), requests.failed[:3])
    assert requests.answered > 100


async def _roll(sim: Handle) -> None:
    """A rolling deployment over lanes that are all at their maximum."""
    lanes = [
        {"name": "roll-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
        {"name": "roll-spot", "min_replicas": 1, "max_replicas": 1},
    ]
    await sim.apply(service("roll", fleets=lanes, probes=PROBES))
    watch = Watch(sim, "roll")
    await watch.at_rest({"roll-reserved": 1, "roll-spot": 1})

    most_above = 0

    def rolls(look: Look) -> None:
        nonlocal most_above
        assert sum(look.ready.values()) >= 2, look
        assert look.ready["roll-reserved"] >= 1, look
        assert look.ready["roll-spot"] >= 1, look
        above = [look.active["roll-reserved"] - 1, look.active["roll-spot"] - 1]
        most_above = max(most_above, sum(max(one, 0) for one in above))
        assert most_above <= 1, look

    watch.check = rolls
    requests = Requests(sim, "roll")
    async with requests.flowing():
        rolled = await sim.touch_run("roll", env={"SGLANG_LOG_LEVEL": "debug"})
        new = rolled["deployment_num"]

        async def replaced() -> bool:
            look = await watch.look()
            run = await sim.run("roll")
            latest = [job["job_submissions"][-1] for job in run["jobs"]]
            running = [one["deployment_num"] for one in latest if one["status"] == "running"]
            return running == [new] * 2 and look.at_rest({"roll-reserved": 1, "roll-spot": 1})

        await until(replaced, limit=500, every=0.6, what="all replicas are of the new deployment")
    assert most_above == 1
    told = await events(sim, "roll")
    assert not [line for line in told if "falls back" in line or "below its minimum" in line], told
    assert requests.failed == [], (len(requests.failed), requests.failed[:3])
    assert requests.answered > 100


STORIES: dict[str, Story] = {"scale": _scale, "edit": _edit, "roll": _roll}


async def test_load_scales_a_service_and_minimums_are_kept(life_stories: Stories) -> None:
    await life_stories["scale"]


async def test_lanes_are_edited_while_requests_flow(life_stories: Stories) -> None:
    await life_stories["edit"]


async def test_a_rolling_deployment_keeps_minimums_and_goes_one_above_a_maximum(
    life_stories: Stories,
) -> None:
    await life_stories["roll"]
