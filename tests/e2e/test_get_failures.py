"""`dstack-fleets-tui get` where it can't connect, or is not allowed to."""

from __future__ import annotations

import json
import socket
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml

from dstack_simulator.handle.handle import Handle
from tests.servers.commands import KINDS, here

pytestmark = pytest.mark.e2e


def refused(process: subprocess.CompletedProcess[str]) -> str:
    """What one line on stderr says; nothing was printed."""
    assert (process.returncode, process.stdout) == (3, "")
    assert process.stderr.count("\n") == 1
    assert "Traceback" not in process.stderr
    return process.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_project(empty_sim: Handle, kind: str) -> None:
    process = here(empty_sim, "get", kind, "-o", "json")
    assert (process.returncode, process.stderr) == (0, "")
    assert json.loads(process.stdout)[kind] == []


def test_a_wrong_token(empty_sim: Handle) -> None:
    token = uuid.uuid4().hex
    said = refused(here(empty_sim, "get", "fleets", DSTACK_TOKEN=token))
    assert f"The server at {empty_sim.url} does not accept the token." in said
    assert token not in said


def test_an_unknown_project(empty_sim: Handle) -> None:
    said = refused(here(empty_sim, "get", "services", "--project", "nobodys"))
    assert "nobodys" in said


def test_a_server_that_is_gone(empty_sim: Handle) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # taken, so that nobody else listens; not listening
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        said = refused(here(empty_sim, "get", "replicas", DSTACK_SERVER_URL=url))
    assert f"No connection to {url}" in said


async def test_a_server_that_goes_away(empty_sim: Handle) -> None:
    await empty_sim.faults.server_cut()
    try:
        said = refused(here(empty_sim, "get", "fleets"))
        assert f"The connection to {empty_sim.url} was closed" in said
    finally:
        await empty_sim.faults.server_cut(on=False)
    assert here(empty_sim, "get", "fleets").returncode == 0


def test_what_is_no_dstack_server(empty_sim: Handle) -> None:
    said = refused(here(empty_sim, "get", "fleets", DSTACK_SERVER_URL=f"{empty_sim.url}/x"))
    assert f"{empty_sim.url}/x" in said


def test_the_configuration_file(empty_sim: Handle, tmp_path: Path) -> None:
    """Two servers in one file: the right token goes to the right one."""
    projects = [
        {"name": "other", "url": "http://127.0.0.1:1", "token": "wrong", "default": True},
        {"name": empty_sim.project, "url": f"{empty_sim.url}/", "token": empty_sim.token},
    ]
    config = tmp_path / ".dstack" / "config.yml"
    config.parent.mkdir()
    config.write_text(yaml.safe_dump({"projects": projects}))
    config.chmod(0o600)
    nothing = dict.fromkeys(empty_sim.environment, "")
    environment = {**nothing, "HOME": str(tmp_path)}
    for flag in (["--project", empty_sim.project], ["--server-url", empty_sim.url]):
        process = here(empty_sim, "get", "fleets", *flag, "-o", "json", **environment)
        assert (process.returncode, process.stderr) == (0, "")
        assert json.loads(process.stdout)["project"] == empty_sim.project
    assert "127.0.0.1:1" in refused(here(empty_sim, "get", "fleets", **environment))


def test_a_token_file(empty_sim: Handle, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{empty_sim.token}\n")
    file.chmod(0o600)
    arguments = ("get", "fleets", "--token-file", str(file))
    assert here(empty_sim, *arguments, DSTACK_TOKEN="wrong").returncode == 0
