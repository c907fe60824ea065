"""The smallest simulator: a server that is handed out, and nothing left when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import psutil
import pytest

from dstack_simulator import Simulator, SimulatorError

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def alone() -> Iterator[Simulator]:
    """A simulator of this module's own, since it counts processes and projects."""
    with Simulator("empty") as simulator:
        yield simulator


async def test_server_answers_with_what_is_handed_out(alone: Simulator) -> None:
    async with httpx.AsyncClient(base_url=alone.url) as client:
        info = await client.post("/api/server/get_info")
        assert info.json() == {"server_version": "0.22.5"}
        refused = await client.post("/api/projects/list")
        assert refused.status_code in (401, 403)
    projects = await alone.api("/api/projects/list")
    assert [project["project_name"] for project in projects] == [alone.project]
    assert await alone.api("fleets/list") == []


async def test_server_has_the_emulated_cloud(alone: Simulator) -> None:
    project = await alone.api(f"/api/projects/{alone.project}/get")
    assert [backend["name"] for backend in project["backends"]] == ["aws"]


def test_the_users_home_stays_untouched(alone: Simulator) -> None:
    homes = {psutil.Process(pid).environ()["HOME"] for pid in alone.processes()}
    assert homes == {str(alone.folder.home)}


def test_a_handle_that_was_not_started_says_so() -> None:
    with pytest.raises(SimulatorError, match="has not been started"):
        Simulator("empty").control.call("world/hosts")


async def test_everything_is_gone_afterwards(alone: Simulator) -> None:
    assert len(alone.processes()) >= 2
    root, url = alone.folder.root, alone.url
    assert root.is_dir()
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/healthcheck")).status_code == 200
    await asyncio.to_thread(alone.stop)
    assert alone.processes() == []
    assert not root.exists()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/healthcheck")
