"""Lanes without capacity: moves that find none, and what comes after a cooldown."""

from __future__ import annotations

import pytest

from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.servers.lanes import events, service
from tests.servers.stories import FLEETS, Look, Stories, Story, Watch, alive, pair_of_lanes, placed
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def _vain(sim: Handle) -> None:
    """A move that finds no capacity is given up: its relief is started nowhere else."""
    await sim.faults.no_capacity(FLEETS["vain"][0])
    await sim.apply(service("vain", fleets=pair_of_lanes("vain", min_replicas=1)))
    watch = Watch(sim, "vain")
    await watch.until(lambda look: look.active["vain-spot"] == 2, what="both fall back")

    def no_third(look: Look) -> None:
        assert look.active["vain-spot"] == 2, look

    watch.check = no_third

    async def failed_again() -> bool:
        await watch.look()
        return any("is skipped for 120 s" in line for line in await events(sim, "vain"))

    await until(failed_again, limit=200, every=0.6, what="the move finds no capacity")
    # What is wanted from now on is started all the same.
    watch.check = alive
    await sim.touch_run("vain", replicas=3)
    await watch.at_rest({"vain-spot": 3})
    told = await events(sim, "vain")
    assert len([line for line in told if "falls back to fleet vain-spot" in line]) == 3, told
    assert not [line for line in told if "SCALED_DOWN" in line], told
    assert (await sim.run("vain"))["status"] == "running"


async def _cool(sim: Handle) -> None:
    """After its cooldown a lane gets new replicas again; those that run stay where they are."""
    region = FLEETS["cool"][0]
    await sim.faults.no_capacity(region)
    await sim.apply(service("cool", fleets=pair_of_lanes("cool")))
    watch = Watch(sim, "cool")
    await watch.until(lambda look: look.active["cool-spot"] == 2, what="both fall back")
    await sim.touch_run("cool", replicas=3)
    await watch.at_rest({"cool-spot": 3})
    await sim.faults.no_capacity(region, on=False)
    fallen = [line for line in await events(sim, "cool") if "falls back to fleet cool-spot" in line]
    assert len(fallen) == 3
    assert all("cool-reserved is in cooldown until" in line for line in fallen)

    async def cooled() -> bool:
        return (await placed(sim, "cool"))["lanes"][0]["cooldown_until"] is None

    await until(cooled, limit=150, every=0.5, what="the cooldown ends")
    await watch.at_rest({"cool-spot": 3})
    await sim.touch_run("cool", replicas=4)
    await watch.at_rest({"cool-reserved": 1, "cool-spot": 3})
    assert not [line for line in await events(sim, "cool") if "moves to" in line]


STORIES: dict[str, Story] = {"vain": _vain, "cool": _cool}


async def test_a_move_without_capacity_is_given_up(life_stories: Stories) -> None:
    await life_stories["vain"]


@longest
async def test_a_lane_gets_new_replicas_after_its_cool_down(life_stories: Stories) -> None:
    await life_stories["cool"]
