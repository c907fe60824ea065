"""The smallest simulator: a server that is handed out, and nothing left when it ends."""

from __future__ import annotations

import httpx
import psutil
import pytest

from dstack_simulator import Simulator, SimulatorError

pytestmark = pytest.mark.e2e


async def test_server_answers_with_what_is_handed_out(empty_sim: Simulator) -> None:
    async with httpx.AsyncClient(base_url=empty_sim.url) as client:
        info = await client.post("/api/server/get_info")
        assert info.json() == {"server_version": "0.22.5"}
        refused = await client.post("/api/projects/list")
        assert refused.status_code in (401, 403)
    projects = await empty_sim.api("/api/projects/list")
    assert [project["project_name"] for project in projects] == [empty_sim.project]
    assert await empty_sim.api("fleets/list") == []


async def test_server_has_the_emulated_cloud(empty_sim: Simulator) -> None:
    project = await empty_sim.api(f"/api/projects/{empty_sim.project}/get")
    assert [backend["name"] for backend in project["backends"]] == ["aws"]


def test_the_users_home_stays_untouched(empty_sim: Simulator) -> None:
    homes = {psutil.Process(pid).environ()["HOME"] for pid in empty_sim.processes()}
    assert homes == {str(empty_sim.folder.home)}


async def test_everything_is_gone_afterwards() -> None:
    async with Simulator("empty") as simulator:
        assert len(simulator.processes()) >= 2
        root = simulator.folder.root
        assert root.is_dir()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{simulator.url}/healthcheck")).status_code == 200
    assert simulator.processes() == []
    assert not root.exists()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{simulator.url}/healthcheck")


def test_a_handle_that_was_not_started_says_so() -> None:
    with pytest.raises(SimulatorError, match="has not been started"):
        Simulator("empty").control.call("world/hosts")
