"""Answers with slips: whatever a server sends, nothing but an error of `errors` comes of it.

Each mutation goes through reading twice, joining, problems, distribution, rollout, the commands'
tables and JSON, the tables of the screens, and the pages of one replica. The seed is printed;
`DSTACK_FLEETS_TESTS_MANY=1` tries many more, `DSTACK_FLEETS_TESTS_SEED` the same again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dstack_api_client import fault_log
from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.fleet_facts import fleet_facts
from dstack_api_client.analysis.rollout import rollout_of
from dstack_api_client.analysis.since import Since
from dstack_api_client.edits.base import fleet_of, service_of
from dstack_api_client.errors import ApiError
from dstack_api_client.events.stream import Event, EventStream, event_of
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.configuration import as_yaml
from dstack_api_client.model.snapshot import ReplicaKey, Snapshot
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.replica.watch import ReplicaWatch
from dstack_api_client.routers.watch import OverSsh, read_router
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless.get import collect, table
from dstack_fleets_tui.headless.kinds import SHOWN
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.headless.select import NoSuchNameError
from tests.api_client.mutations import mutated
from tests.api_client.painted import paint
from tests.builders import answers
from tests.builders.generation import PARTS, SEED, cases
from tests.servers.addon_answers import LANES, AddonServer, lane

MUTATIONS = cases(4_000)
_NOW = answers.START + timedelta(minutes=10)


class Slips:
    """A server that has a slip in the answers of one of its addresses."""

    def __init__(self, server: AddonServer, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._known = _extra(server)
        #: What ends the path of an answer with slips.
        self.where = rng.choice(PATHS)
        self.done = "nothing"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        known = next((body for end, body in self._known.items() if path.endswith(end)), None)
        response = self._server(request) if known is None else httpx.Response(200, json=known)
        if not path.endswith(self.where) or response.status_code != 200:
            return response
        body, self.done = mutated(response.json(), self._rng)
        headers = {}
        if self._rng.random() < 0.05:
            headers["Date"] = self._rng.choice(
                ("Sun, 01 Mar 2026 12:00:00 -0000", "x", "Sun, 01 Mar 0001 00:00:00 GMT")
            )
        return httpx.Response(200, content=body, headers=headers)


PATHS = (
    "get_info", "projects/main/get", "fleets/list", "fleets/list", "runs/list", "runs/list",
    "runs/list", "events/list", "placement/list", "placement/get", "placement/router",
    "instances/get", "fleets/get", "runs/get", "metrics/job/chat", "logs/poll", "openapi.json",
)  # fmt: skip


def _server() -> AddonServer:
    server = AddonServer()
    fleets = [answers.fleet(number) for number in (1, 2)]
    server.fleets = fleets
    server.instances = [
        answers.instance(1, fleets[0]),
        answers.instance(2, fleets[1], status="idle", busy_blocks=0, unreachable=True),
    ]
    jobs = [
        answers.job(0, answers.submission(0), name="chat", replica_group="router"),
        answers.job(
            1,
            answers.submission(11, status="failed", finished_at=answers.at(5)),
            answers.submission(1, submission_num=1),
            name="chat",
            replica_group="decode",
        ),
        answers.job(
            2, answers.submission(2, status="provisioning"), name="chat", replica_group="decode"
        ),
    ]
    configuration = {
        "fleets": LANES,
        "replicas": None,
        "groups": [
            {"name": "router", "replicas": {"min": 1, "max": 1}, "router": {"type": "sglang"}},
            {"name": "decode", "replicas": {"min": 2, "max": 4}, "commands": ["python -m sglang"]},
        ],
        "port": {"local_port": 80, "container_port": 8000},
        "env": {"A": "1"},
        "probes": [{"type": "http", "url": "/health", "timeout": 5}],
        "resources": {
            "gpu": {"name": ["H100"], "count": {"min": 1, "max": 1}},
            "cpu": {"count": {"min": 2, "max": None}},
            "disk": {"size": {"min": 100.0, "max": None}},
        },
        "max_duration": 3600,
    }
    server.runs = [
        answers.run(1, *jobs, name="chat", configuration=configuration, deployment_num=1),
        answers.run(2, answers.job(0, answers.submission(3), name="train"), name="train",
                    configuration={"type": "task"}),
        answers.run(3, name="over", status="terminated"),
    ]  # fmt: skip
    for number, message in enumerate(
        (
            "Job assigned to instance. Instance blocks: 1/1 busy",
            "Job status changed PULLING -> RUNNING",
            "Instance status changed BUSY -> IDLE",
            "Instance became unreachable",
            "Run updated. Deployment: 1.",
        ),
        1,
    ):
        server.events.append(
            answers.event(
                number,
                message,
                ("job", answers.ident(100_001), "chat-0-1"),
                ("instance", answers.ident(1002), "fleet-2"),
                ("run", answers.ident(10_001), "chat"),
            )
        )
    server.place(
        server.runs[0],
        groups=[
            {"name": "router", "desired": 1, "pool": ""},
            {"name": "decode", "desired": 2, "pool": ""},
        ],
        lanes=[
            lane("fleet-1", min_replicas=2, priority=10, deficit=1),
            lane("fleet-2", cooldown_until=answers.at(900), room=1),
        ],
        replicas=[
            {"replica_num": number, "group": "decode", "job_id": answers.ident(100_000 + number),
             "fleet": "fleet-2", "reason": "fallback", "why": "no room", "since": answers.at(3)}
            for number in (1, 2)
        ],
    )  # fmt: skip
    server.routers["chat"] = {
        "status": "ready",
        "observed_at": answers.at(9),
        "last_sync_at": answers.at(5),
        "sync_interval": 5.0,
        "router_type": "smg",
        "router_replica": 0,
        "workers": [
            {"id": "w", "url": "http://10.0.0.1:8000", "status": "ready", "is_healthy": True,
             "load": 1, "worker_type": "decode",
             "labels": {"dstack.ai/job-id": answers.ident(100_001)}}
        ],
        "expected": [
            {"job_id": answers.ident(100_001), "replica_num": 1, "group": "decode",
             "url": "http://10.0.0.1:8000", "job_status": "running", "since": answers.at(4)}
        ],
    }  # fmt: skip
    return server


def _extra(server: AddonServer) -> dict[str, Any]:
    """What a `FakeServer` does not have."""
    times = [answers.at(20), answers.at(10)]
    names = ("cpu_usage_percent", "memory_working_set_bytes", "gpu_util_percent_gpu0")
    return {
        "/metrics/job/chat": {
            "metrics": [{"name": name, "timestamps": times, "values": [5, 6.5]} for name in names]
        },
        "/logs/poll": {
            "logs": [
                {"timestamp": answers.at(number), "message": "aGVsbG8K", "log_source": "stdout"}
                for number in range(3)
            ],
            "next_token": None,
        },
    }


@pytest.fixture(autouse=True)
def no_fault_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading would make a state of a fault, the fault itself is wanted here."""

    def bring_up(error: BaseException) -> None:
        raise error

    monkeypatch.setattr(fault_log, "write", bring_up)


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_no_slip_of_a_server_is_more_than_an_error(part: int) -> None:
    print(f"seed {SEED}")  # noqa: T201
    server = _server()
    escaped: dict[str, str] = {}
    for number in range(part, MUTATIONS, len(PARTS)):
        rng = random.Random(SEED + number)
        slips = Slips(server, rng)
        try:
            await _look(slips, rng)
        except Exception as error:
            said = f"seed {SEED + number}: {slips.where}: {slips.done}: {error!r}"
            escaped.setdefault(fault_log.place_of(error), said[:400])
    assert escaped == {}


