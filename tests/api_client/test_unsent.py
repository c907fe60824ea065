"""Whether a change that failed on its way was sent: TLS, proxies, limits, on real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client import errors
from dstack_api_client.edits.perform.rebalancing import rebalance
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import UnansweredError
from dstack_api_client.transport.client import Client
from tests.builders.audit_log import ends
from tests.builders.certificates import certificate_at
from tests.builders.hurried_edits import no_sleep
from tests.builders.service_edits import base

TOKEN = "secret-token"
PATH, WHAT = "/api/project/main/fleets/delete", "the deletion"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_at(tmp_path_factory.mktemp("tls") / "ca.pem")


@asynccontextmanager
async def listening(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback, by its port."""

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(whole, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


def says(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


def breaking_tls(certificate: Path, seen: list[bytes]) -> Serve:
    """A TLS server that gets the request, and answers with bytes that are no TLS record."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(coming, going, server_side=True)

        async def step(act: Callable[[], Any]) -> Any:
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    pass
                finally:
                    writer.write(going.read())
                coming.write(await reader.read(65536))

        await step(tls.do_handshake)
        seen.append(await step(lambda: tls.read(65536)))
        writer.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        await writer.drain()
        await reader.read()

    return serve


async def test_tls_that_breaks_while_the_answer_is_read_leaves_it_not_known(
    certificate: Path, tmp_path: Path
) -> None:
    seen: list[bytes] = []
    store = Store(tmp_path / "state")
    async with listening(breaking_tls(certificate, seen)) as port:
        url = f"https://127.0.0.1:{port}"
        async with Client(url, TOKEN, verify=certificate, sleep=no_sleep) as client:
            with pytest.raises(UnansweredError, match=r"The TLS connection to .* broke off"):
                await client.transport.write(PATH, {}, WHAT)
            with pytest.raises(UnansweredError):
                await rebalance(client, base(), store)
            assert len(seen) == 2
            with pytest.raises(errors.CannotConnectError) as raised:
                await client.server.info()
    assert len(seen) == 5, "a read is tried again"
    assert "http://" not in raised.value.hint
    assert ends(store.audit_path)[0]["result"].startswith("not known: ")


@pytest.mark.parametrize("serve", [closes, hangs, plain])
async def test_tls_that_never_comes_about_sends_nothing(
    serve: Serve, certificate: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    async with (
        listening(serve) as port,
        Client(f"https://127.0.0.1:{port}", TOKEN, verify=certificate, timeout=0.5) as client,
    ):
        await _sends_nothing(client, store)


@pytest.mark.parametrize(
    "serve",
    [
        closes,
        hangs,
        says(b""),
        says(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
        says(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\n\r\n"),
        says(b"no HTTP\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("limit", ["step", "whole"])
async def test_a_proxy_that_opens_no_way_sends_nothing(
    serve: Serve,
    limit: str,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(tmp_path)
    async with listening(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:hunter2@127.0.0.1:{port}")
        # To read the usual authorities each time takes longer than the rest.
        url = "https://server.invalid"
        async with Client(url, TOKEN, verify=certificate, timeout=0.5) as client:
            if limit == "whole":
                client.transport._longest = 0.3
            said = await _sends_nothing(client, store)
    assert "hunter2" not in said


async def test_a_client_that_can_not_be_made_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://127.0.0.1")
    async with Client("https://server.invalid", TOKEN) as client:
        await _sends_nothing(client, Store(tmp_path))


async def test_a_request_that_can_not_be_written_is_not_said_to_be_sent() -> None:
    async with Client("http://127.0.0.1:1", TOKEN) as client:
        with pytest.raises(errors.WrongShapeError, match="can't be written"):
            await client.transport.write(PATH, {"name": "\ud800"}, WHAT)


async def _sends_nothing(client: Client, store: Store) -> str:
    """What is said of a change that did not go out."""
    with pytest.raises(errors.ApiError) as raised:
        await client.transport.write(PATH, {}, WHAT)
    assert not isinstance(raised.value, UnansweredError)
    assert raised.value.unsent
    with pytest.raises(errors.ApiError) as asked:
        await rebalance(client, base(), store)
    assert not isinstance(asked.value, UnansweredError)
    (end,) = ends(store.audit_path)
    assert end["result"].startswith("not asked for: ")
    said = f"{raised.value} {end['result']}"
    assert TOKEN not in said
    return said
