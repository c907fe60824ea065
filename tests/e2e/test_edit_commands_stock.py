"""The commands that change services, against a server without the placement add-on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.edited_services import PROBES, client_of, command, service, stored
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"stock": ["grouped"]}


@pytest.mark.slow
async def test_a_service_that_ends_for_want_of_room(edit_stock: Handle, tmp_path: Path) -> None:
    """The trap of a full fleet, walked into: told before, and told after."""
    sim = edit_stock
    await sim.apply(service("snapped", "snap", fleets=["snap-full"], probes=PROBES))

    async def runs() -> bool:
        return bool((await sim.run("snapped"))["status"] == "running")

    await until(runs, limit=90, every=0.3, what="the service runs")
    done = await command(
        sim, tmp_path, "apply", "snapped", "--replicas", "2", "--yes", "--wait=400"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DANGER: 1 replica can't start" in done.stdout
    *_, last = done.stdout.splitlines()
    assert last.startswith("It failed after ")
    assert "s: The service is " in last
    assert "without room: snap-full has" in last, "the reason"
    refused = await command(sim, tmp_path, "rebalance", "grouped", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "This server can't rebalance services" in refused.stderr


async def test_a_range_on_a_stock_server(demo_sim: Handle, tmp_path: Path) -> None:
    """Of a service with a gateway and scaling rules; the seed's is put back."""
    sim = demo_sim
    async with client_of(sim) as client:
        before = await stored(client, sim, "summarize")
        done = await command(
            sim, tmp_path, "apply", "summarize", "--replicas", "1..3", "--yes", "--wait=400"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        now = await stored(client, sim, "summarize")
        assert now.configuration["replicas"] == {"min": 1, "max": 3}
        assert now.configuration["scaling"] == before.configuration["scaling"]
        undone = await command(sim, tmp_path, "undo", "summarize", "--yes")
        assert undone.returncode == 0, undone.stderr
        after = await stored(client, sim, "summarize")
        assert json.dumps(after.spec) == json.dumps(before.spec)


async def test_the_router_is_looked_at_on_a_stock_server(demo_sim: Handle, tmp_path: Path) -> None:
    """A worker that it does not reach is warned of; where it can't be looked at, that is said."""
    sim = demo_sim
    change = ["plan", "chat-70b", "--set", "priority=51"]
    well = await command(sim, tmp_path, *change)
    assert (well.returncode, well.stderr) == (2, "")
    assert "does not reach" not in well.stdout
    blind = await command(sim, tmp_path, *change, PATH=str(tmp_path))
    assert blind.returncode == 2
    assert "It is not known whether the router reaches its workers." in blind.stderr
