"""Names that hang: no longer than the limit of a step, and nothing waits for them afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client import errors
from dstack_api_client.errors import UnansweredError
from dstack_api_client.transport import resolving
from dstack_api_client.transport.client import Client
from tests.builders.hurried_edits import no_sleep
from tests.servers.faulty_proxy import faulty_proxy

SHORT = 0.2


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that hangs until the event is set."""
    until, resolve = threading.Event(), socket.getaddrinfo

    def hangs(host: Any, *arguments: Any, **options: Any) -> Any:
        if ".invalid" in str(host) and not until.is_set():
            until.wait()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    yield until
    until.set()


def test_a_loop_ends_though_a_name_still_hangs(hanging: threading.Event) -> None:
    said: list[object] = []

    async def asks() -> None:
        async with Client("http://slow.invalid", "t", timeout=SHORT, sleep=no_sleep) as client:
            asked = client.server.info(), client.fleets.delete("main", "f")
            said.extend(await asyncio.gather(*asked, return_exceptions=True))

    ended = threading.Thread(target=lambda: asyncio.run(asks()), daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive(), "it waits for the resolver"
    assert [type(error) for error in said] == [errors.TimedOutError] * 2
    assert not any(isinstance(error, UnansweredError) for error in said), "nothing was sent"


async def test_the_next_request_finds_the_name_though_the_last_still_hangs(
    hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty_proxy() as proxy:
        url = proxy.url.replace("127.0.0.1", "server.invalid")
        async with Client(url, "secret-token", timeout=SHORT, sleep=no_sleep) as client:
            with pytest.raises(errors.TimedOutError):
                await client.server.info()
            monkeypatch.undo()
            resolve = socket.getaddrinfo
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda host, *arguments, **options: resolve("127.0.0.1", *arguments, **options),
            )
            client.transport._http.timeout = 30.0  # type: ignore[union-attr]
            assert (await client.server.info()).version


async def test_a_resolver_that_never_answers_takes_no_more_than_some_threads(
    hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "_MOST", 2)
    async with Client("http://slow.invalid", "t", timeout=SHORT, sleep=no_sleep) as client:
        for _ in range(2):
            with pytest.raises(errors.TimedOutError):
                await client.server.info()
        with pytest.raises(errors.CannotConnectError, match="The resolver does not answer"):
            await client.server.info()
    assert sum(each.name == "resolver" for each in threading.enumerate()) <= 2


def test_commands_end_though_a_name_hangs(tmp_path: Path) -> None:
    program = (
        "import socket, sys, threading\n"
        "socket.getaddrinfo = lambda *a, **k: threading.Event().wait()\n"
        "from dstack_api_client.transport.transport import Transport\n"
        f"Transport.__init__.__kwdefaults__['timeout'] = {SHORT}\n"
        "from dstack_fleets_tui.cli.main import main\n"
        "print(*(main(command.split()) for command in sys.argv[1:]))\n"
    )
    commands = ["get fleets", "apply chat --replicas 2 --yes"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *commands],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "DSTACK_SERVER_URL": "https://slow.invalid",
            "DSTACK_PROJECT": "main",
            "DSTACK_TOKEN": "secret-token",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "3 3\n"), ended.stderr
    assert ended.stderr.count("did not answer in time") == 2
    assert "Traceback" not in ended.stderr
