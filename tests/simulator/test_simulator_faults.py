"""Each fault has its effect in the server's answers; and what the stock server makes of `burst`.

One simulator serves all of it. The server notices most things within some ten seconds, so all
faults are set at once, and each test waits for what it is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from dstack_simulator import Simulator
from tests.builders.generation import longest
from tests.servers.burst import fill, replicas_run
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_HUNGRY = """\
type: task
name: {name}
commands: [sleep infinity]
fleets: [gpu-spot]
spot_policy: spot
resources: {{gpu: "H100:8"}}
"""


@dataclass
class _Trouble:
    simulator: Simulator
    interrupted: str
    """The instance that the cloud has taken back."""
    unreachable: str
    unhealthy: str
    crashed_before: int
    """Submissions of the crashed replica before it crashed."""


@pytest_asyncio.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    """`burst`, and besides a fleet of blocks with two services, one behind a gateway."""
    async with Simulator("burst") as simulator:
        await fill(simulator)
        yield simulator


@pytest_asyncio.fixture(scope="module")
async def trouble(simulator: Simulator) -> _Trouble:
    """Everything goes wrong at once."""
    spots = (await simulator.fleet("gpu-spot"))["instances"]
    baseline = (await simulator.fleet("gpu-reserved"))["instances"]
    crashed = (await simulator.run("fragile"))["jobs"][0]["job_submissions"]
    trouble = _Trouble(
        simulator=simulator,
        interrupted=spots[0]["name"],
        unreachable=spots[1]["name"],
        unhealthy=baseline[0]["name"],
        crashed_before=len(crashed),
    )
    faults = simulator.faults
    await asyncio.gather(
        faults.spot_interrupted(trouble.interrupted),
        faults.host_unreachable(trouble.unreachable),
        faults.host_health(trouble.unhealthy, "failure", "GPU 0 fell off the bus"),
        faults.worker_crash("fragile-0-0", exit_status=137),
        faults.set_rps("busy", 18),
        faults.no_capacity("us-east-1"),
    )
    return trouble


@longest
async def test_the_stock_server_ignores_the_baseline_fleet(simulator: Simulator) -> None:
    # Wanted is one replica on the baseline and one on spot. This records what comes instead.
    run = await simulator.run("chat")
    assert run["fleet"]["name"] == "gpu-spot"
    spot = {i["hostname"]: i for i in (await simulator.fleet("gpu-spot"))["instances"]}
    for job in run["jobs"]:
        data = job["job_submissions"][-1]["job_provisioning_data"]
        assert spot[data["hostname"]]["price"] == data["price"] == 31.05
    baseline = (await simulator.fleet("gpu-reserved"))["instances"]
    assert [(i["status"], i["price"]) for i in baseline] == [("idle", 98.32)]


async def test_without_capacity_a_run_does_not_start(trouble: _Trouble) -> None:
    await trouble.simulator.apply(_HUNGRY.format(name="hungry"))

    async def failed() -> bool:
        return bool((await trouble.simulator.run("hungry"))["status"] == "failed")

    await until(failed, limit=60, what="the task fails")
    (job,) = (await trouble.simulator.run("hungry"))["jobs"]
    reason = job["job_submissions"][-1]["termination_reason"]
    assert reason == "failed_to_start_due_to_no_capacity"


async def test_with_capacity_again_a_slow_start_shows_as_provisioning(trouble: _Trouble) -> None:
    simulator = trouble.simulator
    await simulator.faults.no_capacity(on=False)
    await simulator.faults.slow_start(600)
    await simulator.apply(_HUNGRY.format(name="patient"))

    async def starting() -> bool:
        instances = (await simulator.fleet("gpu-spot"))["instances"]
        return any(i["status"] == "provisioning" and not i["hostname"] for i in instances)

    await until(starting, limit=60, what="an instance without an address")
    await simulator.faults.slow_start(0)
    await simulator.stop_run("patient")


async def test_a_crashed_worker_is_submitted_again(trouble: _Trouble) -> None:
    async def failed() -> dict[str, Any] | None:
        submissions = (await trouble.simulator.run("fragile"))["jobs"][0]["job_submissions"]
        crashed: dict[str, Any] = submissions[trouble.crashed_before - 1]
        if len(submissions) > trouble.crashed_before and crashed["status"] == "failed":
            return crashed
        return None

    crashed = await until(failed, limit=90, what="a new submission")
    assert crashed["termination_reason"] == "container_exited_with_error"
    assert crashed["exit_status"] == 137


async def test_a_failing_health_check_shows(trouble: _Trouble) -> None:
    async def health() -> bool:
        (instance,) = (await trouble.simulator.fleet("gpu-reserved"))["instances"]
        return bool(instance["health_status"] == "failure")

    await until(health, limit=90, what="the health check fails")


async def test_lost_instances_show_and_only_the_cut_off_one_comes_back(trouble: _Trouble) -> None:
    async def unreachable() -> dict[str, bool]:
        instances = (await trouble.simulator.fleet("gpu-spot"))["instances"]
        return {i["name"]: i["unreachable"] for i in instances}

    async def both() -> bool:
        states = await unreachable()
        return states[trouble.interrupted] and states[trouble.unreachable]

    await until(both, limit=90, what="both instances are unreachable")
    await trouble.simulator.faults.host_back(trouble.unreachable)

    async def one() -> bool:
        return not (await unreachable())[trouble.unreachable]

    await until(one, limit=90, what="the one that was cut off is back")
    assert (await unreachable())[trouble.interrupted]


async def test_load_on_the_gateway_scales_the_service(trouble: _Trouble) -> None:
    await until(
        replicas_run(trouble.simulator, "busy", 2), limit=150, what="a second replica of busy runs"
    )
