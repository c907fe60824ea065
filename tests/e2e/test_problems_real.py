"""Problems of replicas, rollouts and routers, each produced on a real server and cleared again.

Each is read off the Problems screen and out of what `get problems` prints. What is a problem only
after minutes is judged with a clock that is ahead: the snapshot is the server's, the time is not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dstack_api_client.connection import Connection, Sources
from dstack_api_client.problems import problems_of
from dstack_api_client.routers.view import RouterStatus, RouterView, Source, Sync
from dstack_fleets_tui.app import FleetsApp, utc_now
from dstack_fleets_tui.headless.get import collect
from dstack_fleets_tui.headless.looking import Asked, observe
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.settings import Settings
from dstack_simulator import Simulator
from dstack_simulator.scenario import Scenario
from dstack_widgets.cells import plain_text
from dstack_widgets.live_table import LiveTable
from tests.e2e.routed import (
    SGLANG,
    SMG,
    WHOLE,
    Looking,
    StockWatch,
    group,
    looking,
    routing,
    row,
    service,
)
from tests.e2e.test_get import command
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

#: Longer than what any of these problems must last.
LATER = timedelta(minutes=20)
ENGINE = "vllm serve acme/vision --port 8000"
PROBES = [{"type": "http", "url": "/health", "interval": "5s", "ready_after": 1}]
WELL = {"workers1": Sync.IN_SYNC, "workers2": Sync.IN_SYNC}
Seen = dict[str, dict[str, Any]]


def steady(failing: str) -> list[dict[str, Any]]:
    """A replica that is well, so that dstack starts the other one again without waiting."""
    return [group("good", ENGINE), group("bad", failing)]


def scenario() -> Scenario:
    gpu = {"memory_gib": 80, "count": 8}
    size = {"cpus": 96, "memory_gib": 1024, "disk_gib": 2000, "gpu": {"name": "H100", **gpu}}
    small = [{"hostname": f"small-{number}", "blocks": 8} for number in (1, 2)]
    lab = {
        "type": "fleet",
        "name": "lab",
        "ssh_config": {"hosts": [*small, "big-1", "big-2"]},
    }
    cloud = {
        "type": "fleet",
        "name": "burst",
        "nodes": "0..1",
        "backends": ["aws"],
        "resources": {"gpu": "H100:8"},
    }
    smg = f"{SMG} --health-check-interval-secs 1 --health-failure-threshold 2"
    chat = service(
        "chat", routing(smg), group("workers", SGLANG, 2, resources=WHOLE), probes=PROBES
    )
    vision = service("vision", group("only", ENGINE, 2), probes=PROBES, model=None)
    shaky = service("shaky", *steady("sleep 1; exit 1"), model=None)
    # The one node that its fleet may have is enough for one of two.
    lone = service("lone", group("only", ENGINE, resources=WHOLE), fleets=["burst"], model=None)
    offer = {
        "instance_type": "p5.48xlarge",
        **size,
        "regions": {"us-east-1": {"on_demand": 98.32}},
    }
    return Scenario.model_validate(
        {
            "description": "Services with problems",
            "hosts": [
                {"name": "small", "count": 2, **size},
                {"name": "big", "count": 2, **size},
            ],
            "cloud": {"start_seconds": 0.5, "offers": [offer]},
            "steps": [
                {"apply": lab},
                {"apply": cloud},
                {"until": {"fleets": {"lab": {"instances": {"idle": 4}}}}},
                *({"apply": each} for each in (chat, vision, shaky, lone)),
            ],
            "expect": {
                "runs": {
                    "chat": {"replicas": {"running": 3}, "ready": 3},
                    "vision": {"replicas": {"running": 2}, "ready": 2},
                    "shaky": {"restarted": 1},
                    "lone": {"ready": 1},
                }
            },
        }
    )


@pytest_asyncio.fixture(scope="module")
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(scenario(), launcher=("dstack_placement.server.autoload",)) as simulator:
        await simulator.settled()
        yield simulator


@pytest_asyncio.fixture(scope="module")
async def both(sim: Simulator) -> AsyncIterator[dict[Source, Looking]]:
    """Looks at routers through the server, and over SSH."""
    async with looking(sim) as server, looking(sim, StockWatch) as ssh:
        yield {Source.SERVER: server, Source.SSH: ssh}


@dataclass
class Eyes:
    """What the Problems screen and `get problems` show, with a clock that may be ahead."""

    app: FleetsApp
    connection: Connection
    ahead: timedelta

    def on_screen(self) -> Seen:
        """The rows by the keys of their problems."""
        if not isinstance(self.app.screen, ProblemsScreen):
            return {}
        table = self.app.screen.query_one(LiveTable)
        return {
            key: {
                column.key: plain_text(cell)
                for column, cell in zip(table.columns, table.get_cells(key), strict=True)
            }
            for key in table.keys
        }

    async def printed(self) -> Seen:
        """The items by their keys."""
        asked = Asked("problems")
        look = await observe(self.connection, asked)
        found = problems_of(look.snapshot, look.snapshot.observed_at + self.ahead)
        whole = collect(replace(look, problems=found), asked)
        return {item["key"]: item for item in whole["problems"]}

    async def both(self, wanted: Callable[[str], bool], words: str, limit: float = 60.0) -> Any:
        """Waits until a problem of that key stands in both, with these words.

        Returns:
            The item that is printed.
        """

        def shown() -> bool:
            rows = self.on_screen().items()
            return any(wanted(key) and words in each["problem"] for key, each in rows)

        async def told() -> dict[str, Any] | None:
            found = (await self.printed()).items()
            return next((i for key, i in found if wanted(key) and words in i["text"]), None)

        _, item = await asyncio.gather(
            until(shown, limit=limit, what=f"on screen: {words}"),
            until(told, limit=limit, every=0.3, what=f"printed: {words}"),
        )
        return item

    async def neither(self, wanted: Callable[[str], bool], limit: float = 90.0) -> None:
        """Waits until no problem of that key stands in either."""

        async def gone() -> bool:
            return not any(map(wanted, await self.printed()))

        # What is not read yet would be no problem either.
        await until(gone, limit=limit, every=0.3, what="printed no more")
        await until(
            lambda: (
                isinstance(self.app.screen, ProblemsScreen)
                and not any(map(wanted, self.on_screen()))
            ),
            limit=limit,
            what="on screen no more",
        )


@asynccontextmanager
async def eyes(sim: Simulator, ahead: timedelta = LATER) -> AsyncIterator[Eyes]:
    here = Sources("test", "test", "test")
    connection = Connection(sim.url, sim.project, sim.token, here)
    app = FleetsApp(
        connection,
        Settings(interval=0.5),
        now=lambda: utc_now() + ahead,
        terminal_is_gone=lambda: False,
    )
    async with app.run_test(size=(200, 40)) as pilot:
        await pilot.press("3")
        await until(
            lambda: app.snapshot is not None and app.snapshot.complete, limit=30, what="a full read"
        )
        yield Eyes(app, connection, ahead)


async def key_of(sim: Simulator, kind: str, run: str, what: str = "") -> Callable[[str], bool]:
    """Tells a problem of a service by its key."""
    key = f"{kind}:{(await sim.run(run))['id']}" + (f":{what}" if what else "")
    return lambda other: other == key


def wrong_now(sim: Simulator, subject: str, code: int) -> list[dict[str, Any]]:
    """What the command prints of one service, by the clock as it is."""
    process = command(sim, "get", "problems", subject, "-o", "json")
    assert (process.returncode, process.stderr) == (code, "")
    found: list[dict[str, Any]] = json.loads(process.stdout)["problems"]
    return found


async def each(
    both: dict[Source, Looking], status: RouterStatus | None = None, **wanted: Sync
) -> dict[Source, RouterView]:
    """What is seen both ways, once a router and its workers are in some state."""
    views = await asyncio.gather(
        *(look.until("chat", status, limit=60, **wanted) for look in both.values())
    )
    return dict(zip(both, views, strict=True))


async def test_a_worker_that_the_router_calls_failed_and_a_router_without_a_ready_one(
    sim: Simulator, both: dict[Source, Looking]
) -> None:
    failed = await key_of(sim, "worker", "chat", "failed")
    router = await key_of(sim, "router", "chat")
    await each(both, RouterStatus.READY, **WELL)
    async with eyes(sim) as seen:
        await seen.neither(lambda key: failed(key) or router(key))
        await sim.faults.worker_unhealthy("chat-0-1")
        item = await seen.both(failed, "workers 1: failed for the router, and running for dstack")
        assert (item["severity"], item["kind"], item["service"]) == ("critical", "worker", "chat")
        assert "dstack will not repair this" in item["hint"]
        (now,) = await asyncio.to_thread(wrong_now, sim, "chat", 4)
        assert (now["key"], now["severity"]) == (item["key"], "critical")

        await sim.faults.worker_unhealthy("chat-0-2")
        for source, view in (await each(both, RouterStatus.NOT_READY)).items():
            assert (view.source, view.ready, view.expected) == (source, 0, 2)
            assert "0 of the 2 workers that it lists are ready" in view.message
        item = await seen.both(router, "the router has no worker that it calls ready: 0 of 2")
        assert (item["severity"], item["kind"]) == ("critical", "router")
        assert not any(map(failed, await seen.printed())), "one cause, one problem"

        await sim.faults.worker_unhealthy("chat", on=False)
        await each(both, RouterStatus.READY, **WELL)
        await seen.neither(lambda key: failed(key) or router(key))
    assert wrong_now(sim, "chat", 0) == []


async def test_a_worker_that_was_deleted_drains_and_one_that_can_not_be_dialled_is_missing(
    sim: Simulator, both: dict[Source, Looking]
) -> None:
    addresses: dict[str, str] = {}
    for host in await sim.hosts():
        addresses |= host["addresses"]
    url = f"http://{addresses['chat-0-2']}:8000"
    await each(both, RouterStatus.READY, **WELL)
    async with httpx.AsyncClient(
        base_url=f"http://{addresses['chat-0-0']}:8000", timeout=20, trust_env=False
    ) as router:
        listed = (await router.get("/workers")).json()["workers"]
        (entry,) = (worker for worker in listed if worker["url"] == url)
        # SMG keeps it for its drain of 5 s, in which both ways have to see it.
        assert (await router.delete(f"/workers/{entry['id']}")).status_code == 202
        for source, view in (await each(both, workers2=Sync.DRAINING)).items():
            worker = row(view, "workers2")
            assert (view.source, worker.router_health) == (source, "draining")
            assert worker.job_status == "running"
            assert worker.message

    missing = await key_of(sim, "worker", "chat", "missing")
    await sim.faults.worker_walled_off("chat-0-2")
    async with eyes(sim) as seen:
        item = await seen.both(missing, "workers 2: not in the router's list")
        assert (item["severity"], item["kind"]) == ("warning", "worker")
        assert f"can't dial {addresses['chat-0-2']}:8000" in item["hint"]
        await sim.faults.worker_walled_off("chat-0-2", on=False)
        await each(both, RouterStatus.READY, **WELL)
        await seen.neither(missing)


async def test_a_router_that_is_down(sim: Simulator, both: dict[Source, Looking]) -> None:
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


async def test_a_replica_that_is_started_again_and_again(sim: Simulator) -> None:
    restarting = await key_of(sim, "replica", "shaky", "restarting")
    # Whoever has been up for ten minutes is none any more, so the clock is the real one.
    async with eyes(sim, timedelta()) as seen:
        item = await seen.both(restarting, "started")
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "replica", "shaky")
        assert "log lines" in item["hint"]
        await sim.touch_run("shaky", groups=steady(ENGINE))
        await seen.neither(restarting)


async def test_a_replica_that_finds_no_place(sim: Simulator) -> None:
    """It is one problem, with one key, from one attempt of dstack to the next."""
    pending = await key_of(sim, "replica", "lone", "pending")

    async def attempts() -> int:
        run = await sim.run("lone")
        return max(job["job_submissions"][-1]["submission_num"] for job in run["jobs"])

    async with eyes(sim, timedelta()) as seen:
        await seen.neither(pending)
        await sim.touch_run("lone", groups=[group("only", ENGINE, 2, resources=WHOLE)])
        item = await seen.both(pending, "only 1: no place yet")
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "replica", "lone")
        assert "goes on looking" in item["hint"]
        began = await attempts()

        async def three_more() -> bool:
            found = await seen.printed()
            of_it = [each for each in found.values() if each["service"] == "lone"]
            assert [each["key"] for each in of_it] == [item["key"]], of_it
            return await attempts() >= began + 3

        await until(three_more, limit=120, every=0.3, what="three more attempts")
        (now,) = await asyncio.to_thread(wrong_now, sim, "lone", 4)
        assert now["key"] == item["key"]
        await sim.touch_run("lone", groups=[group("only", ENGINE, resources=WHOLE)])
        await seen.neither(pending)


async def test_a_rollout_that_a_probe_holds_up(sim: Simulator) -> None:
    rollout = await key_of(sim, "rollout", "vision", "only")
    async with eyes(sim) as seen:
        await seen.neither(rollout)
        await sim.touch_run("vision", groups=[group("only", f"sleep 600; {ENGINE}", 2)])
        words = "is not ready: it runs, and probe 1 has 0 of 1 successes"
        item = await seen.both(rollout, words)
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "rollout", "vision")
        assert item["text"].startswith("rollout of only stuck at 1 of ")
        await sim.touch_run("vision", groups=[group("only", ENGINE, 2)])
        await seen.neither(rollout)
