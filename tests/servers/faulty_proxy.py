"""A proxy on a real socket between a client and a server in memory, with a fault at a time."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.builders.changing_server import ChangingServer

#: Seconds that clients give a whole answer with a fault that takes time.
SHORT = 1.0
#: Faults that take time.
TIMED = ("drips", "hangs", "late")
#: Faults that take long to try.
LONG = (*TIMED, "50 MB")
#: Sends an answer's bytes to a client, badly.
Fault = Callable[["Line", httpx.Response], Awaitable[None]]


class Line:
    """A connection of a client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Ends it with an RST, as a host does that has gone."""
        opened = self._writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()


def head(status: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{version} {status}", *headers, "", ""]).encode()


def _length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


async def right(line: Line, answer: httpx.Response) -> None:
    """The answer as it is."""
    body = answer.content
    status = f"{answer.status_code} {answer.reason_phrase}"
    await line.send(head(status, "Content-Type: application/json", _length(body)) + body)


async def _reset_before(line: Line, answer: httpx.Response) -> None:
    line.reset()


async def _reset_in_head(line: Line, answer: httpx.Response) -> None:
    await line.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    line.reset()


async def _reset_in_body(line: Line, answer: httpx.Response) -> None:
    body = answer.content
    await line.send(head("200 OK", _length(body)) + body[: len(body) // 2])
    line.reset()


async def _reset_after(line: Line, answer: httpx.Response) -> None:
    await right(line, answer)
    line.reset()


async def _closed_before(line: Line, answer: httpx.Response) -> None:
    line.close()


async def _truncated(line: Line, answer: httpx.Response) -> None:
    body = answer.content
    await line.send(head("200 OK", _length(body)) + body[:-1])
    line.close()


async def _too_long(line: Line, answer: httpx.Response) -> None:
    body = answer.content
    await line.send(head("200 OK", f"Content-Length: {len(body) + 100}") + body)
    line.close()


async def _too_short(line: Line, answer: httpx.Response) -> None:
    body = answer.content
    await line.send(head("200 OK", f"Content-Length: {len(body) // 2}") + body)
    line.close()


async def _no_length(line: Line, answer: httpx.Response) -> None:
    await line.send(head("200 OK", "Content-Length: nonsense") + answer.content)
    line.close()


async def _broken_chunks(line: Line, answer: httpx.Response) -> None:
    await line.send(head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\n" + answer.content)
    line.close()


async def _chunks_end_early(line: Line, answer: httpx.Response) -> None:
    body = answer.content
    chunk = b"%x\r\n%s\r\n" % (len(body) // 2, body[: len(body) // 2])
    await line.send(head("200 OK", "Transfer-Encoding: chunked") + chunk)
    line.close()


async def _broken_gzip(line: Line, answer: httpx.Response) -> None:
    body = gzip.compress(answer.content)
    body = body[:10] + b"\xff" * (len(body) - 10)
    await line.send(head("200 OK", "Content-Encoding: gzip", _length(body)) + body)


async def _half_gzip(line: Line, answer: httpx.Response) -> None:
    body = gzip.compress(answer.content)[:-12]
    await line.send(head("200 OK", "Content-Encoding: gzip", _length(body)) + body)


async def _drips(line: Line, answer: httpx.Response) -> None:
    """A byte at a time, for ever: the limit of the whole answer has to end it."""
    await line.send(head("200 OK", "Transfer-Encoding: chunked"))
    while True:
        await line.send(b"1\r\n \r\n")
        await asyncio.sleep(0.005)


async def _hangs(line: Line, answer: httpx.Response) -> None:
    await asyncio.Event().wait()


async def _late(line: Line, answer: httpx.Response) -> None:
    """Later than a client waits."""
    await asyncio.sleep(2 * SHORT)
    await right(line, answer)


def _says(status: str, body: bytes = b"", *headers: str) -> Fault:
    async def says(line: Line, answer: httpx.Response) -> None:
        length = () if status.startswith("204") else (_length(body),)
        await line.send(head(status, *headers, *length) + body)

    return says


async def _huge(line: Line, answer: httpx.Response) -> None:
    size = 50_000_000
    await line.send(head("200 OK", f"Content-Length: {size}") + b'{"x": "')
    for _ in range(49):
        await line.send(b"x" * 1_000_000)
    await line.send(b"x" * (size - 49_000_000 - 9) + b'"}')


async def _bare(line: Line, answer: httpx.Response) -> None:
    """Not HTTP at all."""
    await line.send(b"SSH-2.0-OpenSSH_9.9\r\n")
    line.close()


async def _old_http(line: Line, answer: httpx.Response) -> None:
    await line.send(head("200 OK", version="HTTP/1.0") + answer.content)
    line.close()


async def _closes_kept_alive(line: Line, answer: httpx.Response) -> None:
    """Says that the connection stays, and closes it."""
    body = answer.content
    await line.send(head("200 OK", "Connection: keep-alive", _length(body)) + body)
    line.close()


HTML = b"<html><body><h1>502 Bad Gateway</h1> token=secret-token</body></html>"
#: Faults that leave no answer that can be used.
FAULTS: dict[str, Fault] = {
    "reset before": _reset_before,
    "reset in the head": _reset_in_head,
    "reset in the body": _reset_in_body,
    "closed before": _closed_before,
    "truncated": _truncated,
    "length too long": _too_long,
    "length too short": _too_short,
    "length nonsense": _no_length,
    "broken chunks": _broken_chunks,
    "chunks end early": _chunks_end_early,
    "broken gzip": _broken_gzip,
    "half a gzip": _half_gzip,
    "drips": _drips,
    "hangs": _hangs,
    "late": _late,
    "50 MB": _huge,
    "no HTTP": _bare,
    "HTML 502": _says("502 Bad Gateway", HTML, "Content-Type: text/html"),
    "HTML 200": _says("200 OK", HTML, "Content-Type: text/html"),
    "401": _says("401 Unauthorized", b"no"),
    "403": _says("403 Forbidden", HTML),
    "407": _says("407 Proxy Authentication Required", b"", 'Proxy-Authenticate: Basic realm="x"'),
    "429": _says("429 Too Many Requests", b"slow down", "Retry-After: 3600"),
    "503": _says("503 Service Unavailable", b"", "Retry-After: Wed, 01 Jan 2031 00:00:00 GMT"),
    "204": _says("204 No Content"),
    "null": _says("200 OK", b"null"),
    "empty": _says("200 OK"),
}
#: Faults through which the answer comes all the same.
HARMLESS: dict[str, Fault] = {
    "right": right,
    "reset after": _reset_after,
    "HTTP/1.0": _old_http,
    "kept alive and closed": _closes_kept_alive,
}


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
        await _says("307 Temporary Redirect", b"", f"Location: {self.elsewhere}/x")(line, answer)

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
