"""A feed on a server in memory, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import Update
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from tests.builders import answers
from tests.servers.fake_server import FakeServer


@dataclass
class Clock:
    """A clock that stands still, for the feed and for the server."""

    server: FakeServer

    def now(self) -> datetime:
        return answers.START + timedelta(seconds=self.server.now)

    def monotonic(self) -> float:
        return self.server.now


@dataclass
class Followed:
    """A feed on a server in memory."""

    server: FakeServer
    client: Client
    feed: Feed

    async def poll(self, *, full: bool = False, after: float = 2.0) -> list[Update]:
        self.server.now += after
        self.server.asked.clear()
        return [update async for update in self.feed.poll(full=full)]

    @property
    def snapshot(self) -> Snapshot:
        assert self.feed.snapshot is not None
        return self.feed.snapshot


@asynccontextmanager
async def following(server: FakeServer) -> AsyncIterator[Followed]:
    clock = Clock(server)
    async with server.client(monotonic=clock.monotonic) as client:
        yield Followed(
            server, client, Feed(client, "main", now=clock.now, monotonic=clock.monotonic)
        )


def small() -> FakeServer:
    """Two fleets of two instances, three services of two replicas and a task."""
    server = FakeServer()
    server.fleets = [answers.fleet(1), answers.fleet(2)]
    server.instances = [
        answers.instance(number, server.fleets[number // 2], hostname=f"10.0.0.{number}")
        for number in range(4)
    ]
    for number in range(3):
        jobs = [
            answers.job(
                replica,
                answers.submission(
                    number * 10 + replica,
                    job_provisioning_data={
                        **answers.submission(0)["job_provisioning_data"],
                        "hostname": f"10.0.0.{number}",
                    },
                ),
                name=f"s-{number}",
            )
            for replica in range(2)
        ]
        server.runs.append(answers.run(number, *jobs, name=f"s-{number}"))
    job = answers.job(0, answers.submission(80), name="t")
    server.runs.append(answers.run(8, job, name="t", configuration={"type": "task"}))
    server.runs.append(answers.run(9, name="old", status="terminated"))
    server.now = 1000.0
    return server


def submission_of(server: FakeServer, name: str, replica: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = server.run_named(name)["jobs"][replica]["job_submissions"][-1]
    return found
