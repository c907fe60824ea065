"""Services with lanes and `retry`: who fails is started again where the lanes want it."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import events, fleet, service
from tests.servers.stories import FLEETS, Look, Stories, Story, Watch, fleet_of, placed
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def _submissions(sim: Handle, name: str) -> dict[int, list[dict[str, Any]]]:
    """All submissions of a run's replicas, oldest first."""
    return {
        job["job_spec"]["replica_num"]: job["job_submissions"]
        for job in (await sim.run(name))["jobs"]
    }


async def _again(sim: Handle) -> None:
    """A process that fails is started again in its lane, a start without capacity in another."""
    reserved, nodes, spot, _ = FLEETS["again"]
    lanes: list[dict[str, Any]] = [
        {"name": "again-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
        {"name": "again-spot"},
    ]
    retry = {"on_events": ["no-capacity", "error"], "duration": "1h"}
    await sim.apply(service("again", fleets=lanes, retry=retry))
    watch = Watch(sim, "again")
    await watch.at_rest({"again-reserved": 1, "again-spot": 1})

    begun = await _submissions(sim, "again")
    (first,) = (number for number, (one,) in begun.items() if fleet_of(one) == "again-reserved")
    (other,) = begun.keys() - {first}

    def other_stays(look: Look) -> None:
        assert look.running["again-spot"] == 1, look
        assert look.active["again-reserved"] <= 1, look
        assert look.status == "running", look

    watch.check = other_stays
    await sim.faults.worker_crash(f"again-0-{first}")
    await watch.until(lambda look: not look.running["again-reserved"], what="its process failed")
    await watch.at_rest({"again-reserved": 1, "again-spot": 1})
    failed, new = (await _submissions(sim, "again"))[first]
    assert failed["termination_reason"] == "container_exited_with_error"
    assert (fleet_of(new), new["status"]) == ("again-reserved", "running")
    (same,) = (await _submissions(sim, "again"))[other]
    assert same["id"] == begun[other][0]["id"]

    # One more is wanted, in the fleet for which there is nothing left now.
    await sim.faults.no_capacity(spot)
    lanes = [
        {"name": "again-spot", "priority": 20},
        {"name": "again-reserved", "min_replicas": 1, "max_replicas": 2},
    ]

    def both_stay(look: Look) -> None:
        assert look.running["again-spot"] == 1, look
        assert look.running["again-reserved"] >= 1, look
        assert look.status == "running", look

    watch.check = both_stay
    await sim.touch_run("again", fleets=lanes, replicas=3)

    async def falls_back() -> bool:
        told = await events(sim, "again")
        return any("falls back to fleet again-reserved: again-spot" in line for line in told)

    await until(falls_back, limit=120, every=0.3, what="it falls back")
    assert await _cools(sim, "again-spot")

    # An edit of the fleet ends the cooldown at once; one that changes nothing does not.
    await sim.faults.no_capacity(spot, on=False)
    await sim.apply(fleet("again-reserved", reserved, "on-demand", nodes))
    assert await _cools(sim, "again-spot")
    await sim.apply({**fleet("again-spot", spot, "spot", nodes), "tags": {"team": "chat"}})
    assert not await _cools(sim, "again-spot")

    await watch.at_rest({"again-reserved": 2, "again-spot": 1})
    *failed_ones, last = (await _submissions(sim, "again"))[max(begun) + 1]
    reasons = {one["termination_reason"] for one in failed_ones}
    assert reasons == {"failed_to_start_due_to_no_capacity"}
    assert fleet_of(last) == "again-reserved"


async def _cools(sim: Handle, name: str) -> bool:
    """Whether a lane is skipped after a failed start."""
    lanes = (await placed(sim, "again"))["lanes"]
    (lane,) = (lane for lane in lanes if lane["fleet"] == name)
    return lane["cooldown_until"] is not None


STORIES: dict[str, Story] = {"again": _again}


async def test_a_retry_respects_the_lanes(life_stories: Stories) -> None:
    await life_stories["again"]
