"""Every problem of routers and workers that a real server can be brought to have.

Each is produced and cleared again, read off the Problems screen and out of what `get problems`
prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.builders.generation import longest
from tests.conftest import project_name
from tests.servers.problem_sights import eyes, key_of, wrong_now
from tests.servers.routed_services import (
    BIG,
    SGLANG,
    SMG,
    Looking,
    group,
    lab,
    routing,
    row,
    service,
)
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROBES = [{"type": "http", "url": "/health", "interval": "5s", "timeout": "30s", "ready_after": 1}]
WELL = {"workers1": Sync.IN_SYNC, "workers2": Sync.IN_SYNC}


def guard(flags: str) -> list[dict[str, Any]]:
    """A router with a worker, on a port of their own."""
    port = "--port 8001"
    return [
        routing(f"smg launch --host 0.0.0.0 {port} --enable-igw {flags}"),
        group("workers", f"python -m sglang.launch_server --model acme/guarded {port}", 1,
              resources=BIG),
    ]  # fmt: skip


def scenario() -> Scenario:
    hosts, steps = lab(2, 3)
    # It takes its time to call a worker failed, so that what it says before is seen.
    smg = f"{SMG} --health-check-interval-secs 1 --health-failure-threshold 18"
    chat = service("chat", routing(smg), group("workers", SGLANG, 2, resources=BIG), probes=PROBES)
    guarded = service(
        "guarded", *guard("--api-key secret"), model="acme/guarded", port=8001, probes=PROBES
    )
    return Scenario.model_validate(
        {
            "description": "Routers with problems",
            "hosts": hosts,
            "steps": [*steps, {"apply": chat}, {"apply": guarded}],
            "expect": {
                "runs": {
                    "chat": {"replicas": {"running": 3}, "ready": 3},
                    "guarded": {"ready": 2},
                }
            },
        }
    )


@pytest_asyncio.fixture(scope="module")
async def sim(router_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    project = await router_server.add_project(project_name(request, "addon"), scenario())
    await project.settled()
    yield project
    await emptied(project)


async def each(
    both: dict[Source, Looking],
    status: RouterStatus | None = None,
    name: str = "chat",
    **wanted: Sync,
) -> dict[Source, RouterView]:
    """What is seen both ways, once a router and its workers are in some state."""
    views = await asyncio.gather(
        *(look.until(name, status, limit=60, **wanted) for look in both.values())
    )
    return dict(zip(both, views, strict=True))


@longest
async def test_a_worker_that_the_router_calls_failed_and_a_router_without_a_ready_one(
    sim: Handle, both: dict[Source, Looking]
) -> None:
    failed = await key_of(sim, "worker", "chat", "failed")
    unready = await key_of(sim, "worker", "chat", "not ready")
    router = await key_of(sim, "router", "chat")
    await each(both, RouterStatus.READY, **WELL)
    # After minutes its failing probes speak for a worker that is not ready, so the clock is the
    # real one.
    async with eyes(sim, timedelta()) as seen:
        await seen.neither(lambda key: failed(key) or unready(key) or router(key))
        await sim.faults.worker_unhealthy("chat-0-1")
        item = await seen.both(unready, "workers 1: not ready for the router")
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "worker", "chat")
        item = await seen.both(failed, "workers 1: failed for the router, and running for dstack")
        assert (item["severity"], item["kind"], item["service"]) == ("critical", "worker", "chat")
        assert "dstack will not repair this" in item["hint"]
        (now,) = await asyncio.to_thread(wrong_now, sim, "chat", 4)
        assert (now["key"], now["severity"]) == (item["key"], "critical")

        await sim.faults.worker_unhealthy("chat-0-2")
        for source, view in (await each(both, RouterStatus.NOT_READY)).items():
            assert (view.source, view.ready, view.expected) == (source, 0, 2)
            assert "0 of 2 listed workers are ready" in view.message
        item = await seen.both(router, "the router has no worker that it calls ready: 0 of 2")
        assert (item["severity"], item["kind"]) == ("critical", "router")
        printed = await seen.printed()
        assert not any(failed(key) or unready(key) for key in printed), "one cause, one problem"

        await sim.faults.worker_unhealthy("chat", on=False)
        await each(both, RouterStatus.READY, **WELL)
        await seen.neither(lambda key: failed(key) or unready(key) or router(key))
    assert wrong_now(sim, "chat", 0) == []


@longest
async def test_a_worker_that_was_deleted_drains_and_one_that_can_not_be_dialled_is_missing(
    sim: Handle, both: dict[Source, Looking]
) -> None:
    addresses: dict[str, str] = {}
    for host in await sim.hosts():
        addresses |= host["addresses"]
    url = f"http://{addresses['chat-0-2']}:8000"
    let_go = await key_of(sim, "worker", "chat", "let go")
    missing = await key_of(sim, "worker", "chat", "missing")
    await each(both, RouterStatus.READY, **WELL)
    async with (
        httpx.AsyncClient(
            base_url=f"http://{addresses['chat-0-0']}:8000", timeout=20, trust_env=False
        ) as router,
        eyes(sim) as seen,
    ):

        async def deleted_for(*looks: asyncio.Task[Any]) -> None:
            """Deletes the worker whenever it is back, until all have seen what they wait for."""

            async def done() -> bool:
                for entry in (await router.get("/workers")).json()["workers"]:
                    if entry["url"] == url and entry["status"] != "draining":
                        await router.delete(f"/workers/{entry['id']}")
                return all(look.done() for look in looks)

            await until(done, limit=90, every=0.3, what="a deleted worker that all have seen")

        # SMG keeps it for its drain of 5 s, and dstack registers it again: whoever has not looked
        # in that time gets another chance.
        looks = asyncio.create_task(each(both, workers2=Sync.DRAINING))
        told = asyncio.create_task(seen.both(let_go, "workers 2: dropped by the router though"))
        await deleted_for(looks, told)
        for source, view in (await looks).items():
            worker = row(view, "workers2")
            assert (view.source, worker.router_health) == (source, "draining")
            assert worker.job_status == "running"
            assert worker.message
        item = await told
        assert (item["severity"], item["kind"], item["service"]) == ("notice", "worker", "chat")

        await sim.faults.worker_walled_off("chat-0-2")
        told = asyncio.create_task(seen.both(missing, "workers 2: not in the router's list"))
        await deleted_for(told)
        item = await told
        assert (item["severity"], item["kind"]) == ("warning", "worker")
        assert f"can't dial {addresses['chat-0-2']}:8000" in item["hint"]
        await sim.faults.worker_walled_off("chat-0-2", on=False)
        await each(both, RouterStatus.READY, **WELL)
        await seen.neither(lambda key: missing(key) or let_go(key))


async def test_a_router_that_is_down(sim: Handle, both: dict[Source, Looking]) -> None:
    router = await key_of(sim, "router", "chat")
    async with eyes(sim) as seen:
        await seen.neither(router)
        await sim.faults.router_frozen("chat-0-0")
        try:
            item = await seen.both(router, "the router does not answer")
        finally:
            await sim.faults.router_frozen("chat-0-0", on=False)
        assert (item["severity"], item["kind"], item["service"]) == ("critical", "router", "chat")
        await each(both, RouterStatus.READY, **WELL)
        await seen.neither(router)


async def test_a_router_that_refuses_and_a_worker_that_only_its_router_finds_well(
    sim: Handle, both: dict[Source, Looking]
) -> None:
    router = await key_of(sim, "router", "guarded")
    probes = await key_of(sim, "worker", "guarded", "probes failing")
    async with eyes(sim) as seen:
        item = await seen.both(router, "the router refuses dstack")
        assert (item["severity"], item["kind"]) == ("warning", "router")
        assert "API key" in item["hint"]
        # It looks at its workers once, and not again during this test.
        await sim.touch_run("guarded", groups=guard("--health-check-interval-secs 600"))
        await each(both, RouterStatus.READY, "guarded", workers1=Sync.IN_SYNC)
        await seen.neither(router)

        await sim.faults.worker_unhealthy("guarded-0-1")
        item = await seen.both(probes, "workers 1: ready for the router while dstack's probes fail")
        assert (item["severity"], item["kind"]) == ("critical", "worker"), "it is the only one"
        await sim.faults.worker_unhealthy("guarded-0-1", on=False)
        await seen.neither(probes)
    assert wrong_now(sim, "guarded", 0) == []
