"""A reserved fleet of one node, a spot fleet of one node at most, a service of two replicas."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dstack_simulator import Simulator
from dstack_simulator.handle.handle import Handle
from tests.servers.addon import LAUNCHER
from tests.servers.lanes import events, places, scenario, service, settled
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.real_pace]

#: Seconds within which both replicas run.
_LIMIT = 30.0


@pytest_asyncio.fixture
async def addon() -> AsyncIterator[Handle]:
    async with Simulator(scenario(), launcher=LAUNCHER) as sim:
        await sim.settled()
        yield sim


@pytest_asyncio.fixture
async def stock() -> AsyncIterator[Handle]:
    async with Simulator(scenario()) as sim:
        await sim.settled()
        yield sim


async def test_with_lanes_one_replica_runs_in_each_fleet(addon: Handle) -> None:
    lanes = [{"name": "seed-reserved", "min_replicas": 1, "priority": 10}, {"name": "seed-spot"}]

    async def idle() -> bool:
        instances = (await addon.fleet("seed-reserved"))["instances"]
        return [instance["status"] for instance in instances] == ["idle"]

    await until(idle, limit=60, every=0.3, what="the reserved node is idle")
    begun = time.monotonic()
    await addon.apply(service("seed", fleets=lanes))
    await settled(addon, "seed", {"seed-reserved": 1, "seed-spot": 1}, limit=_LIMIT)
    sys.stdout.write(f"One replica in each fleet after {time.monotonic() - begun:.1f} s\n")


async def test_on_the_stock_server_the_service_does_not_start(stock: Handle) -> None:
    # Neither fleet can hold both replicas, and dstack takes one fleet for all.
    await stock.apply(service("seed", fleets=["seed-reserved", "seed-spot"]))

    async def failed() -> bool:
        return bool((await stock.run("seed"))["status"] == "failed")

    await until(failed, limit=60, every=0.3, what="the run fails")
    ends = [job["job_submissions"][-1] for job in (await stock.run("seed"))["jobs"]]
    reasons = {end["termination_reason"] for end in ends}
    assert "failed_to_start_due_to_no_capacity" in reasons
    assert not await places(stock, "seed")
    assert any("Failed to use specified fleets" in line for line in await events(stock, "seed"))
