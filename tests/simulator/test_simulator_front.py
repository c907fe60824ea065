"""The proxy before the server: passing on, holding back, cutting off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from aiohttp import web

from dstack_simulator import PortTakenError
from dstack_simulator.world.front import Front
from tests.waiting import until

_BIG = b"x" * 5_000_000


@pytest.fixture
def heard() -> list[str]:
    """The paths of the requests that the server got."""
    return []


@pytest_asyncio.fixture
async def backend(heard: list[str]) -> AsyncIterator[int]:
    """A server behind the front; `/big` answers much, everything else echoes the body."""

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.path)
        if request.path == "/big":
            return web.Response(body=_BIG)
        return web.Response(body=await request.read())

    app = web.Application(client_max_size=10 * len(_BIG))
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest_asyncio.fixture
async def front(backend: int) -> AsyncIterator[Front]:
    front = Front()
    await front.open(None)
    front.lead_to(backend)
    yield front
    await front.close()


@pytest_asyncio.fixture
async def client(front: Front) -> AsyncIterator[httpx.AsyncClient]:
    url = f"http://127.0.0.1:{front.port}"
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


async def test_it_passes_much_on_both_ways(client: httpx.AsyncClient) -> None:
    assert (await client.get("/big")).content == _BIG
    assert (await client.post("/echo", content=_BIG)).content == _BIG
    assert (await client.post("/echo", content=b"again")).content == b"again"


async def test_every_answer_is_held_back(front: Front, client: httpx.AsyncClient) -> None:
    front.delay = 0.3
    for _ in range(2):
        answer = await client.post("/echo", content=b"1")
        assert answer.elapsed.total_seconds() >= 0.3


async def test_a_cut_ends_open_connections_and_refuses_new_ones(
    front: Front, client: httpx.AsyncClient, backend: int, heard: list[str]
) -> None:
    front.delay = 60
    waiting = asyncio.ensure_future(client.post("/echo", content=b"1"))
    await until(lambda: heard, what="the request at the server")
    assert not waiting.done()
    front.lead_to(None)
    with pytest.raises(httpx.TransportError):
        await waiting
    front.delay = 0
    with pytest.raises(httpx.TransportError):
        await client.get("/echo")
    front.lead_to(backend)
    assert (await client.post("/echo", content=b"back")).content == b"back"


async def test_a_server_that_is_not_there_looks_so(front: Front, client: httpx.AsyncClient) -> None:
    other = Front()
    await other.open(None)
    await other.close()
    front.lead_to(other.port)
    with pytest.raises(httpx.TransportError):
        await client.get("/echo")


async def test_a_taken_port_is_said_in_one_line(front: Front) -> None:
    with pytest.raises(PortTakenError) as caught:
        await Front().open(front.port)
    assert str(front.port) in str(caught.value)
    assert "\n" not in str(caught.value)
