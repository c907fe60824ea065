"""Two servers with the add-on on one PostgreSQL: each place is taken once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dstack_simulator import Simulator
from tests.builders.generation import longest
from tests.servers import full_fleets
from tests.servers.addon import LAUNCHER
from tests.servers.lanes import events, settled
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest_asyncio.fixture(scope="module")
async def two_servers(postgres: Postgres) -> AsyncIterator[Simulator]:
    """Two servers on one database, with a fleet that is soon full."""
    url = await postgres.create()
    fleets = full_fleets.scenario("both")
    async with Simulator(fleets, launcher=LAUNCHER, database=url, servers=2) as sim:
        await sim.settled()
        yield sim


@longest
async def test_two_services_take_a_place_each_and_no_more(two_servers: Simulator) -> None:
    sim = two_servers
    await sim.apply(full_fleets.service_of("both", "chat", 1, replicas=4))
    await settled(sim, "both-chat", {"both-reserved": 4}, limit=120)

    def held(running: Counter[str]) -> None:
        assert sum(running.values()) >= 4, running
        assert running["both-reserved"] >= 2, running

    short = ("one", "two")
    for name in short:
        await sim.apply(full_fleets.service_of("both", name, 1, replicas=1, reclaim="any"))
    expected = {"both-reserved": 2, "both-spot": 2}
    await asyncio.gather(
        settled(sim, "both-chat", expected, limit=240, at_every_look=held),
        *(settled(sim, f"both-{name}", {"both-reserved": 1}, limit=240) for name in short),
    )
    # On a busy machine one that comes to nothing is decided again; two move in the end.
    moves = [line for line in await events(sim, "both-chat") if "spot: gives way to both-" in line]
    assert len({line.split(" moves to")[0] for line in moves}) == len(moves) == 2, moves
