"""What a connection gives to read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dstack_api_client.connect.connection import Connection
from dstack_api_client.feed.feed import Feed
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


@asynccontextmanager
async def open_source(
    connection: Connection, *, read_only: bool = False, over_ssh: OverSsh = OverSsh.OPENED
) -> AsyncIterator[Source]:
    """Opens a client on a connection, the feed of its project, and the looks at its routers.

    Args:
        connection: Where to connect.
        read_only: Whether the client refuses every change.
        over_ssh: Of which services routers are read over SSH, on a server without the add-on.
    """
    project = connection.project
    async with (
        Client(
            connection.url, connection.token, verify=connection.verify, read_only=read_only
        ) as client,
        RouterWatch(client, project, over_ssh=over_ssh) as routers,
    ):
        yield Source(Feed(client, project, routers=routers), client, project)
