"""How long a connection to a server is used again for."""

from __future__ import annotations

import asyncio
import inspect

import pytest
import uvicorn

from dstack_api_client.transport import transport
from dstack_api_client.transport.client import Client
from tests.waiting import until

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{"server_version": "0.22.5"}\r\n'


def test_it_is_given_up_before_the_server_closes_it() -> None:
    closes_after = inspect.signature(uvicorn.Config).parameters["timeout_keep_alive"].default
    assert closes_after - 1 >= transport._KEPT


async def test_one_that_was_idle_for_longer_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "_KEPT", 0.05)
    connections = 0

    async def serve(asks: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await asks.readuntil(b"\r\n\r\n"):
                answers.write(ANSWER)
                await answers.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            answers.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(f"http://127.0.0.1:{port}", "token") as client:

        async def another() -> bool:
            await client.server.info()
            return connections > 1

        await until(another, every=0.2, what="another connection")
