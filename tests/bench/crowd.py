"""Streams of 20 to 60 s through services' URLs while their replicas come and go: what is cut.

A service of each kind is scaled down, moved to another fleet, rolled out, rebalanced, has one of
its hosts drained, and is scaled up again, while clients open one stream after the other. With
`--stock` the server has no add-on, and what it can't do is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from dstack_simulator import Simulator
from dstack_simulator.errors import SimulatorError
from dstack_simulator.hosts.engine import DRAINS_VARIABLE
from dstack_simulator.scenarios.scenario import Scenario
from tests.servers import postgres
from tests.servers.addon import LAUNCHER
from tests.servers.lanes import active, ask, fleet, places
from tests.servers.streams import Streams, cpu_cloud
from tests.waiting import until

from .table import Table

#: It takes minutes: it runs only where it is named.
ONLY_IF_NAMED = True
TAKES_OPTIONS = True
KINDS = ("plain", "smg", "prefill-decode", "gateway")
#: Seconds that a stream takes, at least and at most.
_SHORTEST, _LONGEST = 20, 60
#: Replicas that get requests, before it is scaled down and then.
_MANY, _FEW = 6, 2
#: Seconds for a step; each replica that stops may take the longest stream.
_LIMIT = 900
_HOURS = 4 * 3600
_DOMAIN = "apps.acme.test"
_VLLM = "vllm serve acme/chat-8b --port 8000"
_SGLANG = "python -m sglang.launch_server --model acme/chat-8b --port 8000"
_SMG = "smg launch --host 0.0.0.0 --port 8000 --enable-igw"
_PROBE = {"type": "http", "url": "/health", "interval": "2s"}
_STOPPED = re.compile(r"Replica \d+ stopped with (\d+) requests? open after \d+ s")

Lanes = list[dict[str, Any]]


def run(words: list[str]) -> Table:
    """Runs it with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench crowd", description=__doc__)
    parser.add_argument("--clients", type=int, default=40, help="clients of each service")
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all at once")
    parser.add_argument("--drain", default="90s", help="of the services (default: %(default)s)")
    parser.add_argument("--stock", action="store_true", help="without the add-on")
    parser.add_argument("--servers", type=int, default=1, help="on one PostgreSQL if several")
    parser.add_argument("--pace", choices=("real", "quick"), default="real", help="of the server")
    return asyncio.run(_run(parser.parse_args(words)))


async def _run(options: argparse.Namespace) -> Table:
    kinds = options.kind or list(KINDS)
    async with AsyncExitStack() as stack:
        database = None
        if options.servers > 1:
            database = await (await stack.enter_async_context(postgres.running())).create()
        sim = await stack.enter_async_context(
            Simulator(
                _scenario(len(kinds)),
                launcher=() if options.stock else LAUNCHER,
                database=database,
                servers=options.servers,
                pace=options.pace,
                start_limit=_LIMIT,
            )
        )
        await sim.settled()
        crowds = [Crowd(sim, kind, options) for kind in kinds]
        await asyncio.gather(*(crowd.start() for crowd in crowds))
        async with _varied(sim):
            await asyncio.gather(*(crowd.live() for crowd in crowds))
    server = "the stock server" if options.stock else f"the add-on, drain: {options.drain}"
    return Table(
        f"{options.clients} clients with streams of {_SHORTEST} to {_LONGEST} s, {server}",
        ("service", "requests", "cut", "refused", "longest wait", "drains", "told as cut"),
        [crowd.row() for crowd in crowds],
        note="Told as cut: open requests of drains that ran into their limit, by their events.",
    )


def _scenario(services: int) -> Scenario:
    hosts = f"0..{services * (_MANY + 4)}"
    pools = [
        {**fleet(name, "us-east-1", "on-demand", hosts), "resources": {"gpu": 0}}
        for name in ("first", "second")
    ]
    gateway = {
        "type": "gateway",
        "name": "edge",
        "default": False,
        "backend": "aws",
        "region": "us-east-1",
        "domain": _DOMAIN,
        "certificate": None,
    }
    return Scenario.model_validate(
        {
            "description": "Two fleets and a gateway",
            "cloud": cpu_cloud(services * 2 * (_MANY + 4)),
            "steps": [{"apply": each} for each in (*pools, gateway)],
            "expect": {"gateways": ["edge"]},
        }
    )


