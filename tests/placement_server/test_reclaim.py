"""Services that take places in a full fleet from others for their minimums."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.conftest import project_name
from tests.servers import full_fleets
from tests.servers.full_fleets import claimed, first_lane, lanes_of, service_of
from tests.servers.lanes import ask, events, settled, update
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest_asyncio.fixture(scope="module")
async def full(addon_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    """A project with fleets that are soon full."""
    project = await addon_server.add_project(
        project_name(request, "full"), full_fleets.scenario("one", "vain", "three", "roll")
    )
    await project.settled()
    yield project
    await emptied(project)


async def _one(sim: Handle) -> None:
    """One gives way, launched elsewhere before it stops; both services say so."""
    await sim.apply(service_of("one", "chat", 1, priority=50))
    await settled(sim, "one-chat", {"one-reserved": 2})
    await sim.apply(service_of("one", "vision", 1, replicas=1))
    await settled(sim, "one-vision", {"one-spot": 1})
    foreseen = await ask(sim, "preview", run_name="one-vision", reclaim="any")
    (way,) = [line for line in foreseen["notes"] if "gives way" in line]
    assert [lane["after"] for lane in foreseen["lanes"]] == [1, 0]
    assert not any(
        "gives way" in line for line in (await ask(sim, "preview", run_name="one-vision"))["notes"]
    )
    await update(sim, "one-vision", reclaim="any")
    lane = await claimed(sim, "one-vision")
    assert lane["reclaiming"]["run_name"] == "one-chat"
    assert lane["reclaiming"]["to"] == "one-spot"
    assert lane["code"] == "reclaiming"
    assert lane["cause"].startswith("being restored, replica ")

    def enough(running: Counter[str]) -> None:
        assert sum(running.values()) >= 2, running
        assert running["one-reserved"] >= 1, running

    expected = {"one-reserved": 1, "one-spot": 1}
    await settled(sim, "one-chat", expected, at_every_look=enough)
    await settled(sim, "one-vision", {"one-reserved": 1})
    placed = {
        row["reason"]: row for row in (await ask(sim, "get", run_name="one-chat"))["replicas"]
    }
    assert placed["reclaim"]["fleet"] == "one-spot"
    why = "gives way to one-vision, which is below its minimum in one-reserved"
    assert placed["reclaim"]["why"] == why
    assert any(
        f"moves to fleet one-spot: {why}. It stops when" in line
        for line in await events(sim, "one-chat")
    )
    gone = lane["reclaiming"]["replica_num"]
    # Which of the two does depends on their loads, which change until it is decided.
    assert way in {
        f"Replica {number} of one-chat gives way in one-reserved and moves to one-spot: one-vision"
        " is below its minimum there."
        for number in (0, 1)
    }
    told = await events(sim, "one-vision")
    gives = f"Replica {gone} of one-chat gives way in fleet one-reserved: it moves to one-spot"
    assert any(line.startswith(gives) for line in told), told
    taken = f"restores the minimum of one-reserved; replica {gone} of one-chat gave way"
    assert any(taken in line for line in told), told

    async def over() -> bool:
        seen = await ask(sim, "list", run_names=["one-chat", "one-vision"])
        lanes = [lane for each in seen["placements"] for lane in each["lanes"]]
        return not any(lane["reclaiming"] or lane["deficit"] for lane in lanes)

    await until(over, limit=30, every=0.3, what="nobody gives way any more")


async def _vain(sim: Handle) -> None:
    """The other has nowhere to go, so it stays, and the one that is short says so."""
    await sim.apply(service_of("vain", "chat", 1))
    await settled(sim, "vain-chat", {"vain-reserved": 2})
    await sim.apply(service_of("vain", "vision", 1, replicas=1))
    await settled(sim, "vain-vision", {"vain-spot": 1})
    before = await sim.run("vain-vision")
    after = await update(sim, "vain-vision", reclaim="any")
    assert after["id"] == before["id"]
    said = "No other service can give way in fleet vain-reserved: "

    async def told() -> bool:
        return any(line.startswith(said) for line in await events(sim, "vain-vision"))

    await until(told, limit=45, every=0.5, what="it says that nobody gives way")
    assert (await first_lane(sim, "vain-vision"))["code"] == "below_minimum"
    await settled(sim, "vain-chat", {"vain-reserved": 2})


async def _three(sim: Handle) -> None:
    """Those of lower priority give way, the lowest first and as far as their minimums."""
    await sim.apply(service_of("three", "low", 0, priority=10))
    await settled(sim, "three-low", {"three-reserved": 2})
    await sim.apply(service_of("three", "mid", 1, priority=20, replicas=1, reclaim="lower"))
    await settled(sim, "three-mid", {"three-reserved": 1})
    await sim.apply(service_of("three", "top", 2, priority=30, reclaim="lower"))
    await settled(sim, "three-top", {"three-reserved": 2}, limit=120)
    await settled(sim, "three-low", {"three-spot": 2})
    # Nobody of lower priority is left there.
    await update(sim, "three-mid", replicas=2, fleets=lanes_of("three", 2))
    await settled(sim, "three-mid", {"three-reserved": 1, "three-spot": 1})

    async def told() -> bool:
        lines = await events(sim, "three-mid")
        return any(line.startswith("No other service can give way") for line in lines)

    await until(told, limit=45, every=0.5, what="it says that nobody gives way")
    await settled(sim, "three-top", {"three-reserved": 2})


async def _roll(sim: Handle) -> None:
    """A rolling deployment begins while one gives way, and goes first."""
    await sim.apply(service_of("roll", "chat", 1, replicas=2))
    await settled(sim, "roll-chat", {"roll-reserved": 2})

    def enough(running: Counter[str]) -> None:
        # A deployment keeps minimums where there is room, and here there is none to spare.
        assert sum(running.values()) >= 2, running

    await sim.apply(service_of("roll", "vision", 1, replicas=1, reclaim="any"))
    await claimed(sim, "roll-vision")
    await update(sim, "roll-chat", env={"NEW": "1"})
    await settled(sim, "roll-vision", {"roll-reserved": 1}, limit=150)
    expected = {"roll-reserved": 1, "roll-spot": 1}
    await settled(sim, "roll-chat", expected, at_every_look=enough, limit=90)
    run = await sim.run("roll-chat")
    latest = [job["job_submissions"][-1] for job in run["jobs"]]
    active = [each for each in latest if each["status"] == "running"]
    assert {each["deployment_num"] for each in active} == {run["deployment_num"]}


async def test_one_gives_way_and_one_that_has_no_other_place_stays(full: Handle) -> None:
    await asyncio.gather(_one(full), _vain(full))


@pytest.mark.slow
@longest
async def test_priorities_and_rolling_deployments(full: Handle) -> None:
    await asyncio.gather(_three(full), _roll(full))
