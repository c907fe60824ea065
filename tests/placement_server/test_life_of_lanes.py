"""Lanes that a running service is given, and that are taken away from it again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import service
from tests.servers.stories import PROBES, Look, Stories, Story, Watch, fleet_of, placed
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def _running(sim: Handle) -> dict[str, str]:
    """The fleet of each submission that runs: the watch asks the add-on, which has lanes only."""
    latest = [job["job_submissions"][-1] for job in (await sim.run("bare"))["jobs"]]
    return {one["id"]: fleet_of(one) for one in latest if one["status"] == "running"}


async def _bare(sim: Handle) -> None:
    """A plain service is given lanes, loses one of them, and then all."""

    async def runs(expected: dict[str, int]) -> dict[str, str]:
        async def there() -> bool:
            return Counter((await _running(sim)).values()) == Counter(expected)

        await until(there, limit=200, every=0.5, what=f"bare runs in {expected}")
        return await _running(sim)

    async def managed() -> bool:
        return bool((await placed(sim, "bare"))["managed"])

    await sim.apply(service("bare", fleets=["bare-spot"], probes=PROBES))
    begun = await runs({"bare-spot": 2})
    first = await sim.run("bare")
    assert not await managed()

    # Only what a minimum asks for moves: the other replica is the one that was there.
    lanes: list[Any] = [{"name": "bare-reserved", "min_replicas": 1}, "bare-spot"]
    await sim.touch_run("bare", fleets=lanes)
    assert await managed()
    watch = Watch(sim, "bare")

    def one_at_a_time(look: Look) -> None:
        # The engine keeps a ready one until its relief is ready; one whose probe fails meanwhile
        # goes at once, as it is no use.
        assert 1 <= sum(look.running.values()) <= 3, look

    watch.check = one_at_a_time
    await watch.at_rest({"bare-reserved": 1, "bare-spot": 1})
    given = await _running(sim)
    assert len(begun.keys() & given.keys()) == 1

    # A lane is taken away: its replica follows the others.
    await sim.touch_run("bare", fleets=lanes[:1])
    await watch.at_rest({"bare-reserved": 2})
    left = await _running(sim)
    assert len(given.keys() & left.keys()) == 1

    # All are taken away: those that run stay, and the next one goes where the run is attached.
    await sim.touch_run("bare", fleets=None)
    assert not await managed()
    run = await sim.touch_run("bare", replicas=3)
    attached = run["fleet"]["name"]
    last = await runs(dict(Counter(left.values()) + Counter([attached])))
    assert left.keys() < last.keys()
    assert run["id"] == first["id"]
    assert run["deployment_num"] == first["deployment_num"] + 4


STORIES: dict[str, Story] = {"bare": _bare}


async def test_lanes_are_given_and_taken_away(life_stories: Stories) -> None:
    await life_stories["bare"]
