"""TLS as it is on a network: verified, against a CA file of one's own if one is named."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dstack_api_client import errors
from dstack_api_client.transport.client import Client
from tests.builders.certificates import certificate_at

_BODY = b'{"server_version": "0.22.5"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_at(tmp_path_factory.mktemp("tls") / "ca.pem")


@pytest.fixture
async def tls_url(certificate: Path) -> AsyncIterator[str]:
    """A server that answers every request alike, behind that certificate."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_unknown_authority_is_refused(tls_url: str) -> None:
    async with Client(tls_url, "secret-token") as client:
        with pytest.raises(errors.CertificateError, match="self-signed") as raised:
            await client.server.info()
    assert client.meter.requests == 1
    assert "CA file" in raised.value.hint


async def test_a_named_authority_is_trusted(tls_url: str, certificate: Path) -> None:
    async with Client(tls_url, "secret-token", verify=certificate) as client:
        assert (await client.server.info()).version == "0.22.5"


async def test_https_to_a_server_without_tls_says_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(url, "secret-token") as client:
            with pytest.raises(errors.CertificateError) as raised:
                await client.server.info()
    assert "http://" in raised.value.hint