@asynccontextmanager
async def _varied(sim: Simulator) -> AsyncIterator[None]:
    """Lets streams that begin take another time every second."""

    seconds, over = random.Random(1), asyncio.Event()

    async def vary() -> bool:
        await sim.faults.slow_tokens(seconds.uniform(_SHORTEST, _LONGEST))
        return over.is_set()

    task = asyncio.create_task(until(vary, limit=_HOURS, every=1))
    try:
        yield
    finally:
        over.set()
        await task


class Crowd:
    """A service of one kind and its clients."""

    def __init__(self, sim: Simulator, kind: str, options: argparse.Namespace) -> None:
        self._sim = sim
        self._kind = kind
        self._clients = options.clients
        self._drain = {} if options.stock else {"drain": options.drain}
        self._stock = options.stock
        self._streams = Streams(sim, kind)
        self._events: dict[str, str] = {}

    async def start(self) -> None:
        """Starts the service, and waits until it answers."""
        served = {"gateway": "edge", "https": False} if self._kind == "gateway" else {}
        await self._sim.apply(
            {
                "type": "service",
                "name": self._kind,
                "port": 8000,
                "model": "acme/chat-8b",
                # Else it is given requests while it loads its model, and refuses them.
                "probes": [_PROBE] if self._kind in ("plain", "gateway") else [],
                # An engine whose SIGINT cuts what is open.
                "env": {DRAINS_VARIABLE: "false"},
                **served,
                **self._drain,
                **self._changes(_MANY, _lanes("first", "second")),
            }
        )
        if served:
            (url,) = await self._sim.gateway_addresses()
            host = f"{self._kind}.{_DOMAIN}"
            self._streams = Streams(self._sim, self._kind, url=url, host=host)
        await self._rests({"first": _MANY})
        await self._streams.answers()
        self._streams.ends.clear()
        self._streams.longest_wait = 0.0

    async def live(self) -> None:
        """What is done to the service while its clients ask."""
        # Of each group, where there are several.
        few = _FEW // 2 if self._kind == "prefill-decode" else _FEW
        here, there = _lanes("first", "second"), _lanes("second", "first", minimum=few)
        steps: list[tuple[str, Callable[[], Awaitable[object]], dict[str, int]]] = [
            ("scaled down", lambda: self._change(_FEW, here), {}),
            ("moved", lambda: self._change(_FEW, there), {"second": _FEW}),
            ("rolled out", lambda: self._change(_FEW, there, "new"), {}),
            ("rebalanced", self._rebalance, {"first": _FEW}),
            ("its host drained", self._drain_host, {"first": _FEW}),
            ("scaled up", lambda: self._change(_MANY, here, "new"), {}),
        ]
        fleets = {"first": _FEW}
        async with self._streams.flowing(self._clients, _LONGEST):
            what = f"half of the streams of {self._kind} are open"
            await until(self._half_open, limit=_LONGEST, every=1, what=what)
            for name, do, expected in steps:
                if self._stock and name in ("moved", "rebalanced", "its host drained"):
                    continue
                began, before = time.monotonic(), Counter(self._streams.ends)
                await do()
                fleets = expected or (fleets if name != "scaled up" else {"first": _MANY})
                await self._rests(fleets, new=name == "rolled out")
                ends = self._streams.ends - before
                sys.stderr.write(
                    f"{self._kind} {name} in {time.monotonic() - began:.0f} s: {dict(ends)}\n"
                )
        await self._read_events()

    async def _half_open(self) -> bool:
        return await self._streams.open() >= self._clients / 2

    def row(self) -> tuple[str, ...]:
        """What became of the requests."""
        ends = self._streams.ends
        cut = sum(count for end, count in ends.items() if end.startswith("cut"))
        stopped = [match for match in map(_STOPPED.fullmatch, self._events.values()) if match]
        drained = [line for line in self._events.values() if " drained in " in line]
        return (
            self._kind,
            str(ends.total()),
            str(cut),
            str(ends.total() - ends["whole"] - cut),
            f"{self._streams.longest_wait:.1f} s",
            str(len(drained) + len(stopped)),
            str(sum(int(match[1]) for match in stopped)),
        )

    def _changes(self, count: int, lanes: Lanes, mode: str = "") -> dict[str, Any]:
        """What of the service's configuration is changed."""
        fleets = ["first"] if self._stock else lanes
        more = f" --served-by {mode}" if mode else ""
        if self._kind in ("plain", "gateway"):
            return {"replicas": count, "fleets": fleets, "commands": [f"{_VLLM}{more}"]}
        if self._kind == "smg":
            workers = {"workers": (count, "")}
        else:
            workers = {
                role: (count // 2, f" --disaggregation-mode {role}")
                for role in ("prefill", "decode")
            }
        router = {
            "name": "router",
            "replicas": 1,
            "router": {"type": "smg"},
            "commands": [_SMG if self._kind == "smg" else f"{_SMG} --pd-disaggregation"],
        }
        own = {} if self._stock else {"fleets": fleets}
        groups = [
            {"name": name, "replicas": number, "commands": [f"{_SGLANG}{role}{more}"], **own}
            for name, (number, role) in workers.items()
        ]
        return {"fleets": ["first"], "groups": [router, *groups]}

    async def _change(self, count: int, lanes: Lanes, mode: str = "") -> None:
        """Edits the service; SQLite may be too busy with all the clients to take it at once."""

        async def taken() -> bool:
            try:
                await self._sim.touch_run(self._kind, **self._changes(count, lanes, mode))
            except SimulatorError:
                return False
            return True

        await until(taken, limit=_LONGEST, every=1, what=f"the server takes {self._kind}")

    async def _rebalance(self) -> None:
        lanes = [{"name": "second"}, {"name": "first", "priority": 10}]
        await self._change(_FEW, lanes, "new")
        await ask(self._sim, "rebalance", run_name=self._kind)

    async def _drain_host(self) -> None:
        names = {
            submission["job_provisioning_data"]["hostname"]
            for submission in await active(self._sim, self._kind)
        }
        there = (await self._sim.fleet("first"))["instances"]
        number = min(each["instance_num"] for each in there if each["hostname"] in names)
        if self._kind in ("smg", "prefill-decode"):
            number = await self._host_of_a_worker()
        await ask(self._sim, "drain", fleet="first", instance_num=number)

        async def empty() -> bool:
            fleet = await self._sim.fleet("first")
            busy = [each for each in fleet["instances"] if each["status"] == "busy"]
            return all(each["instance_num"] != number for each in busy)

        await until(empty, limit=_LIMIT, every=1, what=f"the host of {self._kind} is empty")
        await ask(self._sim, "uncordon", fleet="first", instance_num=number)

    async def _host_of_a_worker(self) -> int:
        """A host that has no router."""
        run = await self._sim.run(self._kind)
        hosts = {
            job["job_submissions"][-1]["job_provisioning_data"]["hostname"]
            for job in run["jobs"]
            if job["job_spec"]["replica_group"] != "router"
            and job["job_submissions"][-1]["status"] == "running"
        }
        there = (await self._sim.fleet("first"))["instances"]
        return int(min(each["instance_num"] for each in there if each["hostname"] in hosts))

    async def _rests(self, fleets: dict[str, int], *, new: bool = False) -> None:
        """Waits until the replicas are in the fleets that are said, and none is on its way."""
        expected = Counter(fleets)
        if self._kind in ("smg", "prefill-decode"):
            expected["first"] += 1
        what = f"{self._kind} is {dict(expected)}"
        await until(partial(self._rest, expected, new), limit=_LIMIT, every=1, what=what)
        await self._read_events()

    async def _rest(self, expected: Counter[str], new: bool) -> bool:
        run = await self._sim.run(self._kind)
        latest = [job["job_submissions"][-1] for job in run["jobs"]]
        going = [each for each in latest if each["status"] not in ("terminated", "aborted")]
        old = [each for each in going if each["deployment_num"] != run["deployment_num"]]
        return (
            {each["status"] for each in going} == {"running"}
            and len(going) == expected.total()
            and (not new or not old)
            and await places(self._sim, self._kind) == expected
        )

    async def _read_events(self) -> None:
        run = await self._sim.run(self._kind)
        found = await self._sim.api("/api/events/list", {"within_runs": [run["id"]], "limit": 100})
        self._events |= {each["id"]: each["message"] for each in found}


def _lanes(*names: str, minimum: int = 0) -> Lanes:
    """Lanes of which the first has a priority, and a minimum."""
    first, *others = names
    own = {"name": first, "priority": 10, "min_replicas": minimum}
    return [own, *({"name": other} for other in others)]
