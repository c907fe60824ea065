"""The web server of an emulated gateway: it passes requests on through tunnels to replicas."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Iterator

from dstack_simulator.hosts.channels import ProtocolFactory

#: What serves a port of a job.
ConnectToJob = Callable[[str, int], Awaitable[ProtocolFactory]]

_PIECE = 64 * 1024
_UNAVAILABLE = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"  # as nginx's
)


class Tunnel:
    """A gateway's tunnel to a replica.

    Attributes:
        listens: Whether requests can be passed to it; those that are open go on without.
    """

    def __init__(self, job_id: str, port: int, connect: ConnectToJob) -> None:
        self._job_id = job_id
        self._port = port
        self._connect = connect
        self._open: set[asyncio.Task[object]] = set()
        self.listens = True

    @property
    def open(self) -> int:
        """How many requests are open through it."""
        return len(self._open)

    def close(self) -> None:
        """Breaks off what is open."""
        self.listens = False
        for task in list(self._open):
            task.cancel()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the replica.

        Raises:
            OSError: Nothing listens there.
        """
        factory = await self._connect(self._job_id, self._port)
        near, far = socket.socketpair()
        await asyncio.get_running_loop().create_connection(factory, sock=far)
        return await asyncio.open_connection(sock=near)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the task that passes a request on."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            yield
        finally:
            self._open.discard(task)


class GatewayWeb:
    """Takes one request on each connection, as nginx passes them on.

    Args:
        tunnels: Those of the service of a domain.
    """

    def __init__(self, tunnels: Callable[[str], list[Tunnel]]) -> None:
        self._tunnels = tunnels
        self._server: asyncio.Server | None = None
        self._turn = 0
        self.port = 0

    async def open(self, address: str) -> None:
        """Listens; on a free port the first time, on the same port later."""
        self._server = await asyncio.start_server(
            self._take, address, self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            host = re.search(rb"(?mi)^host: *([^:\r]+)", head)
            tunnel = self._next(host[1].decode() if host is not None else "")
            if tunnel is None:
                writer.write(_UNAVAILABLE)
                return
            with tunnel.counted():
                await _pass_on(head, reader, writer, tunnel)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        except asyncio.CancelledError:
            # The tunnel is closed, or all ends: nobody waits for this task.
            writer.transport.abort()
        finally:
            writer.close()

    def _next(self, domain: str) -> Tunnel | None:
        listening = [tunnel for tunnel in self._tunnels(domain) if tunnel.listens]
        self._turn += 1
        return listening[self._turn % len(listening)] if listening else None


async def _pass_on(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: Tunnel
) -> None:
    try:
        replica_reader, replica_writer = await tunnel.connect()
    except OSError:
        # The tunnel takes what nothing listens for, and nginx sends no POST a second time.
        writer.write(_UNAVAILABLE)
        return
    try:
        one = re.sub(rb"(?mi)^connection:[^\r]*\r\n", b"", head)
        replica_writer.write(one[:-2] + b"Connection: close\r\n\r\n")
        ways = [
            asyncio.create_task(_copy(reader, replica_writer)),
            asyncio.create_task(_copy(replica_reader, writer)),
        ]
        try:
            # One that is over ends both: its client is gone, or its answer is whole.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        replica_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
