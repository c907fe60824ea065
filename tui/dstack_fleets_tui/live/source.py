"""What a connection gives to read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import RecordingError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.recordings.recorder import RecordedFeed, Recorder
from dstack_api_client.recordings.replay import Replay
from dstack_api_client.recordings.replay_client import replay_client
from dstack_api_client.routers.watch import OverSsh, RouterWatch
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.live.poller import Polled


@dataclass(frozen=True)
class Source:
    """An open connection.

    Attributes:
        feed: What the whole dashboard shows.
        client: For what is read for one screen only.
        project: The project's name.
    """

    feed: Polled
    client: Client
    project: str


@dataclass(frozen=True)
class Recording:
    """What is written of what is read.

    Attributes:
        recorder: What writes it.
        on_end: Called with why it ended, where it did by itself.
    """

    recorder: Recorder
    on_end: Callable[[RecordingError], object]

    def of(self, feed: Feed, connection: Connection) -> Polled:
        """A feed that is recorded, if it is of the project that is."""
        return (
            RecordedFeed(feed, self.recorder, self.on_end)
            if self.recorder.is_of(connection.url, connection.project)
            else feed
        )


@asynccontextmanager
async def open_source(
    connection: Connection,
    *,
    read_only: bool = False,
    over_ssh: OverSsh = OverSsh.OPENED,
    recording: Recording | None = None,
) -> AsyncIterator[Source]:
    """Opens a client on a connection, the feed of its project, and the looks at its routers.

    Args:
        connection: Where to connect.
        read_only: Whether the client refuses every change.
        over_ssh: Of which services routers are read over SSH, on a server without the add-on.
        recording: What is recorded.
    """
    project = connection.project
    async with (
        Client(
            connection.url,
            connection.token,
            verify=connection.verify,
            read_only=read_only,
            changes_only=project,
        ) as client,
        RouterWatch(client, project, over_ssh=over_ssh) as routers,
    ):
        feed = Feed(client, project, routers=routers)
        polled = feed if recording is None else recording.of(feed, connection)
        yield Source(polled, client, project)


@asynccontextmanager
async def open_replay(replay: Replay) -> AsyncIterator[Source]:
    """Opens a recording in the place of a connection."""
    async with replay_client(replay) as client:
        yield Source(replay, client, replay.project)
