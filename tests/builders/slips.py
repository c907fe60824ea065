"""A project on a server whose answers have slips, over HTTP or handed over at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import httpx
import msgspec

from dstack_api_client import errors
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.transport import Transport
from tests.builders import answers
from tests.builders.mutations import mutated
from tests.servers.addon_answers import LANES, AddonServer, lane

PATHS = (
    "get_info", "projects/main/get", "fleets/list", "fleets/list", "runs/list", "runs/list",
    "runs/list", "events/list", "placement/list", "placement/get", "placement/router",
    "instances/get", "fleets/get", "runs/get", "metrics/job/chat", "logs/poll", "openapi.json",
)  # fmt: skip

#: Right answers that are kept: those to questions that slips made are many.
_MOST = 2_000
_DATES = ("Sun, 01 Mar 2026 12:00:00 -0000", "x", "Sun, 01 Mar 0001 00:00:00 GMT")


class Slips:
    """A server that has a slip in the answers of one of its addresses.

    Args:
        server: What answers without slips; it does not change.

    Attributes:
        where: What ends the path of an answer with slips; empty where none has any.
        done: The slips so far.
        made: How many answers had slips.
        is_away: Whether it only says that it has no time.
        seconds: How long it has been asked by now.
    """

    def __init__(self, server: AddonServer) -> None:
        self._server = server
        self._known = _extra()
        self._right: dict[tuple[str, bytes], tuple[int, bytes]] = {}
        self.begin(random.Random(0), "")

    def begin(self, rng: random.Random, where: str | None = None) -> None:
        """Begins with others: of an address, or of one at random."""
        self._rng = rng
        self._seed = rng.random()
        self._times: Counter[str] = Counter()
        self.where = rng.choice(PATHS) if where is None else where
        self.done: list[str] = []
        self.made = 0
        self.is_away = False
        self.seconds = 0.0

    def another(self) -> None:
        """Has the next answers have slips at another address."""
        self.where = self._rng.choice(PATHS)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers over HTTP."""
        status, body, date = self.answer(request.url.raw_path.decode(), request.content)
        return httpx.Response(status, content=body, headers={"Date": date} if date else None)

    def answer(self, path: str, asked: bytes) -> tuple[int, bytes, str]:
        """Answers: the status, the body, and what the server says that the time is."""
        if self.is_away:
            return 503, b"", ""
        status, body = self._right_answer(path, asked)
        if not self.where or not path.endswith(self.where) or status != 200:
            return status, body, ""
        # By the path and the how manieth: questions that go out at once have no order.
        self._times[path] += 1
        rng = random.Random(f"{self._seed} {path} {self._times[path]}")
        raw, what = mutated(body, rng)
        self.done.append(f"{self.where}: {what}")
        self.made += 1
        return status, raw, rng.choice(_DATES) if rng.random() < 0.05 else ""

    def _right_answer(self, path: str, asked: bytes) -> tuple[int, bytes]:
        key = path, asked
        found = self._right.get(key)
        if found is None:
            known = next((body for end, body in self._known.items() if path.endswith(end)), None)
            if known is None:
                request = httpx.Request(
                    "POST", f"http://server{path}", content=asked, headers=_AUTHORISED
                )
                response = self._server(request)
                found = response.status_code, response.read()
            else:
                found = 200, msgspec.json.encode(known)
            if len(self._right) < _MOST:
                self._right[key] = found
        return found


class Answering(Protocol):
    """What answers at once."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers over HTTP."""

    def answer(self, path: str, asked: bytes) -> tuple[int, bytes, str]:
        """Answers: the status, the body, and what the server says that the time is."""


def at_once(slips: Answering, **options: Any) -> Client:
    """A client whose answers are handed over without HTTP, which takes most of the time else."""
    return Client.over(_AtOnce(slips, **options))


class _AtOnce(Transport):
    """A transport whose answers are handed over.

    What is asked at an address that slips made goes the way of any request.

    Args:
        slips: What answers.
    """

    def __init__(self, slips: Answering, **options: Any) -> None:
        super().__init__(
            "http://server", "secret-token", transport=httpx.MockTransport(slips), **options
        )
        self._slips = slips

    async def _send(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        params: Mapping[str, Any] | None,
    ) -> bytes:
        if not path.isascii() or "%" in path or params:
            return await super()._send(path, query, what, params)
        try:
            asked = b"" if query is None else msgspec.json.encode(query)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
            return await super()._send(path, query, what, params)  # which says what is wrong
        status, body, date = self._slips.answer(path, asked)
        self.meter.add(len(body), 0.001, answered=True)
        if date:
            self._look_at_clock(httpx.Response(status, headers={"Date": date}), answers.START)
        if status != 200:
            raise errors.from_answer(status, body, what=what, url=self.url)
        return body


_AUTHORISED = {"Authorization": "Bearer secret-token"}


def whole_project() -> AddonServer:
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


def _extra() -> dict[str, Any]:
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
