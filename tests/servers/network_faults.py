"""What a network may make of an answer: the faults that tests try, by name."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any

import httpx
import pytest

from tests.builders.generation import covering

#: Seconds that clients give a whole answer with a fault that takes time.
SHORT = 1.0
#: Faults that take time.
TIMED = ("drips", "hangs", "late")
#: Faults that take long to try.
LONG = (*TIMED, "50 MB", "endless", "gzip bomb")
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


def says(status: str, body: bytes = b"", *headers: str) -> Fault:
    async def answers(line: Line, answer: httpx.Response) -> None:
        length = () if status.startswith("204") else (_length(body),)
        await line.send(head(status, *headers, *length) + body)

    return answers


async def _huge(line: Line, answer: httpx.Response) -> None:
    size = 50_000_000
    await line.send(head("200 OK", f"Content-Length: {size}") + b'{"x": "')
    for _ in range(49):
        await line.send(b"x" * 1_000_000)
    await line.send(b"x" * (size - 49_000_000 - 9) + b'"}')


async def _endless(line: Line, answer: httpx.Response) -> None:
    """JSON that never ends, as fast as it is read."""
    await line.send(head("200 OK", "Transfer-Encoding: chunked"))
    chunk = b"%x\r\n%s\r\n" % (1_000_000, b"[" + b"0," * 499_999 + b"0")
    while True:
        await line.send(chunk)


@cache
def _packed_bomb() -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(4_000_000)) for _ in range(50)) + packer.flush()


async def _bomb(line: Line, answer: httpx.Response) -> None:
    """Little that becomes much when it is unpacked."""
    body = _packed_bomb()
    await line.send(head("200 OK", "Content-Encoding: gzip", _length(body)) + body)


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
    "endless": _endless,
    "gzip bomb": _bomb,
    "deep JSON": says("200 OK", b"[" * 100_000),
    "no HTTP": _bare,
    "HTML 502": says("502 Bad Gateway", HTML, "Content-Type: text/html"),
    "HTML 200": says("200 OK", HTML, "Content-Type: text/html"),
    "401": says("401 Unauthorized", b"no"),
    "403": says("403 Forbidden", HTML),
    "407": says("407 Proxy Authentication Required", b"", 'Proxy-Authenticate: Basic realm="x"'),
    "429": says("429 Too Many Requests", b"slow down", "Retry-After: 3600"),
    "503": says("503 Service Unavailable", b"", "Retry-After: Wed, 01 Jan 2031 00:00:00 GMT"),
    "204": says("204 No Content"),
    "null": says("200 OK", b"null"),
    "empty": says("200 OK"),
}
#: Faults through which the answer comes all the same.
HARMLESS: dict[str, Fault] = {
    "right": right,
    "reset after": _reset_after,
    "HTTP/1.0": _old_http,
    "kept alive and closed": _closes_kept_alive,
}

#: All that is tried: a redirect is made by the proxy, which knows where to.
TRIED = [*FAULTS, "redirect"]
#: One for each way in which an answer is found to be none: by the connection, HTTP, its packing,
#: its status, what a gateway says in place of the server, and JSON.
KINDS = ["reset in the body", "truncated", "broken gzip", "401", "HTML 502", "null"]


def crossed(
    rests: Sequence[tuple[str, ...]],
    *,
    quick: Sequence[tuple[str, ...]] | None = None,
    one_of: int = 1,
) -> list[Any]:
    """Parameters of a test: each fault with each of the rest.

    Args:
        rests: What a fault is tried with.
        quick: The rests that are tried in the quick run too: each of them once and each kind of
            fault once. Without it all of them.
        one_of: Of so many cases the slow run tries one; each fault and each rest is among them.
    """
    quick = rests if quick is None else quick
    wanted = {(kind, *rest) for kind, rest in covering(KINDS, quick)}
    return [
        pytest.param(*case, marks=[] if case in wanted else [pytest.mark.slow])
        for place, fault in enumerate(TRIED)
        for number, rest in enumerate(rests)
        if (case := (fault, *rest)) in wanted or (place + number) % one_of == 0
    ]
