"""Every state of routers and workers, reached for real: server, tunnels, SMG and all.

One server with the placement add-on. Each state is read through the server and over SSH as if the
server had no add-on: by the library, off the Router view, and out of what `get router` prints.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.routers.sources import SshSource
from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.conftest import project_name
from tests.servers.commands import program
from tests.servers.problem_sights import eyes, key_of
from tests.servers.routed_services import (
    Looking,
    StockWatch,
    Stranger,
    living,
    looking,
    row,
    scenario,
    slot,
)
from tests.servers.router_sights import Holds, Row, Shown, Sights, sights, states
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = pytest.mark.e2e

ALL_WELL = {"prefill1": Sync.IN_SYNC, "decode2": Sync.IN_SYNC, "decode3": Sync.IN_SYNC}
#: What is read at one place.
Look = Callable[[], Awaitable["Iterable[Row] | None"]]
#: How often a worker is killed at most until every place has shown what follows.
_KILLS = 4
#: They run and are never registered.
NEVER = {"legacy4": Sync.MISSING, "keyed5": Sync.MISSING, "slow6": Sync.MISSING}


@pytest_asyncio.fixture(scope="module")
async def sim(router_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    project = await router_server.add_project(project_name(request, "addon"), scenario())
    await project.settled()
    yield project
    await emptied(project)


@pytest_asyncio.fixture(scope="module")
async def places(sim: Handle) -> AsyncIterator[Sights]:
    """Where routers are shown and printed."""
    async with sights(sim) as all_of_them:
        yield all_of_them


@pytest_asyncio.fixture
async def seen(places: Sights, both: dict[Source, Looking]) -> Sights:
    """The router of `chat`, shown and printed, once all is well: any test may be the first."""
    await places.open("chat")
    await each(both, lambda see: see.until("chat", RouterStatus.READY, limit=90, **ALL_WELL))
    return places


async def each(
    both: dict[Source, Looking], look: Callable[[Looking], Awaitable[RouterView]]
) -> dict[Source, RouterView]:
    """What is seen both ways at the same time."""
    views = await asyncio.gather(*(look(looking) for looking in both.values()))
    return dict(zip(both, views, strict=True))


async def everywhere(
    both: dict[Source, Looking],
    seen: Sights,
    look: Callable[[Looking], Awaitable[RouterView]],
    holds: Holds,
    what: str,
) -> dict[Source, RouterView]:
    """What is seen both ways, while it is also shown and printed."""
    views, _ = await asyncio.gather(each(both, look), seen.agree(holds, what))
    return views


async def until_all(
    both: dict[Source, Looking], seen: Sights, status: RouterStatus | None = None, **wanted: Sync
) -> dict[Source, RouterView]:
    """Waits until a router and its workers are seen in some states, shown and printed."""
    return await everywhere(
        both,
        seen,
        lambda see: see.until("chat", status, limit=90, **wanted),
        states(status, **wanted),
        f"{status} {wanted}",
    )


@asynccontextmanager
async def router_of(sim: Handle, job: str = "chat-0-0") -> AsyncIterator[httpx.AsyncClient]:
    """The API of a router, for what nobody but this test does to it."""
    addresses: dict[str, str] = {}
    for host in await sim.hosts():
        addresses |= host["addresses"]
    async with httpx.AsyncClient(
        base_url=f"http://{addresses[job]}:8000", timeout=20, trust_env=False
    ) as client:
        yield client


async def job_id(sim: Handle, replica: int) -> str:
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


async def test_routers_of_every_kind(both: dict[Source, Looking], places: Sights) -> None:
    for source, seen in both.items():

        async def there(seen: Looking = seen) -> RouterView | None:
            view = await seen.until("chat", RouterStatus.READY, limit=60, **ALL_WELL, **NEVER)
            # Probes may pass later than the router finds a worker, and a sync be late.
            well = sum(worker.wrong == 0 for worker in view.workers) == 3 and not view.message
            synced = view.source is not Source.SERVER or view.last_sync_at is not None
            return view if well and synced and row(view, "keyed5").probes_passed else None

        view = await until(there, limit=60, every=0.3, what="all is well")
        assert (view.source, view.kind) == (source, "smg")
        assert (view.ready, view.expected) == (3, 6)
        assert [slot(worker) for worker in view.workers if worker.wrong] == [
            "keyed5",
            "legacy4",
            "slow6",
        ]
        for worker in view.workers:
            if not worker.wrong:
                assert (worker.router_health, worker.job_status) == ("ready", "running")
                assert (worker.role, worker.load) == (worker.group, 0)
                assert (worker.model, worker.probes_passed) == ("acme/chat", True)
        keyed, legacy, slow = view.workers[:3]
        assert keyed.sync is legacy.sync is slow.sync is Sync.MISSING
        assert "refuses dstack's check: its command sets an API key" in keyed.message
        assert "vLLM over HTTP" in legacy.message
        assert "not serving yet: its probes fail" in slow.message

        locked = await seen.until("locked", RouterStatus.REFUSES)
        assert locked.source is source
        assert [worker.sync for worker in locked.workers] == [Sync.UNKNOWN]
        nova = await seen.until("nova", RouterStatus.NOT_MANAGED)
        assert nova.kind == "dynamo"
        assert [(worker.job_status, worker.wrong) for worker in nova.workers] == [("running", 0)]
        silent = await seen.until("silent", RouterStatus.DOWN)
        assert silent.source is source

    def well(shown: Shown) -> bool:
        ready = all(shown.has(worker, Sync.IN_SYNC, "ready") for worker in ALL_WELL)
        listed = states(RouterStatus.READY, **ALL_WELL, **NEVER)(shown)
        return ready and listed and "refuses dstack's check" in shown.said

    await places.open("chat")
    shown = await places.agree(well, "all is well")
    assert [each.source for each in shown.values()] == ["server", "ssh", "server"]
    for name, status, words in (
        ("locked", RouterStatus.REFUSES, "asks for an API key that dstack does not have"),
        ("nova", RouterStatus.NOT_MANAGED, "A Dynamo router finds its workers by itself"),
        ("silent", RouterStatus.DOWN, "the router's"),
    ):
        await places.open(name)
        shown = await places.agree(states(status, workers1=Sync.UNKNOWN), f"{name} {status}")
        for each in shown.values():
            assert words in each.said
            assert [row.job for row in each.rows] == ["running"]


def test_a_router_that_refuses_is_printed_by_the_program(sim: Handle) -> None:
    process = program(sim, "get", "router", "locked", "-o", "json")
    assert (process.returncode, process.stderr) == (0, "")
    (item,) = json.loads(process.stdout)["router"]
    assert (item["status"], item["source"]) == ("refuses", "server")


async def test_what_the_server_can_do_and_how_it_places(both: dict[Source, Looking]) -> None:
    seen = both[Source.SERVER]
    snapshot = await seen.snapshot()
    found = snapshot.capabilities
    assert found.lanes
    assert {"placement", "list", "router"} <= found.features
    assert found.abilities == (
        f"placement {found.placement_version}",
        "router list through the server",
    )
    silent = snapshot.service_named("silent")
    assert silent is not None
    assert [s.name for s in snapshot.services.values() if s.has_lanes] == ["silent"]

    async def placed() -> bool:
        return silent.id in (await seen.snapshot()).placements

    await until(placed, limit=30, every=0.3, what="the placement of all services with lanes")
    placement = (await seen.snapshot()).placements[silent.id]
    (lane,) = placement.lanes
    assert (lane.fleet, lane.lane.min_replicas, lane.lane.priority) == ("lab", 1, 7)
    assert (lane.running, lane.deficit, lane.deficit_since) == (2, 0, None)
    assert placement.desired == {"router": 1, "workers": 1}


@pytest.mark.slow
@longest
async def test_a_worker_that_fails_its_health_is_the_loudest(
    sim: Handle, both: dict[Source, Looking], seen: Sights
) -> None:
    async def called(state: str) -> dict[Source, RouterView]:
        async def look(looking: Looking) -> RouterView:
            async def there() -> RouterView | None:
                view = await looking.view("chat")
                return view if row(view, "decode2").router_health == state else None

            found: RouterView = await until(there, limit=40, every=0.3, what=state)
            return found

        def shown(shown: Shown) -> bool:
            return shown.has("decode2", Sync.IN_SYNC, state)

        return await everywhere(both, seen, look, shown, f"decode2 {state}")

    await sim.faults.worker_unhealthy("chat-0-2")
    for view in (await called("not ready")).values():
        assert "after some more failures the router calls it failed" in row(view, "decode2").message
    for view in (await called("failed")).values():
        worst = view.workers[0]
        assert (slot(worst), worst.sync, worst.job_status) == ("decode2", Sync.IN_SYNC, "running")
        assert "dstack will not repair this" in worst.message
    await sim.faults.worker_unhealthy("chat-0-2", on=False)
    await called("ready")


@pytest.mark.slow
@longest
async def test_what_others_do_to_the_list(
    sim: Handle, both: dict[Source, Looking], seen: Sights
) -> None:
    problems = {
        sync: await key_of(sim, "worker", "chat", sync.value)
        for sync in (Sync.FOREIGN, Sync.DUPLICATE, Sync.DRIFT)
    }
    async with Stranger() as stranger, router_of(sim) as router, eyes(sim) as wrong:

        async def is_problem(sync: Sync, words: str, severity: str) -> None:
            item = await wrong.both(problems[sync], words)
            assert (item["severity"], item["kind"], item["service"]) == (severity, "worker", "chat")

        await register(router, stranger.url)
        for view in (await until_all(both, seen, foreign=Sync.FOREIGN)).values():
            worker = row(view, "foreign")
            assert (worker.url, worker.job_status) == (stranger.url, None)
            assert "never removes it" in worker.message
        words = f"{stranger.url}: listed, and no replica of this service"
        await is_problem(Sync.FOREIGN, words, "notice")
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
        await seen.agree(states(decode2=Sync.DUPLICATE), "decode2 twice")
        await is_problem(Sync.DUPLICATE, "decode 2: listed more than once", "warning")
        true_url = f"http://{await _address(sim, 2)}:8000"
        await delete(router, url=true_url)
        for looking in both.values():
            worker = await shows(Sync.DRIFT)(looking)
            assert (slot(worker), worker.url) == ("decode2", stranger.url)
            assert f"it is at {await _address(sim, 2)}:8000" in worker.message
        await seen.agree(states(decode2=Sync.DRIFT), "decode2 elsewhere")
        words = "decode 2: listed with another address than theirs"
        await is_problem(Sync.DRIFT, words, "warning")
        await delete(router, url=stranger.url)
        await until_all(both, seen, **ALL_WELL)
        await wrong.neither(lambda key: any(problem(key) for problem in problems.values()))

        # An entry of a job that is no more, which the server removes with its next sync.
        async def stale(see: Looking) -> RouterView:
            view = await see.until("chat", limit=40, stale=Sync.STALE)
            assert "with the next sync" in row(view, "stale").message
            return view

        looks = asyncio.create_task(
            everywhere(both, seen, stale, states(stale=Sync.STALE), "a stale entry")
        )

        async def registered() -> bool:
            await register(router, stranger.url, str(uuid4()))
            return looks.done()

        await until(registered, limit=60, every=0.3, what="a stale entry everywhere")
        await looks
        await until(lambda: _gone(router, stranger.url), limit=30, what="the server removed it")


async def _gone(router: httpx.AsyncClient, url: str) -> bool:
    return all(entry["url"] != url for entry in (await router.get("/workers")).json()["workers"])


async def _address(sim: Handle, replica: int) -> str:
    run = await sim.run("chat")
    data = run["jobs"][replica]["job_submissions"][-1]["job_provisioning_data"]
    address: str = data["internal_ip"]
    return address


@pytest.mark.slow
@longest
async def test_a_worker_that_the_router_cannot_dial(
    sim: Handle, both: dict[Source, Looking], seen: Sights
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

    def shown(shown: Shown) -> bool:
        return states(RouterStatus.READY, **missing)(shown) and "can't dial" in shown.said

    views = await everywhere(both, seen, unreachable, shown, "a worker that can't be dialled")
    for view in views.values():
        worker = row(view, "decode3")
        assert f"can't dial {await _address(sim, 3)}:8000" in worker.message
        assert (worker.router_health, worker.probes_passed) == (None, True)
        assert view.workers[0].sync is Sync.MISSING
    await sim.faults.worker_walled_off("chat-0-3", on=False)
    await until_all(both, seen, **ALL_WELL)


@pytest.mark.slow
async def test_a_router_that_hangs_holds_up_nothing_and_one_that_ends_is_down(
    sim: Handle, both: dict[Source, Looking], seen: Sights
) -> None:
    await sim.faults.router_frozen("chat-0-0")
    try:
        views = await until_all(both, seen, RouterStatus.DOWN)
    finally:
        await sim.faults.router_frozen("chat-0-0", on=False)
    for view in views.values():
        assert "answer" in view.message
        assert {worker.sync for worker in view.workers} == {Sync.UNKNOWN}
    await until_all(both, seen, RouterStatus.READY, **ALL_WELL)

    # A new one would be there within seconds, and who looks seldom would miss that it was not.
    await sim.faults.slow_start(600)
    await sim.faults.worker_crash("chat-0-0")

    async def ended(looking: Looking) -> RouterView:
        async def there() -> RouterView | None:
            view = await looking.view("chat")
            told = "replica is" in view.message
            return view if view.status is RouterStatus.DOWN and told else None

        found: RouterView = await until(there, limit=40, every=0.3, what="its replica ended")
        return found

    def shown(shown: Shown) -> bool:
        return states(RouterStatus.DOWN)(shown) and "replica is" in shown.said

    try:
        await everywhere(both, seen, ended, shown, "a router that ended")
    finally:
        await sim.faults.slow_start(0)
    # A new router begins without a worker, and the server brings it all of them.
    await until_all(both, seen, RouterStatus.READY, **ALL_WELL)


@pytest.mark.slow
@longest
async def test_a_worker_that_is_killed_leaves_the_list_and_its_successor_comes_in(
    sim: Handle, both: dict[Source, Looking], seen: Sights
) -> None:
    await until_all(both, seen, **ALL_WELL)

    def by_library(see: Looking) -> Look:
        async def rows() -> Iterable[Row]:
            workers = (await see.view("chat")).workers
            for each in workers:
                if each.sync is Sync.PENDING and each.job_status == "running":
                    assert "just started" in each.message
            return [
                Row(slot(each), each.sync.value, each.router_health, each.job_status)
                for each in workers
            ]

        return rows

    def by_sight(place: str) -> Look:
        async def rows() -> Iterable[Row] | None:
            shown = await seen.places[place].read()
            return shown.rows if shown is not None else None

        return rows

    looks = {
        **{f"by the library, {way}": by_library(look) for way, look in both.items()},
        **{place: by_sight(place) for place in seen.places},
    }
    lives: dict[str, set[str]] = {what: set() for what in looks}

    def was_seen() -> bool:
        # A job that began to run while its address was still that of a dead one, and the entry of
        # the dead one: the router keeps it for 5 s, whatever it calls it until then.
        return all(
            "pending, job running" in life
            and any(state.startswith(("stale", "draining")) for state in life)
            for life in lives.values()
        )

    # Who looks seldom, on a machine that is busy, may miss what lasts for seconds.
    for _ in range(_KILLS):
        old = await job_id(sim, 3)
        await sim.faults.worker_crash("chat-0-3")
        again = asyncio.create_task(_successor_runs(sim, 3, old))
        await asyncio.gather(
            *(_life_of_decode3(look, what, again, lives[what]) for what, look in looks.items())
        )
        if was_seen():
            break
    assert was_seen(), json.dumps({what: sorted(life) for what, life in lives.items()}, indent=1)


async def _successor_runs(sim: Handle, replica: int, old: str) -> None:
    async def runs() -> bool:
        last = (await sim.run("chat"))["jobs"][replica]["job_submissions"][-1]
        return last["id"] != old and bool(last["status"] == "running")

    await until(runs, limit=90, every=0.5, what="the dead worker's successor runs")


async def _life_of_decode3(
    look: Look, what: str, again: asyncio.Task[None], life: set[str]
) -> None:
    """Notes the states that the dead worker's entry and its successor are seen in, to the end."""

    async def over() -> bool:
        succeeded = again.done()
        rows = await look() or ()
        life.update(
            f"{each.sync}, job {each.job}"
            for each in rows
            if each.name == "decode3" or each.sync in ("stale", "draining")
        )
        well = any(each == Row("decode3", "in sync", "ready", "running") for each in rows)
        return well and succeeded

    try:
        await until(over, limit=120, every=0.2, what=f"the life of decode3 {what}")
    except AssertionError:
        raise AssertionError(f"the life of decode3 {what}: {life}") from None
    await again


async def test_ways_over_ssh_end_for_certain(sim: Handle) -> None:
    async with looking(sim, StockWatch) as seen:
        await seen.until("chat", RouterStatus.READY)
        (group,) = seen.watch.ssh_pids
        assert "ssh" in living(group)
        await seen.until("locked", RouterStatus.REFUSES)
        assert len(seen.watch.ssh_pids) == 2
    assert living(group) == []


@pytest.mark.slow
async def test_without_a_program_for_ssh_it_is_unknown_and_says_so(sim: Handle) -> None:
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
    assert "no-such-ssh is not installed on this machine" in view.message
    assert {worker.sync for worker in view.workers} == {Sync.UNKNOWN}
    assert {slot(worker) for worker in view.workers} >= {"prefill1", "decode2", "decode3"}
