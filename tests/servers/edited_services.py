"""What the tests of edits share: fleets, services, a client, and ways to lose an answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.base.base import Base, read_service
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.offers.asking import ask_run
from dstack_api_client.edits.plan import applying
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.servers.commands import environment
from tests.servers.lanes import eight_gpus
from tests.waiting import until

#: Fleets by name: region, spot policy, nodes.
FLEETS = {
    "gpu-reserved": ("us-east-1", "on-demand", "0..2"),
    "gpu-spot": ("us-west-2", "spot", "0..8"),
    "brief-spot": ("eu-north-1", "spot", "0..4"),
    "still-reserved": ("ca-central-1", "on-demand", "0..2"),
    "still-spot": ("sa-east-1", "spot", "0..8"),
    "dice-reserved": ("eu-west-1", "on-demand", "0..2"),
    "dice-spot": ("ap-south-1", "spot", "0..9"),
    "desk-reserved": ("ca-central-1", "on-demand", "0..2"),
    "desk-spot": ("sa-east-1", "spot", "0..6"),
    "odds-reserved": ("eu-south-1", "on-demand", "0..2"),
    "odds-spot": ("ap-southeast-1", "spot", "0..9"),
    "odds-single": ("ap-southeast-2", "on-demand", "0..1"),
    "odds-last": ("eu-central-1", "spot", "0..4"),
    "tight-full": ("ap-east-1", "on-demand", "0..1"),
    "snap-full": ("ap-east-1", "on-demand", "0..1"),
    "yard": ("eu-west-2", "on-demand", "2..4"),
}
ROUTER = "smg launch --host 0.0.0.0 --port 8000 --enable-igw"
SECRET = "hf_kept_out_of_every_file"
#: Without them, requests go to a replica before it listens.
PROBES = [
    {
        "type": "http",
        "url": "/health",
        "interval": "1s",
        "timeout": "30s",
        "ready_after": 1,
        "until_ready": True,
    }
]


def scenario() -> Scenario:
    """The fleets, each in a region of its own."""
    regions: dict[str, dict[str, float]] = {}
    steps = []
    for name, (region, policy, nodes) in FLEETS.items():
        key = "spot" if policy == "spot" else "on_demand"
        room = "spot_capacity" if policy == "spot" else "capacity"
        regions[region] = {key: 31.05 if policy == "spot" else 98.32, room: 12}
        steps.append(
            {
                "apply": {
                    "type": "fleet",
                    "name": name,
                    "nodes": nodes,
                    "backends": ["aws"],
                    "regions": [region],
                    "spot_policy": policy,
                    "idle_duration": "off",
                    "resources": {"gpu": "H100:8"},
                }
            }
        )
    return Scenario.model_validate(
        {
            "description": "Fleets and services to be edited",
            "hosts": [{"name": "rack", "count": 2, "cpus": 32, "memory_gib": 128}],
            "cloud": {"start_seconds": 0.1, "offers": [eight_gpus(regions)]},
            "steps": steps,
        }
    )


def seed_service(name: str, pair: str) -> dict[str, Any]:
    """A baseline on reserved capacity, spot for the rest."""
    reserved = {"name": f"{pair}-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10}
    lanes = [reserved, {"name": f"{pair}-spot"}]
    return service(name, pair, fleets=lanes, replicas=2, probes=PROBES)


def service(
    name: str,
    pair: str,
    *,
    fleets: list[Any] | None = None,
    replicas: int = 1,
    groups: bool = False,
    probes: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A service that starts fast."""
    whole: dict[str, Any] = {
        "type": "service",
        "name": name,
        "port": 8000,
        "model": "acme/chat-8b",
        "probes": probes or [],
        "spot_policy": "auto",
        "env": {"HF_TOKEN": SECRET},
        "resources": {"gpu": "H100:8"},
        "fleets": fleets or [{"name": f"{pair}-spot", "min_replicas": 0}],
    }
    command = "python -m sglang.launch_server --model acme/chat-8b --port 8000"
    if groups:
        del whole["spot_policy"]
        parts = [
            {"name": part, "replicas": 1, "commands": [command], "resources": {"gpu": "H100:8"}}
            for part in ("front", "back")
        ]
        return {**whole, "groups": parts}
    return {**whole, "replicas": replicas, "commands": [command]}


