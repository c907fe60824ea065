"""The scenario `demo` on a real server: everything it promises, seen through the API.

The server is shared by the session: tests that set a fault here put things back as they were.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from dstack_simulator import SimulatorError
from dstack_simulator.handle.handle import Handle
from dstack_simulator.world.expectations import is_ready
from tests.waiting import until

pytestmark = pytest.mark.e2e


def _latest(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [job["job_submissions"][-1] for job in run["jobs"]]


async def _chat(simulator: Handle, service: str) -> httpx.Response:
    async with simulator.client() as client:
        return await client.post(
            f"/proxy/services/{simulator.project}/{service}/v1/chat/completions",
            json={
                "model": f"acme/{service}",
                "messages": [{"role": "user", "content": "Hello"}],
                "max_tokens": 16,
            },
        )


async def _router_answers(simulator: Handle) -> None:
    """Waits for a completion through the router.

    dstack puts workers into its list every 5 s, once they are ready.
    """
    said: list[str] = []

    async def answered() -> bool:
        answer = await _chat(simulator, "chat-70b")
        said.append(answer.text)
        return answer.status_code == 200 and bool(answer.json()["choices"])

    try:
        await until(answered, limit=90, what="a completion through the router")
    except AssertionError as error:
        raise AssertionError(f"{error}; the last answer was {said[-1]}") from error


async def test_the_fleets_are_of_every_kind(demo_sim: Handle) -> None:
    fleets = {fleet["name"]: fleet for fleet in await demo_sim.api("fleets/list")}
    assert set(fleets) == {"edge-l4", "gpu-reserved", "gpu-spot", "lab-h100"}
    configurations = {name: fleet["spec"]["configuration"] for name, fleet in fleets.items()}
    assert configurations["gpu-reserved"]["reservation"] == "cr-0f3a91c2d4"
    assert configurations["gpu-reserved"]["nodes"] == {"min": 2, "target": 3, "max": 4}
    assert configurations["gpu-spot"]["spot_policy"] == "spot"
    assert configurations["lab-h100"]["env"]["NCCL_SOCKET_IFNAME"] == "eth0"
    spot = {i["instance_type"]["resources"]["spot"] for i in fleets["gpu-spot"]["instances"]}
    assert spot == {True}
    assert {i["price"] for i in fleets["gpu-spot"]["instances"]} == {31.05}
    (block,) = [i for i in fleets["edge-l4"]["instances"] if i["status"] != "terminated"]
    assert block["total_blocks"] == 8
    # dstack's count of busy blocks may be off: a replica has ended here while others began.
    (here,) = [host for host in await demo_sim.hosts() if host["address"] == block["hostname"]]
    assert sorted(here["jobs"]) == ["embed-0-0", "embed-0-1", "embed-0-2"]
    lab = Counter(i["health_status"] for i in fleets["lab-h100"]["instances"])
    assert lab == {"healthy": 3, "warning": 1}
    assert {i["backend"] for i in fleets["lab-h100"]["instances"]} == {"remote"}


async def test_the_routed_service_has_its_groups(demo_sim: Handle) -> None:
    async def all_ready() -> dict[str, Any] | None:
        run = await demo_sim.run("chat-70b")
        return run if all(is_ready(job) for job in run["jobs"]) else None

    # One probe that fails ends a streak.
    run = await until(all_ready, limit=60, what="its replicas are ready")
    groups = Counter(job["job_spec"]["replica_group"] for job in run["jobs"])
    assert groups == {"router": 1, "prefill": 1, "decode": 2}


async def test_a_replica_of_embed_has_failed_once(demo_sim: Handle) -> None:
    run = await demo_sim.run("embed")
    history = {
        job["job_spec"]["replica_num"]: [s["status"] for s in job["job_submissions"]]
        for job in run["jobs"]
    }
    assert history[0][0] == "failed"
    assert [statuses[-1] for statuses in history.values()] == ["running"] * 3
    first = run["jobs"][0]["job_submissions"][0]
    assert first["termination_reason"] == "creating_container_error"
    assert first["termination_reason_message"] == "no space left on device"


async def test_the_expected_is_there(demo_sim: Handle) -> None:
    # Already waited for: returns at once, from any event loop and from none.
    await demo_sim.settled()
    demo_sim.wait_settled()


@pytest.mark.parametrize("service", ["vision", "embed"])
async def test_requests_through_dstacks_proxy_succeed(demo_sim: Handle, service: str) -> None:
    answer = await _chat(demo_sim, service)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


async def test_requests_through_the_real_router_succeed(demo_sim: Handle) -> None:
    await _router_answers(demo_sim)


async def test_a_worker_failing_its_health_loses_its_streak(demo_sim: Handle) -> None:
    async def streak() -> int:
        run = await demo_sim.run("vision")
        return int(_latest(run)[1]["probes"][0]["success_streak"])

    await demo_sim.faults.worker_unhealthy("vision-0-1")
    try:
        await until(_is(streak, 0), limit=60, what="the probe's streak is gone")
    finally:
        await demo_sim.faults.worker_unhealthy("vision-0-1", on=False)

    async def recovered() -> bool:
        return await streak() > 0

    await until(recovered, limit=60, what="the probe succeeds again")


async def test_a_restarted_router_gets_its_workers_back(demo_sim: Handle) -> None:
    await demo_sim.faults.router_restart("chat-70b")
    await _router_answers(demo_sim)
    with pytest.raises(SimulatorError, match="runs no router"):
        await demo_sim.faults.router_restart("vision")


async def test_the_gateway_knows_the_autoscaled_service(demo_sim: Handle) -> None:
    assert await demo_sim.gateway_services() == [f"{demo_sim.project}/summarize"]


async def test_a_server_cut_off_cannot_be_reached(demo_sim: Handle) -> None:
    await demo_sim.faults.server_cut()
    try:
        with pytest.raises(httpx.TransportError):
            await demo_sim.run("embed")
    finally:
        await demo_sim.faults.server_cut(on=False)
    assert (await demo_sim.run("embed"))["status"] == "running"


async def test_a_slow_server_answers_late(demo_sim: Handle) -> None:
    await demo_sim.faults.server_slow(0.4)
    try:
        async with demo_sim.client() as client:
            answer = await client.post("/api/server/get_info", json={})
            assert answer.elapsed.total_seconds() >= 0.4
    finally:
        await demo_sim.faults.server_slow(0)


async def test_what_is_not_there_is_named(demo_sim: Handle) -> None:
    with pytest.raises(SimulatorError, match="no host or instance nowhere"):
        await demo_sim.faults.host_unreachable("nowhere")
    with pytest.raises(SimulatorError, match="No container of nobody"):
        await demo_sim.faults.worker_crash("nobody")
    with pytest.raises(SimulatorError, match="has no region mars"):
        await demo_sim.faults.no_capacity("mars")
    with pytest.raises(SimulatorError, match="is no state of health"):
        await demo_sim.faults.host_health("rack7-1", "fine")  # type: ignore[arg-type]
    with pytest.raises(SimulatorError, match="not a spot instance"):
        await demo_sim.faults.spot_interrupted("edge-l4-0")


def _is(look: Any, wanted: object) -> Any:
    async def holds() -> bool:
        return bool(await look() == wanted)

    return holds
