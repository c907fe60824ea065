"""A TCP proxy before the server: its address stays, and answers can be made slow or cut off."""

from __future__ import annotations

import asyncio
import errno

from dstack_simulator.errors import PortTakenError

_CHUNK = 1 << 18


class Front:
    """Listens where clients connect and passes everything on to the server."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds that every answer is held back."""
        self._server: asyncio.Server | None = None
        self._target: int | None = None
        self._cut = False
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self, port: int | None) -> None:
        """Starts to listen on loopback.

        Args:
            port: Any free one if None.

        Raises:
            PortTakenError: The port is in use.
        """
        try:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", port or 0, limit=_CHUNK
            )
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortTakenError(
                f"Port {port} is in use or not allowed. Choose another with --port, or leave"
                " --port out for a free one."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def lead_to(self, port: int | None) -> None:
        """Sets the server's own port; with None, connections are closed and new ones refused."""
        self._target = port
        if port is None:
            self._break_off()

    def cut(self, on: bool) -> None:
        """Closes connections and refuses new ones, whether the server runs or not; or no longer."""
        self._cut = on
        if on:
            self._break_off()

    async def close(self) -> None:
        """Stops listening and cuts every connection."""
        self.lead_to(None)
        if self._server is not None:
            self._server.close()

    def _break_off(self) -> None:
        for connection in list(self._connections):
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            # A connection that breaks or is cut is this proxy's everyday business.
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._target is None or self._cut:
            return
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self._target, limit=_CHUNK)
        asked = asyncio.Event()

        async def requests() -> None:
            while data := await reader.read(_CHUNK):
                asked.set()
                to_server.write(data)
                await to_server.drain()
            to_server.write_eof()

        async def answers() -> None:
            while data := await upstream.read(_CHUNK):
                if asked.is_set():
                    # The first bytes after something was asked: the beginning of an answer.
                    asked.clear()
                    if self.delay:
                        await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        asking = asyncio.ensure_future(requests())
        answering = asyncio.ensure_future(answers())
        try:
            await answering
            if asking.done():
                await asking
        finally:
            for task in (asking, answering):
                task.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            to_server.transport.abort()
