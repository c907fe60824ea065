"""Runs that are stopped, aborted and deleted by commands, on a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_api_client import errors
from dstack_simulator.handle.handle import Handle
from tests.servers.edited_services import client_of, command, service
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"stock": []}


async def test_a_service_is_stopped_and_deleted(edit_stock: Handle, tmp_path: Path) -> None:
    sim = edit_stock
    await sim.apply(service("ending", "snap", fleets=["snap-full"]))

    async def runs() -> bool:
        return bool((await sim.run("ending"))["status"] == "running")

    await until(runs, limit=90, every=0.3, what="the service runs")
    early = await command(sim, tmp_path, "delete", "ending", "--yes")
    assert early.returncode == 1
    assert "only a run that has ended can be deleted" in early.stderr
    guarded = await command(sim, tmp_path, "stop", "ending", "--yes", "--read-only")
    assert guarded.returncode == 1
    assert await runs()

    stopped = await command(sim, tmp_path, "stop", "ending", "--yes", "--wait=90", "-o", "json")
    assert stopped.returncode == 0, stopped.stderr
    told = json.loads(stopped.stdout)
    assert (told["action"], told["status"], told["jobs"]["active"]) == ("stop", "running", 1)
    assert told["result"]["state"] == "done"
    assert "Ends: 1 replica in snap-full." in stopped.stderr
    again = await command(sim, tmp_path, "stop", "ending", "--abort", "--yes")
    assert (again.returncode, "already" in again.stderr) == (1, True)

    deleted = await command(sim, tmp_path, "delete", "ending", "--yes")
    assert deleted.returncode == 0, deleted.stderr
    assert deleted.stdout.endswith("ending is deleted.\n")
    async with client_of(sim) as client:
        with pytest.raises(errors.NotFoundError):
            await client.runs.get(sim.project, name="ending")
