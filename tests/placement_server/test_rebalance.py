"""Rebalancing on request, on a real server."""

from __future__ import annotations

from collections import Counter

import pytest

from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.perform.rebalancing import Prospect, prospect
from dstack_simulator.handle.handle import Handle
from tests.servers.edited_services import client_of, look
from tests.servers.lanes import (
    ask,
    events,
    rebalanced_fleets,
    rebalanced_lanes,
    service,
    settled,
    update,
)
from tests.servers.stopping import stopped
from tests.servers.stories import Stories, Story
from tests.waiting import until

pytestmark = pytest.mark.e2e


async def _evens_out(sim: Handle) -> None:
    """Two replicas move, one after the other, and the rebalancing ends by itself."""
    await rebalanced_fleets(sim, "even", "us-west-1")
    await sim.apply(service("even", fleets=rebalanced_lanes("even", 0)))
    await settled(sim, "even", {"even-spot": 2}, limit=240)
    nothing = await ask(sim, "rebalance", run_name="even")
    assert (nothing["rebalancing"], nothing["moves"]) == (None, [])

    await update(sim, "even", fleets=rebalanced_lanes("even", 20))
    outlook = await _prospect(sim, "even")
    # Nothing has ever run in the fleet to which they move: its price is the offers'.
    assert outlook.unpriced == ()
    assert outlook.price_after is not None
    assert outlook.price_after > 2 * outlook.price_now > 0, "on-demand instead of spot"
    begun = await ask(sim, "rebalance", run_name="even")
    assert begun["rebalancing"]["left"] == 2
    assert [(move["fleet"], move["to"]) for move in begun["moves"]] == [
        ("even-spot", "even-reserved")
    ] * 2
    again = await ask(sim, "rebalance", run_name="even")
    assert again["rebalancing"]["since"] == begun["rebalancing"]["since"]

    def one_at_a_time(seen: Counter[str]) -> None:
        assert 2 <= sum(seen.values()) <= 3, seen

    expected = {"even-reserved": 2}
    await settled(sim, "even", expected, limit=240, at_every_look=one_at_a_time)
    await _ended(sim, "even")
    told = await events(sim, "even")
    assert told.count("Rebalancing begins: 2 replicas move") == 1, told
    assert sum("goes before even-spot. It stops when" in line for line in told) == 2, told
    await sim.stop_run("even")


async def _prospect(sim: Handle, name: str) -> DryRun:
    """What a rebalancing would do, once the last edit has reached every replica."""
    async with client_of(sim) as client:

        async def found() -> Prospect | None:
            base = await read_service(client, sim.project, name)
            given = await prospect(client, base, await look(client, sim))
            return given if given.moves else None

        given = await until(found, limit=60, every=0.3, what="the rebalancing has moves")
    assert given.outlook is not None
    return given.outlook


async def _ended(sim: Handle, name: str) -> None:
    async def ended() -> bool:
        return (await ask(sim, "get", run_name=name))["rebalancing"] is None

    await until(ended, limit=120, every=0.3, what="the rebalancing ends")
    told = await events(sim, name)
    assert told.count("Rebalancing is done: the replicas follow the priorities") == 1, told


async def _ends(sim: Handle) -> None:
    """It is refused, cancelled, and ended by an edit of the lanes."""
    await rebalanced_fleets(sim, "swap", "us-west-1")
    await sim.apply(service("swap", fleets=rebalanced_lanes("swap", 0)))

    async def there() -> bool:
        lanes = (await ask(sim, "get", run_name="swap"))["lanes"]
        return [lane["ready"] for lane in lanes] == [2, 0]

    await until(there, limit=240, every=0.5, what="both replicas are in the spot fleet")
    await sim.touch_run("swap", fleets=rebalanced_lanes("swap", 20))
    begun = await ask(sim, "rebalance", run_name="swap")
    assert begun["rebalancing"]["left"] == 2
    short = (await ask(sim, "list"))["runs"]
    since = [run["rebalancing"]["since"] for run in short if run["run_name"] == "swap"]
    assert since == [begun["rebalancing"]["since"]]
    cancelled = await ask(sim, "rebalance", run_name="swap", cancel=True)
    assert (cancelled["rebalancing"], cancelled["moves"]) == (None, [])
    assert (await ask(sim, "get", run_name="swap"))["rebalancing"] is None
    await ask(sim, "rebalance", run_name="swap", cancel=True)

    await ask(sim, "rebalance", run_name="swap")
    await sim.touch_run("swap", fleets=rebalanced_lanes("swap", 30))

    async def edited() -> bool:
        return "Rebalancing ends: the lanes were edited" in await events(sim, "swap")

    await until(edited, limit=120, every=0.5, what="the edit ends the rebalancing")
    assert (await ask(sim, "get", run_name="swap"))["rebalancing"] is None
    told = await events(sim, "swap")
    assert told.count("Rebalancing is cancelled") == 1, told
    assert await stopped(sim, "swap") == "terminated"
    refused = await ask(sim, "rebalance", status=400, run_name="swap")
    line = "Run swap has ended, so it has no replicas to move. Name an active one."
    assert refused["detail"][0]["msg"] == line
    await sim.apply(service("flat", replicas=1, fleets=["swap-spot"]))
    refused = await ask(sim, "rebalance", status=400, run_name="flat")
    assert refused["detail"][0]["msg"].startswith("Run flat has no lanes: all its replicas are in")
    await sim.stop_run("flat")
    missing = await ask(sim, "rebalance", status=400, run_name="no-such")
    assert missing["detail"][0]["code"] == "resource_not_exists"


STORIES: dict[str, Story] = {"rebalancing": _evens_out, "rebalancing ends": _ends}


async def test_it_moves_one_replica_at_a_time_and_ends(life_stories: Stories) -> None:
    await life_stories["rebalancing"]


async def test_it_is_refused_cancelled_and_ended_by_an_edit(life_stories: Stories) -> None:
    await life_stories["rebalancing ends"]
