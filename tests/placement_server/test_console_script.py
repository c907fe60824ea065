"""`dstack-fleets`, the console script as it is installed: a server, and dstack's other commands."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import command
from tests.waiting import until

pytestmark = pytest.mark.e2e

_SCRIPT = Path(sys.executable).with_name("dstack-fleets")
_TOKEN = "0123456789abcdef"
_DSTACK = "dstack._internal.cli.main"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """`dstack-fleets server` in a home with nothing in it, once it answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    home = tmp_path / "home"
    home.mkdir()
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            _SCRIPT,
            *("server", "--host", "127.0.0.1", "--port", str(port), "-y"),
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(home),
                "DSTACK_SERVER_ADMIN_TOKEN": _TOKEN,
                # Nothing is asked of the internet.
                "HTTPS_PROXY": "http://127.0.0.1:9",
            },
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {_TOKEN}"},
            trust_env=False,
        ) as client:

            async def answers() -> bool:
                assert process.returncode is None, log.read_text()
                try:
                    return (await client.get("/healthcheck")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, limit=120, every=0.2, what="the server answers")
            yield client
    finally:
        process.kill()
        await process.wait()


async def test_it_runs_a_server_with_placement(server: httpx.AsyncClient) -> None:
    info = (await server.post("/api/server/get_info")).json()
    assert info["server_version"].startswith("0.22.")
    addon = (await server.post("/api/placement/get_info")).json()
    assert (addon["name"], addon["dstack_version"]) == ("dstack-fleets", info["server_version"])
    listed = await server.post("/api/project/main/placement/list", json={"run_names": []})
    assert (listed.status_code, listed.json()["runs"]) == (200, [])


@pytest.mark.parametrize("line", ["ps -a", "fleet -v"])
async def test_other_commands_print_what_dstacks_print(addon: Handle, line: str) -> None:
    async def same() -> str:
        ours, theirs = await asyncio.gather(
            asyncio.to_thread(command, addon, *line.split()),
            asyncio.to_thread(command, addon, *line.split(), module=_DSTACK),
        )
        assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr) == (0, "")
        printed = _without_times(ours.stdout)
        return printed if printed == _without_times(theirs.stdout) else ""

    # What they show may change between the one and the other.
    printed: str = await until(same, limit=90, what=f"both print the same for {line}")
    assert "shown" in printed


def _without_times(table: str) -> str:
    """A table without what says how long ago something was, and the width that this takes."""
    return " ".join(re.sub(r"\d+ \w+ ago|\bnow\b", "then", table).split())


@pytest.mark.slow
def test_it_has_the_commands_that_dstack_has() -> None:
    ours, theirs = (
        subprocess.run(
            [_SCRIPT.with_name(name), "--help"], capture_output=True, text=True, check=True
        ).stdout
        for name in ("dstack-fleets", "dstack")
    )
    assert ours.removeprefix("Usage: dstack-fleets ") == theirs.removeprefix("Usage: dstack ")
