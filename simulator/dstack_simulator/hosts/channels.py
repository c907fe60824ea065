"""Serves asyncio protocols over SSH channels, so that a forwarded port needs no socket of its own.

An OpenSSH client that forwards `localhost:10998` opens a channel. `ProtocolSession` makes that
channel look like a transport to any `asyncio.Protocol`, such as aiohttp's request handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

import asyncssh

ProtocolFactory = Callable[[], asyncio.Protocol]


class ChannelTransport(asyncio.Transport):
    """An SSH channel as an asyncio transport."""

    def __init__(self, channel: asyncssh.SSHTCPChannel[bytes]) -> None:
        super().__init__({"peername": ("127.0.0.1", 0), "sockname": ("127.0.0.1", 0)})
        self._channel = channel
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Sends data, unless the channel is closing: like a socket's, such data is lost."""
        if not self.is_closing():
            with contextlib.suppress(BrokenPipeError):
                self._channel.write(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Sends several pieces as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Channels close their directions one by one."""
        return True

    def write_eof(self) -> None:
        """Ends the direction towards the client."""
        if not self.is_closing():
            self._channel.write_eof()

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self._closing or self._channel.is_closing()

    def close(self) -> None:
        """Closes the channel once what was written is sent."""
        if not self.is_closing():
            self._closing = True
            self._channel.close()

    def abort(self) -> None:
        """Closes the channel at once."""
        self._closing = True
        self._channel.abort()

    def pause_reading(self) -> None:
        """Stops the delivery of data."""
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        """Delivers data again."""
        self._channel.resume_reading()

    def get_write_buffer_size(self) -> int:
        """The number of bytes waiting for the client's window."""
        return self._channel.get_write_buffer_size()


class ProtocolSession(asyncssh.SSHTCPSession[bytes]):
    """Runs one asyncio protocol on one forwarded connection."""

    _transport: ChannelTransport

    def __init__(self, factory: ProtocolFactory) -> None:
        self._protocol = factory()
        self._started = False

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """The channel is there, but nothing may be sent on it yet."""
        self._transport = ChannelTransport(chan)

    def session_started(self) -> None:
        """The channel is open."""
        self._started = True
        self._protocol.connection_made(self._transport)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Bytes from the client."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool:
        """The client sends no more."""
        return bool(self._protocol.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone."""
        if self._started:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slower than the protocol writes."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._protocol.resume_writing()


class RelayEnd(asyncio.Protocol):
    """One side of a relay: what arrives here leaves at the peer."""

    def __init__(self) -> None:
        self.peer: RelayEnd | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends what arrived before this side was there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for data in self._waiting:
            transport.write(data)
        self._waiting.clear()

    def send(self, data: bytes) -> None:
        """Writes to this side's transport, or keeps the data until there is one."""
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Passes data on."""
        if self.peer is not None:
            self.peer.send(data)

    def eof_received(self) -> bool:
        """Passes the end on and keeps the other direction open."""
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Closes the other side too."""
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
            if peer._transport is not None:
                peer._transport.close()

    def pause_writing(self) -> None:
        """Reads no more from the peer while this side cannot send."""
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.pause_reading()

    def resume_writing(self) -> None:
        """Reads from the peer again."""
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.resume_reading()


def _relay_pair() -> tuple[RelayEnd, RelayEnd]:
    near, far = RelayEnd(), RelayEnd()
    near.peer, far.peer = far, near
    return near, far


async def relay_to_address(host: str, port: int) -> ProtocolFactory:
    """Connects to a real listener and returns the near end of a relay to it.

    Raises:
        OSError: Nothing listens there.
    """
    near, far = _relay_pair()
    await asyncio.get_running_loop().create_connection(lambda: far, host, port)
    return lambda: near


async def relay_to_socket(sock: socket.socket) -> ProtocolFactory:
    """Returns the near end of a relay to a socket that is already connected."""
    near, far = _relay_pair()
    await asyncio.get_running_loop().create_connection(lambda: far, sock=sock)
    return lambda: near
