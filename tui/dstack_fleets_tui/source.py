"""What a connection gives to read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dstack_api_client.client import Client
from dstack_api_client.connection import Connection
from dstack_api_client.feed import Feed
from dstack_api_client.routers.watch import RouterWatch
from dstack_fleets_tui.poller import Polled


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


@asynccontextmanager
async def open_source(connection: Connection, *, read_only: bool = False) -> AsyncIterator[Source]:
    """Opens a client on a connection, the feed of its project, and the looks at its routers.

    Args:
        connection: Where to connect.
        read_only: Whether the client refuses every change.
    """
    project = connection.project
    async with (
        Client(
            connection.url, connection.token, verify=connection.verify, read_only=read_only
        ) as client,
        RouterWatch(client, project) as routers,
    ):
        yield Source(Feed(client, project, routers=routers), client, project)
