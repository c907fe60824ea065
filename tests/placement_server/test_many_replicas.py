"""Two hundred replicas over four fleets, on one server with SQLite."""

from __future__ import annotations

import pytest

from dstack_simulator import Simulator
from tests.servers.addon import LAUNCHER
from tests.servers.lanes import service
from tests.servers.many_replicas import Lane, Watch, reading, scenario
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.real_pace]

_LANES = {
    "reserved": Lane(hosts=9, least=40, most=64, priority=10),
    "committed": Lane(hosts=8, least=30, priority=5),
    "spot": Lane(hosts=7, least=20, most=50),
    "last": Lane(hosts=5),
}


async def test_two_hundred_replicas_over_four_fleets() -> None:
    async with Simulator(scenario(_LANES), launcher=LAUNCHER) as sim:
        await sim.settled()
        watch = Watch(reading(sim), "many", _LANES)
        lanes = [lane.written(name) for name, lane in _LANES.items()]
        many = service("many", fleets=lanes, replicas=200, resources={"gpu": "H100:1"})
        await sim.apply(many)

        async def chosen() -> int:
            return sum(bool(row["fleet"] or row["kept"]) for row in await watch.look())

        # Who comes first chooses for all: each looking at all others would take its time.
        assert await until(chosen, limit=120, every=0.1, what="the first choice") == 200
        everywhere = {"reserved": 64, "committed": 64, "spot": 50, "last": 22}
        await watch.settled(everywhere, running=False)
        assert watch.looks > 10
