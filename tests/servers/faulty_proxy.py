"""A proxy on a real socket between a client and a server in memory, with a fault at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from tests.builders.changing_server import ChangingServer
from tests.servers.network_faults import FAULTS, HARMLESS, TIMED, Fault, Line, right, says


class FaultyProxy:
    """Passes requests on to a server, and answers as a fault says.

    Attributes:
        server: The server behind it.
        url: Where it listens.
        fault: What becomes of answers; of those whose paths end with one of `paths`.
        paths: The ends of paths; empty for all.
        timed: Whether the fault takes time.
        asked: The paths of the requests that came.
        strangers: Requests that came to the other host that redirects lead to.
    """

    def __init__(self, server: ChangingServer) -> None:
        self.server = server
        self.url = ""
        self.elsewhere = ""
        self.fault: Fault = right
        self.timed = False
        self.paths: tuple[str, ...] = ()
        self.asked: list[str] = []
        self.strangers: list[bytes] = []

    def fails(self, name: str, *paths: str) -> None:
        """Begins a fault, by its name."""
        faults = {**FAULTS, **HARMLESS, "redirect": self.redirect}
        self.fault, self.paths, self.timed = faults[name], paths, name in TIMED

    def works(self) -> None:
        """Ends the fault."""
        self.fault, self.paths, self.timed = right, (), False

    def hits(self, path: str) -> bool:
        """Whether the fault is about a path."""
        return not self.paths or path.endswith(self.paths)

    async def redirect(self, line: Line, answer: httpx.Response) -> None:
        """Leads to another host."""
        await says("307 Temporary Redirect", b"", f"Location: {self.elsewhere}/x")(line, answer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(writer)
        try:
            while not writer.is_closing():
                await self._serve_one(reader, line)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, line: Line) -> None:
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = httpx.Headers([each.split(": ", 1) for each in rest if each])
        content = await reader.readexactly(int(headers.get("Content-Length", 0)))
        method, path, _ = first.split(" ")
        self.asked.append(path)
        request = httpx.Request(method, f"http://server{path}", headers=headers, content=content)
        answer = await self.server.answer(request)
        await answer.aread()
        await (self.fault if self.hits(request.url.path) else right)(line, answer)

    async def stranger(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.strangers.append(await reader.read(4096))
        writer.close()


@asynccontextmanager
async def faulty_proxy(server: ChangingServer | None = None) -> AsyncIterator[FaultyProxy]:
    """A proxy on loopback."""
    proxy = FaultyProxy(server or ChangingServer())
    tasks: set[asyncio.Task[None]] = set()

    def keeping(serve: Callable[..., Any]) -> Callable[..., None]:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return begin

    listener = await asyncio.start_server(keeping(proxy.serve), "127.0.0.1", 0)
    other = await asyncio.start_server(keeping(proxy.stranger), "127.0.0.1", 0)
    proxy.url, proxy.elsewhere = (
        f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}" for each in (listener, other)
    )
    try:
        yield proxy
    finally:
        for each in (listener, other):
            each.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@contextmanager
def proxy_in_a_thread(server: ChangingServer) -> Iterator[FaultyProxy]:
    """The same beside a command that runs in this process, with a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    whole = faulty_proxy(server)
    try:
        yield asyncio.run_coroutine_threadsafe(whole.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(whole.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
