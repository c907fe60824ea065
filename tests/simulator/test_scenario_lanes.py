"""The scenario `lanes` on a real server with the placement add-on: everything it promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios import scenario as scenarios
from tests.servers.lanes import events
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest_asyncio.fixture(scope="module")
async def lanes_sim(addon_server: Handle) -> AsyncIterator[Handle]:
    project = await addon_server.add_project("lanes", scenarios.load("lanes"))
    await project.settled()
    yield project
    await emptied(project)


async def _placement(simulator: Handle, service: str) -> dict[str, Any]:
    placement: dict[str, Any] = await simulator.api("placement/get", {"run_name": service})
    return placement


def _counts(placement: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (lane["pool"], lane["fleet"]): (lane["target"], lane["ready"])
        for lane in placement["lanes"]
    }


def test_only_scenarios_that_say_so_have_the_addon() -> None:
    with_it = {name for name in scenarios.shipped() if scenarios.load(name).server.modules}
    assert with_it == {"lanes"}


async def test_the_workers_are_where_their_lanes_say(lanes_sim: Handle) -> None:
    async def as_promised() -> bool:
        return _counts(await _placement(lanes_sim, "chat-70b")) == {
            # One of them has given way to `vision`.
            ("", "gpu-reserved"): (3, 3),
            ("", "gpu-spot"): (2, 2),
            ("router", "edge-l4"): (1, 1),
            ("prefill", "gpu-spot"): (1, 1),
            ("prefill", "gpu-reserved"): (0, 0),
        }

    await until(as_promised, limit=120, what="every replica in its lane")


async def test_the_router_reaches_its_workers_in_both_fleets(lanes_sim: Handle) -> None:
    async def all_ready() -> bool:
        router = await lanes_sim.api("placement/router", {"run_name": "chat-70b"})
        return router["status"] == "ok" and router["ready"] and len(router["workers"]) == 6

    # dstack puts workers into its list every 5 s, once they are ready.
    await until(all_ready, limit=60, what="six workers in the router's list")

    async def answers() -> bool:
        async with lanes_sim.client() as client:
            answer = await client.post(
                f"/proxy/services/{lanes_sim.project}/chat-70b/v1/chat/completions",
                json={"model": "acme/chat-70b", "messages": [{"role": "user", "content": "Hello"}]},
            )
        return answer.status_code == 200

    # On a busy machine a probe of the router may fail, and it gets no requests for a while.
    await until(answers, limit=30, what="the router answers")


async def test_a_minimum_takes_a_place_from_the_other_service(lanes_sim: Handle) -> None:
    async def held() -> bool:
        return _counts(await _placement(lanes_sim, "vision")) == {
            ("", "gpu-reserved"): (2, 2),
            ("", "gpu-spot"): (0, 0),
        }

    # dstack calls a replica ready some seconds after its probes have passed.
    await until(held, limit=120, every=0.5, what="the minimum is held")
    told = await events(lanes_sim, "vision")
    assert any("of chat-70b gives way in fleet gpu-reserved" in line for line in told)


async def test_a_service_without_lanes_is_placed_by_dstack(lanes_sim: Handle) -> None:
    placement = await _placement(lanes_sim, "embed")
    assert not placement["managed"]
    run = await lanes_sim.run("embed")
    assert [job["job_submissions"][-1]["status"] for job in run["jobs"]] == ["running"] * 3
