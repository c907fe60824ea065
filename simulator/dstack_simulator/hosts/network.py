"""Loopback addresses and ports of hosts and containers."""

from __future__ import annotations

import asyncio
import errno
import socket
import weakref
from collections.abc import Iterator

from dstack_simulator.hosts.channels import ProtocolFactory, relay_to_address

_GUARD_PORT = 10998
_FIRST_BLOCK, _LAST_BLOCK = 1, 126
_CONTAINER_OFFSET = 128


class NoAddressError(RuntimeError):
    """No loopback address could be had."""


class AddressBlock:
    """A /16 of loopback addresses that no other simulator on this machine uses.

    Hosts are `127.N.x.y`; containers with a network of their own are `127.(N+128).x.y`. The block
    is held by a socket bound in it, so it is free again when the process ends, however it ends.
    """

    def __init__(self) -> None:
        self._number, self._guard = _claim_block()
        self._hosts = self._addresses(self._number)
        self._containers = self._addresses(self._number + _CONTAINER_OFFSET)

    @staticmethod
    def _addresses(block: int) -> Iterator[str]:
        for third in range(1, 255):
            for fourth in range(1, 255):
                yield f"127.{block}.{third}.{fourth}"

    def host_address(self) -> str:
        """The next address for a host. Addresses are not used twice."""
        return next(self._hosts)

    def container_address(self) -> str:
        """The next private address for a container."""
        return next(self._containers)

    def release(self) -> None:
        """Leaves the block to others."""
        self._guard.close()


def _claim_block() -> tuple[int, socket.socket]:
    for number in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind((f"127.{number}.0.1", _GUARD_PORT))
        except OSError as error:
            guard.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise NoAddressError(
                    f"This machine's loopback interface has no address 127.{number}.0.1. "
                    "Run the simulator on Linux, or add 127.0.0.0/8 to the interface."
                ) from error
            continue
        return number, guard
    raise NoAddressError(
        "Every block of loopback addresses is taken by another simulator. End one of them."
    )


class Network:
    """The ports that are open on one address, most of them without a socket.

    A host has one network. Containers share it (host mode) or have their own (bridge mode).
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._in_process: dict[int, ProtocolFactory] = {}
        self._real: set[int] = set()
        self._for_all: set[int] = set()
        self._walled: set[int] = set()
        self._servers: dict[int, asyncio.Server] = {}
        self._dialled: dict[int, weakref.WeakSet[_Dialled]] = {}
        self._reachable = True

    def open_in_process(self, port: int, factory: ProtocolFactory) -> None:
        """Serves a port for forwarded connections only.

        Raises:
            OSError: The port is taken.
        """
        if port in self._in_process or port in self._real:
            raise OSError(errno.EADDRINUSE, f"port {port} is taken on {self.address}")
        self._in_process[port] = factory

    async def open_for_all(self, port: int, factory: ProtocolFactory) -> None:
        """Serves a port for forwarded connections and for anyone who dials the address.

        Raises:
            OSError: The port is taken.
        """
        self.open_in_process(port, factory)
        self._for_all.add(port)
        try:
            await self._listen_or_not(port)
        except OSError:
            del self._in_process[port]
            self._for_all.discard(port)
            raise

    def declare_real(self, port: int) -> None:
        """Names a port that another program listens on."""
        self._real.add(port)

    def refuse(self, port: int) -> None:
        """Lets nobody connect to a port any more; what is connected stays so."""
        self._in_process.pop(port, None)
        self._for_all.discard(port)
        server = self._servers.pop(port, None)
        if server is not None:
            server.close()

    async def close_port(self, port: int) -> None:
        """Closes a port and the connections to it that were dialled."""
        self._real.discard(port)
        self._in_process.pop(port, None)
        self._for_all.discard(port)
        await self._listen_or_not(port)

    async def connect(self, port: int) -> ProtocolFactory:
        """What serves a connection to a port.

        Raises:
            OSError: Nothing listens there.
        """
        if port in self._real:
            return await relay_to_address(self.address, port)
        try:
            return self._in_process[port]
        except KeyError:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"nothing listens on {self.address}:{port}"
            ) from None

    async def set_reachable(self, reachable: bool) -> None:
        """Closes the listening sockets and what was dialled, or listens again."""
        self._reachable = reachable
        for port in list(self._for_all):
            await self._listen_or_not(port)
        if not reachable:
            for port in self._dialled:
                self._abort(port)

    async def wall_off(self, port: int, walled: bool) -> None:
        """Keeps everyone from dialling a port, or no longer; forwarded connections get through."""
        if walled:
            self._walled.add(port)
        else:
            self._walled.discard(port)
        await self._listen_or_not(port)

    async def close(self) -> None:
        """Closes every port."""
        for port in [*self._in_process, *self._real]:
            await self.close_port(port)

    async def _listen_or_not(self, port: int) -> None:
        if port in self._for_all and self._reachable and port not in self._walled:
            if port not in self._servers:
                await self._listen(port)
            return
        server = self._servers.pop(port, None)
        if server is not None:
            server.close()
        self._abort(port)

    async def _listen(self, port: int) -> None:
        factory = self._in_process[port]
        dialled = self._dialled.setdefault(port, weakref.WeakSet())

        def accept() -> _Dialled:
            connection = _Dialled(factory())
            dialled.add(connection)
            return connection

        self._servers[port] = await asyncio.get_running_loop().create_server(
            accept, self.address, port, reuse_address=True
        )

    def _abort(self, port: int) -> None:
        for connection in list(self._dialled.get(port, ())):
            connection.abort()


class _Dialled(asyncio.Protocol):
    """Passes a real connection on to its protocol, and can cut it."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def abort(self) -> None:
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()
