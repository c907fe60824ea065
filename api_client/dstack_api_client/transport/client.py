"""A client of one dstack server: what is asked of it, by the resource that it is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from dstack_api_client.clock import utc_now
from dstack_api_client.transport.cordons import Cordons
from dstack_api_client.transport.events import Events
from dstack_api_client.transport.fleets import Exports, Fleets, Instances
from dstack_api_client.transport.placement import Placements
from dstack_api_client.transport.records import Unreadables
from dstack_api_client.transport.requests import Requests
from dstack_api_client.transport.runs import Logs, Metrics, Runs
from dstack_api_client.transport.server import Projects, Server, Users
from dstack_api_client.transport.transport import Meter, Transport


class Client:
    """An asynchronous client of one dstack server.

    Every request raises an `errors.ApiError` for whatever goes wrong.

    Args:
        url: The server's address.
        token: The user's token.
        options: What else `Transport` takes.

    Attributes:
        transport: How requests are sent.
        unreadable: What lists held that could not be read.
    """

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self._ask(Transport(url, token, **options), Unreadables())

    @classmethod
    def over(cls, transport: Transport, unreadable: Unreadables | None = None) -> Client:
        """A client over a transport that is there."""
        client = cls.__new__(cls)
        client._ask(transport, Unreadables() if unreadable is None else unreadable)
        return client

    def _ask(self, transport: Transport, unreadable: Unreadables) -> None:
        self.transport = transport
        self.unreadable = unreadable
        requests = Requests(transport, unreadable)
        self.decode = requests.decode
        self.server = Server(requests)
        self.projects = Projects(requests)
        self.users = Users(requests)
        self.fleets = Fleets(requests)
        self.exports = Exports(requests)
        self.instances = Instances(requests)
        self.runs = Runs(requests)
        self.metrics = Metrics(requests)
        self.logs = Logs(requests)
        self.events = Events(requests)
        self.placements = Placements(requests)
        self.cordons = Cordons(requests)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.transport.close()

    def beside(self) -> Client:
        """The same client, over the same connections, with a meter of its own."""
        return Client.over(self.transport.beside(), self.unreadable)

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self.transport.url

    @property
    def meter(self) -> Meter:
        """What all requests so far cost."""
        return self.transport.meter

    @property
    def clock_offset(self) -> float | None:
        """The server's clock less this machine's, in seconds; None until it told."""
        return self.transport.clock_offset

    def server_time(self, here: datetime) -> datetime:
        """A moment of this machine's clock by the server's, as far as an answer told it."""
        return here + timedelta(seconds=self.clock_offset or 0.0)

    def server_now(self) -> datetime:
        """The time by the server's clock, as far as an answer told it."""
        return self.server_time(utc_now())

    def refuse_read_only(self) -> None:
        """Makes sure that something may be changed.

        Raises:
            ReadOnlyError: The client only reads.
        """
        self.transport.refuse_read_only()
