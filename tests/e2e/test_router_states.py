"""Every state of routers and workers, reached for real: server, tunnels, SMG and all.

One server with the placement add-on. Each state is read twice: through the server, and over SSH as
if the server had no add-on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from dstack_api_client.routers.sources import SshSource
from dstack_api_client.routers.view import RouterStatus, RouterView, Source, Sync, Worker
from dstack_simulator import Simulator
from tests.e2e.routed import (
    Looking,
    StockWatch,
    Stranger,
    chat,
    living,
    looking,
    row,
    scenario,
    slot,
)
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ALL_WELL = {"prefill1": Sync.IN_SYNC, "decode2": Sync.IN_SYNC, "decode3": Sync.IN_SYNC}


@pytest_asyncio.fixture(scope="module")
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(scenario(), launcher=("dstack_placement.server.autoload",)) as simulator:
        await simulator.settled()
        yield simulator


@pytest_asyncio.fixture(scope="module")
async def both(sim: Simulator) -> AsyncIterator[dict[Source, Looking]]:
    """Looks through the server, and over SSH."""
    async with looking(sim) as server, looking(sim, StockWatch) as ssh:
        yield {Source.SERVER: server, Source.SSH: ssh}


async def each(
    both: dict[Source, Looking], look: Callable[[Looking], Awaitable[RouterView]]
) -> dict[Source, RouterView]:
    """What is seen both ways at the same time."""
    views = await asyncio.gather(*(look(looking) for looking in both.values()))
    return dict(zip(both, views, strict=True))


@asynccontextmanager
async def router_of(sim: Simulator, job: str = "chat-0-0") -> AsyncIterator[httpx.AsyncClient]:
    """The API of a router, for what nobody but this test does to it."""
    addresses: dict[str, str] = {}
    for host in await sim.hosts():
        addresses |= host["addresses"]
    async with httpx.AsyncClient(
        base_url=f"http://{addresses[job]}:8000", timeout=20, trust_env=False
    ) as client:
        yield client


async def job_id(sim: Simulator, replica: int) -> str:
    found: str = (await sim.run("chat"))["jobs"][replica]["job_submissions"][-1]["id"]
    return found


async def register(router: httpx.AsyncClient, url: str, job: str | None = None) -> None:
    body: dict[str, Any] = {
        "url": url, "worker_type": "decode", "connection_mode": "http", "runtime_type": "sglang",
        "labels": {"dstack.ai/job-id": job} if job else {},
    }  # fmt: skip
    assert (await router.post("/workers", json=body)).status_code in (202, 409)


async def delete(router: httpx.AsyncClient, **wanted: str) -> None:
    """Deletes the entries of a router with some URL or job."""
    for entry in (await router.get("/workers")).json()["workers"]:
        found = {"url": entry["url"], "job": (entry["labels"] or {}).get("dstack.ai/job-id")}
        if wanted.items() <= found.items():
            assert (await router.delete(f"/workers/{entry['id']}")).status_code == 202


async def test_routers_of_every_kind(both: dict[Source, Looking]) -> None:
    for source, seen in both.items():

        async def there(seen: Looking = seen) -> RouterView | None:
            never = {"legacy4": Sync.MISSING, "slow5": Sync.MISSING}
            view = await seen.until("chat", RouterStatus.READY, limit=60, **ALL_WELL, **never)
            # Probes may pass later than the router finds a worker.
            return view if sum(worker.wrong == 0 for worker in view.workers) == 3 else None

        view = await until(there, limit=60, every=0.3, what="all is well")
        assert (view.source, view.kind, view.message) == (source, "smg", "")
        assert (view.ready, view.expected) == (3, 5)
        assert [slot(worker) for worker in view.workers if worker.wrong] == ["legacy4", "slow5"]
        for worker in view.workers:
            if not worker.wrong:
                assert (worker.router_health, worker.job_status) == ("ready", "running")
                assert (worker.role, worker.load) == (worker.group, 0)
                assert (worker.model, worker.probes_passed) == ("acme/chat", True)
        legacy, slow = view.workers[:2]
        assert legacy.sync is slow.sync is Sync.MISSING
        assert "vLLM over HTTP" in legacy.message
        assert "not serving yet: its probes fail" in slow.message

        locked = await seen.view("locked")
        assert (locked.status, locked.source) == (RouterStatus.REFUSES, source)
        assert [worker.sync for worker in locked.workers] == [Sync.UNKNOWN]
        nova = await seen.view("nova")
        assert (nova.status, nova.kind) == (RouterStatus.NOT_MANAGED, "dynamo")
        assert [(worker.job_status, worker.wrong) for worker in nova.workers] == [("running", 0)]
        silent = await seen.view("silent")
        assert (silent.status, silent.source) == (RouterStatus.DOWN, source)
    synced = (await both[Source.SERVER].view("chat")).last_sync_at
    assert synced is not None


async def test_what_the_server_can_do_and_how_it_places(both: dict[Source, Looking]) -> None:
    seen = both[Source.SERVER]
    snapshot = await seen.snapshot()
    found = snapshot.capabilities
    assert found.lanes
    assert {"placement", "list", "router"} <= found.features
    assert found.line == (
        f"{found.server_version} · placement {found.placement_version}"
        " · router list through the server"
    )
    silent = snapshot.service_named("silent")
    assert silent is not None
    assert [s.name for s in snapshot.services.values() if s.has_lanes] == ["silent"]

    async def placed() -> bool:
        return silent.id in (await seen.snapshot()).placements

    await until(placed, limit=30, every=0.3, what="the placement of all services with lanes")
    placement = (await seen.snapshot()).placements[silent.id]
    (lane,) = placement.lanes
    assert (lane.fleet, lane.min_replicas, lane.priority) == ("lab", 1, 7)
    assert (lane.running, lane.deficit, lane.deficit_since) == (2, 0, None)
    assert placement.desired == {"router": 1, "workers": 1}


async def test_a_worker_that_fails_its_health_is_the_loudest(
    sim: Simulator, both: dict[Source, Looking]
) -> None:
    await sim.faults.worker_unhealthy("chat-0-2")

    async def failed(looking: Looking) -> RouterView:
        async def first() -> RouterView | None:
            view = await looking.view("chat")
            return view if view.workers[0].router_health == "failed" else None

        found: RouterView = await until(first, limit=40, every=0.3, what="a failed worker")
        return found

    for view in (await each(both, failed)).values():
        worst = view.workers[0]
        assert (slot(worst), worst.sync, worst.job_status) == ("decode2", Sync.IN_SYNC, "running")
        assert "dstack will not repair this" in worst.message
    await sim.faults.worker_unhealthy("chat-0-2", on=False)

    async def well(looking: Looking) -> RouterView:
        async def there() -> RouterView | None:
            view = await looking.view("chat")
            return view if row(view, "decode2").router_health == "ready" else None

        found: RouterView = await until(there, limit=40, every=0.3, what="it is well again")
        return found

    await each(both, well)


async def test_what_others_do_to_the_list(sim: Simulator, both: dict[Source, Looking]) -> None:
    async with Stranger() as stranger, router_of(sim) as router:
        await register(router, stranger.url)
        for view in (
            await each(both, lambda see: see.until("chat", foreign=Sync.FOREIGN))
        ).values():
            worker = row(view, "foreign")
            assert (worker.url, worker.job_status) == (stranger.url, None)
            assert "leaves it for ever" in worker.message
        await delete(router, url=stranger.url)
        await until(lambda: _gone(router, stranger.url), limit=20, what="the stranger is gone")

        second = await job_id(sim, 2)
        await register(router, stranger.url, second)

        def shows(sync: Sync) -> Callable[[Looking], Awaitable[Worker]]:
            async def look(looking: Looking) -> Worker:
                async def there() -> Worker | None:
                    workers = (await looking.view("chat")).workers
                    return next((worker for worker in workers if worker.sync is sync), None)

                found: Worker = await until(there, limit=20, every=0.2, what=sync.value)
                return found

            return look

        for looking in both.values():
            worker = await shows(Sync.DUPLICATE)(looking)
            assert (slot(worker), worker.url) == ("decode2", stranger.url)
        true_url = f"http://{await _address(sim, 2)}:8000"
        await delete(router, url=true_url)
        for looking in both.values():
            worker = await shows(Sync.DRIFT)(looking)
            assert (slot(worker), worker.url) == ("decode2", stranger.url)
            assert f"it is at {await _address(sim, 2)}:8000" in worker.message
        await delete(router, url=stranger.url)
        await each(both, lambda see: see.until("chat", limit=40, **ALL_WELL))

        # An entry of a job that is no more, which the server removes with its next sync.
        for looking in both.values():
            job = str(uuid4())

            async def stale(looking: Looking = looking, job: str = job) -> RouterView | None:
                await register(router, stranger.url, job)
                view = await looking.view("chat")
                return view if any(w.sync is Sync.STALE for w in view.workers) else None

            view = await until(stale, limit=30, every=0.3, what="a stale entry")
            assert "with the next sync" in row(view, "stale").message
        await until(lambda: _gone(router, stranger.url), limit=30, what="the server removed it")


async def _gone(router: httpx.AsyncClient, url: str) -> bool:
    return all(entry["url"] != url for entry in (await router.get("/workers")).json()["workers"])


async def _address(sim: Simulator, replica: int) -> str:
    run = await sim.run("chat")
    data = run["jobs"][replica]["job_submissions"][-1]["job_provisioning_data"]
    address: str = data["internal_ip"]
    return address


async def test_a_worker_that_the_router_cannot_dial(
    sim: Simulator, both: dict[Source, Looking]
) -> None:
    await sim.faults.worker_walled_off("chat-0-3")
    await sim.faults.router_restart("chat-0-0")
    missing = {**ALL_WELL, "decode3": Sync.MISSING}

    async def unreachable(looking: Looking) -> RouterView:
        async def there() -> RouterView | None:
            view = await looking.until("chat", RouterStatus.READY, limit=60, **missing)
            # At first it may just have been lost in the restart.
            return view if "can't dial" in row(view, "decode3").message else None

        found: RouterView = await until(there, limit=60, every=0.3, what="it is missing")
        return found

    for view in (await each(both, unreachable)).values():
        worker = row(view, "decode3")
        assert f"can't dial {await _address(sim, 3)}:8000" in worker.message
        assert (worker.router_health, worker.probes_passed) == (None, True)
        assert view.workers[0].sync is Sync.MISSING
    await sim.faults.worker_walled_off("chat-0-3", on=False)
    await each(both, lambda see: see.until("chat", limit=40, **ALL_WELL))


async def test_a_worker_that_just_began_is_pending(
    sim: Simulator, both: dict[Source, Looking]
) -> None:
    await sim.touch_run("chat", groups=chat(slow=2)["groups"])

    async def began(looking: Looking) -> RouterView:
        async def there() -> RouterView | None:
            view = await looking.view("chat")
            new = [worker for worker in view.workers if slot(worker) == "slow6"]
            return view if new and new[0].job_status == "running" else None

        found: RouterView = await until(there, limit=90, every=0.2, what="a new worker runs")
        return found

    for view in (await each(both, began)).values():
        worker = row(view, "slow6")
        assert (worker.sync, worker.router_health) == (Sync.PENDING, None)
        assert "just begun to run" in worker.message


async def test_a_router_that_hangs_holds_up_nothing_and_one_that_ends_is_down(
    sim: Simulator, both: dict[Source, Looking]
) -> None:
    await sim.faults.router_frozen("chat-0-0")
    try:
        views = await each(both, lambda see: see.until("chat", RouterStatus.DOWN, limit=40))
    finally:
        await sim.faults.router_frozen("chat-0-0", on=False)
    for view in views.values():
        assert "answer" in view.message
        assert {worker.sync for worker in view.workers} == {Sync.UNKNOWN}
    await each(both, lambda see: see.until("chat", RouterStatus.READY, limit=40, **ALL_WELL))

    old = await job_id(sim, 3)
    await sim.faults.worker_crash("chat-0-3")
    await sim.faults.worker_crash("chat-0-0")

    async def ended(looking: Looking) -> RouterView:
        async def there() -> RouterView | None:
            view = await looking.view("chat")
            told = "replica is" in view.message
            return view if view.status is RouterStatus.DOWN and told else None

        found: RouterView = await until(there, limit=40, every=0.3, what="its replica ended")
        return found

    await each(both, ended)
    # A new router begins without a worker, and the server brings it all of them.
    await each(both, lambda see: see.until("chat", RouterStatus.READY, limit=120, **ALL_WELL))
    assert await job_id(sim, 3) != old


async def test_ways_over_ssh_end_for_certain(sim: Simulator) -> None:
    async with looking(sim, StockWatch) as seen:
        await seen.until("chat", RouterStatus.READY)
        (group,) = seen.watch.ssh_pids
        assert "ssh" in living(group)
        await seen.until("locked", RouterStatus.REFUSES)
        assert len(seen.watch.ssh_pids) == 2
    assert living(group) == []


async def test_without_a_program_for_ssh_it_is_unknown_and_says_so(sim: Simulator) -> None:
    async with looking(sim) as seen:
        snapshot = await seen.snapshot()
        ssh = SshSource(seen.client, program="no-such-ssh", now=lambda: snapshot.observed_at)
        watch = StockWatch(seen.client, sim.project, ssh=ssh)
        service = snapshot.service_named("chat")
        assert service is not None
        watch.focus(service.id)
        watch.see(snapshot, {})
        await watch.look(service.id)
        view = watch.see(snapshot, {})[service.id]
        await watch.close()
    assert (view.status, view.source) == (RouterStatus.UNKNOWN, Source.SSH)
    assert "no program no-such-ssh" in view.message
    assert {worker.sync for worker in view.workers} == {Sync.UNKNOWN}
    assert {slot(worker) for worker in view.workers} >= {"prefill1", "decode2", "decode3"}
