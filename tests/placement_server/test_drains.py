"""Replicas that stop end the requests that are open first, on a real server with the add-on."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from dstack_simulator.hosts.engine import DRAINS_VARIABLE
from dstack_simulator.scenarios.scenario import Scenario
from tests.builders.generation import longest
from tests.conftest import project_name
from tests.servers.lanes import events, fleet
from tests.servers.sharing import emptied
from tests.servers.streams import Streams, cpu_cloud, drained
from tests.waiting import until

pytestmark = pytest.mark.e2e

_VLLM = "vllm serve acme/chat-8b --port 8000"
_SGLANG = "python -m sglang.launch_server --model acme/chat-8b --port 8000"
_SMG = "smg launch --host 0.0.0.0 --port 8000 --enable-igw"
#: Seconds of a stream: longer than a drain of 5 s and the time in which a stop is noticed.
_LONG = 40
#: Seconds of one that another follows: longer than dstack waits before it kills.
_FLOWING = 20
#: Streams of a service, so many that each of its replicas has one.
_STREAMS = 12


def _service(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "service",
        "name": name,
        "port": 8000,
        "model": "acme/chat-8b",
        "probes": [],
        "fleets": ["pool"],
        # An engine whose SIGINT cuts what is open.
        "env": {DRAINS_VARIABLE: "false"},
        **changes,
    }


#: What comes of a longer time: moves, a rolling deployment, and roles of workers.
SLOW = (
    _service("rolled", replicas=2, commands=[_VLLM], drain="90s"),
    _service(
        "moved",
        replicas=2,
        commands=[_VLLM],
        drain="90s",
        fleets=[{"name": "pool", "min_replicas": 2}, "other"],
    ),
    _service(
        "split",
        drain="90s",
        groups=[
            {
                "name": "router",
                "replicas": 1,
                "router": {"type": "smg"},
                "commands": [f"{_SMG} --pd-disaggregation"],
            },
            {
                "name": "prefill",
                "replicas": 2,
                "commands": [f"{_SGLANG} --disaggregation-mode prefill"],
            },
            {
                "name": "decode",
                "replicas": 3,
                "commands": [f"{_SGLANG} --disaggregation-mode decode"],
            },
        ],
    ),
)
SERVICES = (
    _service("gentle", replicas=3, commands=[_VLLM], drain="60s"),
    _service("brief", replicas=3, commands=[_VLLM], drain="5s"),
    _service(
        "routed",
        groups=[
            {"name": "router", "replicas": 1, "router": {"type": "smg"}, "commands": [_SMG]},
            {"name": "workers", "replicas": 3, "commands": [_SGLANG], "drain": "60s"},
        ],
    ),
)


@pytest_asyncio.fixture(scope="module")
async def sim(addon_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    pool = {**fleet("pool", "us-east-1", "on-demand", "0..16"), "resources": {"gpu": 0}}
    scenario = Scenario.model_validate(
        {
            "description": "Services whose replicas drain",
            "cloud": cpu_cloud(16),
            "steps": [{"apply": pool}, *({"apply": each} for each in SERVICES)],
            "expect": {
                "runs": {
                    "gentle": {"status": "running", "replicas": {"running": 3}},
                    "brief": {"status": "running", "replicas": {"running": 3}},
                    "routed": {"status": "running", "replicas": {"running": 4}},
                }
            },
        }
    )
    project = await addon_server.add_project(project_name(request, "addon"), scenario)
    await project.settled()
    yield project
    await emptied(project)


async def _ended(sim: Handle, name: str, number: int) -> list[str]:
    """How drains of a service ended, once so many have."""
    found: list[str] = []

    async def have() -> bool:
        found[:] = drained(await events(sim, name))
        return len(found) >= number

    await until(have, limit=200, every=0.5, what=f"{number} drains of {name} have ended")
    return found


async def test_streams_end_before_their_replicas_do(sim: Handle) -> None:
    clients = {name: Streams(sim, name) for name in ("gentle", "brief", "routed")}
    for each in clients.values():
        await each.answers()
    for each in clients.values():
        await each.begin(_STREAMS, _LONG)
    await asyncio.gather(
        sim.touch_run("gentle", replicas=1),
        sim.touch_run("brief", replicas=1),
        sim.touch_run("routed", groups=_with_one_worker()),
    )
    for each in (clients["gentle"], clients["routed"]):
        await until(partial(_drains, sim, each.name), limit=60, every=0.5, what="they drain")
        # What comes meanwhile goes to the replica that stays.
        await each.begin(1, 1)
    await asyncio.gather(*(each.ended() for each in clients.values()))

    for name in ("gentle", "routed"):
        assert clients[name].ends == {"whole": _STREAMS + 1}
        assert all(" drained in " in line for line in await _ended(sim, name, 2))
    lines = await _ended(sim, "brief", 2)
    cut = sum(each["cut"] for each in await sim.requests("brief"))
    # None where a busy server comes to the replicas only once their streams have ended.
    assert clients["brief"].ends == Counter(whole=_STREAMS - cut, cut=cut)
    told = [
        re.fullmatch(r"Replica [12] stopped with (\d+) requests? open after \d+ s", line)
        for line in lines
    ]
    assert sum(int(each[1]) for each in told if each is not None) == cut, lines


async def _drains(sim: Handle, name: str) -> bool:
    run = await sim.run(name)
    return any(job["job_submissions"][-1]["status"] == "terminating" for job in run["jobs"])


def _with_one_worker() -> list[dict[str, Any]]:
    router, workers = SERVICES[2]["groups"]
    return [router, {**workers, "replicas": 1}]


@pytest_asyncio.fixture(scope="module")
async def slow(addon_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    pools = [
        {**fleet(name, "us-east-1", "on-demand", "0..16"), "resources": {"gpu": 0}}
        for name in ("pool", "other")
    ]
    scenario = Scenario.model_validate(
        {
            "description": "Services whose replicas drain while they are moved and rolled out",
            "cloud": cpu_cloud(24),
            "steps": [*({"apply": each} for each in (*pools, *SLOW))],
            "expect": {
                "runs": {
                    "rolled": {"status": "running", "replicas": {"running": 2}},
                    "moved": {"status": "running", "replicas": {"running": 2}},
                    "split": {"status": "running", "replicas": {"running": 6}},
                }
            },
        }
    )
    project = await addon_server.add_project(project_name(request, "slow"), scenario)
    await project.settled()
    yield project
    await emptied(project)


@pytest.mark.slow
@longest
async def test_moves_and_rolling_deployments_cut_nothing(slow: Handle) -> None:
    clients = {each["name"]: Streams(slow, each["name"]) for each in SLOW}
    for each in clients.values():
        await each.answers()
    router, *workers = SLOW[2]["groups"]
    few = [{**worker, "replicas": 1} for worker in workers]
    # The only one of its role stays until the router uses the one that comes for it.
    newer = [{**worker, "commands": [f"{worker['commands'][0]} --served-by new"]} for worker in few]
    async with AsyncExitStack() as flows:
        for each in clients.values():
            await flows.enter_async_context(each.flowing(_STREAMS, _FLOWING))
        await asyncio.gather(
            slow.touch_run("rolled", env={DRAINS_VARIABLE: "false", "MODE": "new"}),
            slow.touch_run("moved", fleets=[{"name": "other", "min_replicas": 2}]),
            slow.touch_run("split", groups=[router, *few]),
        )
        for name, number in (("rolled", 2), ("moved", 2), ("split", 3)):
            lines = await _ended(slow, name, number)
            assert all(" drained in " in line for line in lines), lines
        await slow.touch_run("split", groups=[router, *newer])
        lines = await _ended(slow, "split", 5)
        assert all(" drained in " in line for line in lines), lines
    for name, each in clients.items():
        assert set(each.ends) == {"whole"}, (name, each.ends)
        assert each.ends["whole"] >= _STREAMS
