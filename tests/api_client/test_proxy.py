"""A proxy that the environment names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dstack_api_client.transport.client import Client

BODY = b'{"server_version": "0.22.5"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers every request alike: its address, and what it was sent."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
async def test_a_token_for_this_machine_is_not_handed_to_a_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str
):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with listener() as (proxy, overheard), listener() as (url, heard):
        monkeypatch.setenv(variable, proxy)
        async with Client(url, "a-token") as client:
            assert (await client.server.info()).version == "0.22.5"
    assert len(heard) == 1
    assert overheard == []
