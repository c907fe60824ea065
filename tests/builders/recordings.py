"""Recordings of servers in memory, and the clock by which they are played."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from dstack_api_client.errors import RecordingError
from dstack_api_client.feed.update import Update
from dstack_api_client.recordings.recorder import RecordedFeed, Recorder
from tests.builders.followed_feed import Clock, following
from tests.servers.fake_server import FakeServer

#: What was known after each poll, by when that was.
Past = list[tuple[datetime, Update]]


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def recorder(path: Path, server: FakeServer, **options: Any) -> Recorder:
    return Recorder(
        path, project="main", url="http://server", interval=2.0, now=Clock(server).now, **options
    )


async def record(path: Path, server: FakeServer, life: Iterator[None]) -> Past:
    """Records a server, a poll for each step of what goes on there."""
    past: Past = []
    clock = Clock(server)
    async with following(server) as followed:
        made = recorder(path, server)
        feed = RecordedFeed(followed.feed, made, _raise)
        for _ in life:
            server.now += 2.0
            past += [(clock.now(), update) async for update in feed.poll()]
        made.close()
    return past


def _raise(error: RecordingError) -> None:
    raise error
