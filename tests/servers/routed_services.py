"""Services with routers of every kind, and looks at them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import psutil
from aiohttp import web

from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.router import RouterStatus, RouterView, Sync, Worker
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.routers.watch import RouterWatch
from dstack_api_client.transport.client import Client
from dstack_simulator.handle.handle import Handle
from dstack_simulator.hosts.engine import EngineOptions
from dstack_simulator.hosts.load import Load
from dstack_simulator.hosts.logs import LogBuffer
from dstack_simulator.hosts.worker import Worker as Engine
from dstack_simulator.scenarios.scenario import Scenario
from tests.waiting import until

SMG = "smg launch --host 0.0.0.0 --port 8000 --enable-igw"
#: A router that notices within seconds what takes it minutes by default; what it says of a worker
#: before it calls it failed lasts long enough to be seen.
QUICK = f"{SMG} --pd-disaggregation --health-check-interval-secs 1 --health-failure-threshold 18"
SGLANG = "python -m sglang.launch_server --model acme/chat --port 8000"
#: As an engine that loads its model: whoever looks seldom sees it run before it is registered.
LOADS = "sleep 8"
#: Few CPUs are only had as a block of the host that has many.
BLOCK = {"cpu": "8..16"}
WHOLE = {"gpu": "H100:8"}
#: A big host of `lab`: a small one would do too, with all its blocks, were it not for its memory.
BIG = {**WHOLE, "memory": "1500GB.."}


def group(name: str, command: str, replicas: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "replicas": replicas, "commands": [command], "resources": BLOCK, **more}


def service(name: str, *groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "service",
        "name": name,
        "port": 8000,
        "model": "acme/chat",
        "fleets": ["lab"],
        "probes": [],
        "groups": list(groups),
        "retry": {"on_events": ["error", "interruption", "no-capacity"], "duration": "1h"},
        **more,
    }


def routing(command: str, kind: str = "smg") -> dict[str, Any]:
    return group("router", command, router={"type": kind})


def chat() -> dict[str, Any]:
    """Workers that are registered have a host each: dstack does so by the host's address."""
    return service(
        "chat",
        routing(QUICK),
        group("prefill", f"{SGLANG} --disaggregation-mode prefill", resources=BIG),
        group("decode", f"{LOADS}; {SGLANG} --disaggregation-mode decode", 2, resources=BIG),
        group("legacy", "vllm serve acme/chat --port 8000"),
        group("keyed", f"{SGLANG} --api-key secret"),
        group("slow", f"sleep 600; {SGLANG}"),
        probes=[{"type": "http", "url": "/health", "interval": "5s", "ready_after": 1}],
    )


SERVICES = (
    chat(),
    service("locked", routing(f"{SMG} --api-key secret"), group("workers", SGLANG)),
    service(
        "nova",
        routing("python -m dynamo.frontend", "dynamo"),
        group("workers", "python -m dynamo.sglang"),
        retry=None,
    ),
    service(
        "silent",
        routing("sleep infinity"),
        group("workers", "vllm serve acme/chat"),
        fleets=[{"name": "lab", "min_replicas": 1, "priority": 7}],
    ),
)


def lab(small: int, big: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Hosts, and the steps that make a fleet of them: small ones in blocks, and big ones."""
    gpu = {"name": "H100", "memory_gib": 80, "count": 8}
    size = {"cpus": 96, "disk_gib": 2000, "gpu": gpu}
    hosts = [
        *({"name": f"small-{n}", "memory_gib": 1024, **size} for n in range(1, small + 1)),
        *({"name": f"big-{n}", "memory_gib": 2048, **size} for n in range(1, big + 1)),
    ]
    named: list[Any] = [
        {"hostname": host["name"], "blocks": 8} if n < small else host["name"]
        for n, host in enumerate(hosts)
    ]
    fleet = {"type": "fleet", "name": "lab", "ssh_config": {"hosts": named}}
    idle = {"until": {"fleets": {"lab": {"instances": {"idle": len(hosts)}}}}}
    return hosts, [{"apply": fleet}, idle]


def scenario() -> Scenario:
    hosts, steps = lab(2, 3)
    return Scenario.model_validate(
        {
            "description": "Services with routers",
            "hosts": hosts,
            "steps": [*steps, *({"apply": each} for each in SERVICES)],
            "expect": {
                "runs": {
                    "chat": {"replicas": {"running": 7}},
                    "locked": {"replicas": {"running": 2}},
                    "nova": {"replicas": {"running": 2}},
                    "silent": {"replicas": {"running": 2}},
                }
            },
        }
    )


@dataclass
class Looking:
    """A feed with looks at routers, through the server or over SSH."""

    sim: Handle
    client: Client
    feed: Feed
    watch: RouterWatch

    async def snapshot(self) -> Snapshot:
        """Polls, and looks at the router that is open."""
        async for _ in self.feed.poll():
            pass
        assert self.feed.snapshot is not None
        return self.feed.snapshot

    async def view(self, name: str) -> RouterView:
        """Looks at one router now."""
        snapshot = await self.snapshot()
        service = snapshot.service_named(name)
        assert service is not None
        self.feed.focus(opened_service=service.id)
        await self.watch.look(service.id)
        return self.watch.see(snapshot, self.feed.running_since)[service.id]

    async def until(
        self, name: str, status: RouterStatus | None = None, limit: float = 30.0, **wanted: Sync
    ) -> RouterView:
        """Looks until a router and its workers are in the states that are wanted.

        Args:
            name: The service.
            status: The router's.
            limit: Seconds.
            wanted: States of workers by group and number, such as `decode2`.
        """
        view: RouterView | None = None

        async def there() -> RouterView | None:
            nonlocal view
            view = await self.view(name)
            states = {slot(worker): worker.sync for worker in view.workers}
            right = status is None or view.status is status
            return view if right and wanted.items() <= states.items() else None

        try:
            found: RouterView = await until(there, limit=limit, every=0.2)
        except AssertionError:
            raise AssertionError(f"not {status} {wanted}, but {view}") from None
        return found


def slot(worker: Worker) -> str:
    """What a worker is called in tests."""
    if worker.replica is None:
        return worker.sync.name.lower()
    return f"{worker.group}{worker.replica.replica_num}"


def row(view: RouterView, name: str) -> Worker:
    return next(worker for worker in view.workers if slot(worker) == name)


class StockWatch(RouterWatch):
    """Sees any server as one without the add-on."""

    def see(self, snapshot: Snapshot, *arguments: Any) -> Any:
        stock = Capabilities(snapshot.capabilities.server_version)
        return super().see(replace(snapshot, capabilities=stock), *arguments)


@asynccontextmanager
async def looking(
    sim: Handle, kind: type[RouterWatch] = RouterWatch, **options: Any
) -> AsyncIterator[Looking]:
    async with Client(sim.url, sim.token) as client:
        watch = kind(client, sim.project, **options)
        try:
            yield Looking(sim, client, Feed(client, sim.project, routers=watch), watch)
        finally:
            await watch.close()


def living(group: int) -> list[str]:
    """The names of the processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
    return found


class Stranger:
    """An inference engine that dstack knows nothing of, on this machine."""

    url = ""

    async def __aenter__(self) -> Stranger:
        options = EngineOptions(
            runtime="sglang",
            model="acme/chat",
            role="decode",
            tensor_parallel=1,
            bootstrap_port=8998,
        )
        engine = Engine(options, Load("stranger"), LogBuffer(), port=0)
        self._runner = web.ServerRunner(engine.serve())
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