def routed_service(name: str, pair: str) -> dict[str, Any]:
    """A service with replica groups, one of them of a router."""
    whole = service(name, pair, fleets=[{"name": f"{pair}-spot", "priority": 1}], groups=True)
    router = {"name": "router", "router": {"type": "smg"}, "commands": [ROUTER]}
    groups = [{**whole["groups"][0], **router}, *whole["groups"]]
    return {**whole, "groups": groups, "retry": True}


@asynccontextmanager
async def client_of(sim: Handle, **options: Any) -> AsyncIterator[Client]:
    """A client of a simulator."""
    async with Client(sim.url, sim.token, **options) as client:
        yield client


async def look(client: Client, sim: Handle) -> Snapshot:
    """The project, read once."""
    feed = Feed(client, sim.project)
    async for _ in feed.poll(full=True):
        continue
    assert feed.snapshot is not None
    return feed.snapshot


async def begin(client: Client, sim: Handle, name: str) -> tuple[ServiceEdit, Snapshot]:
    """An edit of a service as it is now."""
    snapshot = await look(client, sim)
    base = await read_service(client, sim.project, name)
    return ServiceEdit.begin(base, snapshot.capabilities), snapshot


async def stored(client: Client, sim: Handle, name: str) -> Base:
    """A service as the server has it now."""
    return await read_service(client, sim.project, name)


async def deployment_at(sim: Handle, name: str, number: int) -> bool:
    """Whether a service has reached a deployment, asked past what makes the server slow."""
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {sim.token}"}, trust_env=False
    ) as direct:
        answer = await direct.post(
            f"{sim.server_url}/api/project/{sim.project}/runs/get", json={"run_name": name}
        )
    return bool(answer.json()["deployment_num"] >= number)


async def held_back(sim: Handle, client: Client, plan: Plan) -> asyncio.Task[Any]:
    """Applies a plan on a server that has done it and holds its answer back for seconds."""
    # Less than the 5 s after which dstack's server closes a connection that is idle to it: a change
    # that goes out on such a one is lost, and never sent again.
    await sim.faults.server_slow(4)
    name, wanted = plan.base.target.name, plan.base.deployment + 1
    task = asyncio.create_task(applying.apply(client, plan))

    async def arrived() -> bool:
        if task.done():
            task.result()  # tells why it came to nothing
        return await deployment_at(sim, name, wanted)

    await until(arrived, limit=60, what="the change has arrived")
    return task


class Losing(httpx.AsyncHTTPTransport):
    """Passes requests on, and loses what one kind of them is answered with.

    Args:
        path: How the path of that kind ends.
        deliver: Whether the request itself arrives; a number is how many others overtake it.
    """

    def __init__(self, path: str, *, deliver: bool | int = True) -> None:
        super().__init__(retries=0)
        self.path = path
        self.deliver = deliver
        self.sent = 0
        self._late: tuple[httpx.Request, int] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends, and fails as a broken connection does."""
        if not request.url.path.endswith(self.path):
            await self._overtake()
            return await super().handle_async_request(request)
        self.sent += 1
        if self.deliver is True:
            await self._arrive(request)
        elif self.deliver:
            self._late = (request, self.deliver)
        raise httpx.ReadError("the connection broke off", request=request)

    async def _overtake(self) -> None:
        if self._late is not None:
            request, left = self._late
            self._late = (request, left - 1) if left > 1 else None
            if self._late is None:
                await self._arrive(request)

    async def _arrive(self, request: httpx.Request) -> None:
        response = await super().handle_async_request(request)
        await response.aread()


async def command(
    sim: Handle, home: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command line, letting others run meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dstack_fleets_tui",
        *arguments,
        env=environment(sim, home, **more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 600)
    assert process.returncode is not None
    return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


async def server_says(client: Client, project: str, edit: ServiceEdit) -> str:
    """The server's own refusal of a spec."""
    with pytest.raises(InvalidEditError) as refused:
        await ask_run(client, project, edit.spec)
    return "\n".join(refused.value.lines)