async def test_without_a_slip_all_of_it_is_read() -> None:
    slips = Slips(_server(), random.Random(1))
    slips.where = "nowhere"
    snapshot = await _look(slips, random.Random(1))
    assert snapshot is not None
    assert len(snapshot.services) == 2
    assert snapshot.placements
    assert snapshot.unreadable == ()
    assert [len(view.workers) for view in snapshot.routers.values()] == [2]


async def _look(slips: Slips, rng: random.Random) -> Snapshot | None:
    """Reads a project and shows all that there is to show of it."""

    async def no_sleep(seconds: float) -> None:
        del seconds

    transport = httpx.MockTransport(slips)
    async with Client(
        "http://server", "secret-token", transport=transport, sleep=no_sleep
    ) as client:
        feed = Feed(client, "main", now=lambda: _NOW)
        async for _ in feed.poll():
            pass
        snapshot = feed.snapshot
        if snapshot is None:
            return None
        service = next(iter(snapshot.services), None)
        fleet = next(iter(snapshot.fleets), None)
        feed.focus(opened_service=service, opened_fleet=fleet, services=list(snapshot.services))
        async for _ in feed.poll(full=rng.random() < 0.3):
            pass
        assert feed.snapshot is not None
        snapshot = await _with_routers(client, feed.snapshot)
        since = Since()
        since.learn(feed.events)
        _show(snapshot, since, [event_of(event) for event in feed.events])
        await _pages(client, snapshot, slips.where)
    return snapshot


async def _with_routers(client: Client, snapshot: Snapshot) -> Snapshot:
    views = [
        await read_router(
            client, "main", snapshot, service, over_ssh=OverSsh.NONE, now=lambda: _NOW
        )
        for service in snapshot.services.values()
        if service.router is not None
    ]
    return replace(snapshot, routers={view.run_id: view for view in views if view is not None})


def _show(snapshot: Snapshot, since: Since, events: Sequence[Event]) -> None:
    problems = problems_of(snapshot, _NOW, since)
    for service in snapshot.services.values():
        distribution_of(snapshot, service)
        rollout_of(snapshot, service, since=since)
        as_yaml(service.spec.get("configuration") or {})
    for fleet in snapshot.fleets.values():
        fleet_facts(fleet)
        as_yaml(fleet.spec.get("configuration") or {})
    paint(snapshot, since, problems, events, _NOW)
    look = Look(snapshot, problems, tuple(events))
    for kind in SHOWN:
        asked = Asked(kind, ended=True)
        json.dumps(collect(look, asked))
        table(look, asked, colour=True)


async def _pages(client: Client, snapshot: Snapshot, where: str) -> None:
    """What is read for one screen only, where the slip is in it."""
    if where == "events/list":
        stream = EventStream(client, "main", None, now=lambda: _NOW)
        for _ in range(2):
            async for _ in stream.poll():
                pass
    replica = next(iter(snapshot.replicas.values()), None)
    if replica is not None and where in ("runs/get", "metrics/job/chat", "logs/poll"):
        watch = ReplicaWatch(client, "main", ReplicaKey(replica.key.run_id, 0, 0), now=lambda: _NOW)
        watch.follow(replace(replica, run_name="chat"))
        async for _ in watch.poll(full=True):
            pass
    try:
        if where == "runs/get":
            body = await client.read("/api/project/main/runs/get", {"run_name": "chat"}, "it")
            as_yaml(service_of(client, "main", body).configuration)
        if where == "fleets/get":
            query = {"id": answers.ident(101)}
            body = await client.read("/api/project/main/fleets/get", query, "it")
            as_yaml(fleet_of(client, "main", body).configuration)
    except (ApiError, NoSuchNameError):
        return
