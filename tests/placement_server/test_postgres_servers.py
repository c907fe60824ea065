"""Two servers with the add-on on one PostgreSQL: lanes hold as if there were one server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from dstack_simulator import Simulator
from tests.builders.generation import longest
from tests.servers.addon import LAUNCHER
from tests.servers.lanes import service, update
from tests.servers.many_replicas import Lane, Watch, containers, scenario
from tests.servers.postgres import Postgres
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.real_pace]

_LANES = {
    "reserved": Lane(hosts=2, least=8, most=12, priority=10),
    "committed": Lane(hosts=2, least=6, most=14, priority=5),
    "spot": Lane(hosts=2, least=2),
    "last": Lane(hosts=2),
}
_WAITING = """\
    SELECT count(*) AS servers FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
"""
_BUSY = "SELECT sum(busy_blocks) AS blocks FROM instances"
_TABLES = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'dstack_fleets_%'"


@dataclass
class _Pair:
    sim: Simulator
    url: str
    watch: Watch
    stock_tables: list[str]
    """The add-on's tables that there were after the stock server."""
    tables: list[str]

    def assigned_by(self, number: int) -> int:
        """How many replicas one of the servers has assigned to their lanes, by its log."""
        log = self.sim.folder.log_of_server(number).read_text(encoding="utf-8")
        return log.count(" is assigned here")


@pytest_asyncio.fixture(scope="module")
async def pair(postgres: Postgres) -> AsyncIterator[_Pair]:
    """Two servers that have started at once on the database of a stock server."""
    url = await postgres.create()

    async def query(text: str) -> list[object]:
        return await postgres.query(url, text)

    async def tables() -> list[str]:
        return [row["tablename"] for row in await postgres.query(url, _TABLES)]

    async with Simulator("empty", database=url) as stock:
        token = stock.token
        before = await tables()
    fleets = scenario(_LANES, DSTACK_SERVER_LOG_LEVEL="INFO")
    launcher = (*LAUNCHER, "tests.servers.busy_server")
    async with Simulator(fleets, launcher=launcher, database=url, servers=2, token=token) as sim:
        await sim.settled()
        yield _Pair(sim, url, Watch(query, "many", _LANES), before, await tables())


async def test_servers_that_start_together_create_the_tables(pair: _Pair) -> None:
    assert pair.stock_tables == []
    assert "dstack_fleets_placements" in pair.tables
    for number in (1, 2):
        assert await pair.sim.api("/api/placement/get_info", server=number)


async def test_while_one_server_chooses_the_other_waits(pair: _Pair, postgres: Postgres) -> None:
    lanes = [lane.written(name) for name, lane in _LANES.items()]
    one = service("many", fleets=lanes, replicas=50, resources={"gpu": "H100:1"})

    async def waits() -> bool:
        rows = await pair.watch.query(_WAITING)
        return [row["servers"] for row in rows] == [1]

    # Who chooses can't write down what, so it does not come to an end.
    async with postgres.read_only(pair.url, "dstack_fleets_placements"):
        await pair.sim.apply(one)
        await until(waits, limit=60, every=0.1, what="one server waits for the other")
        assert await pair.watch.look() != []
        assert not pair.watch.placed


async def test_fifty_replicas_are_placed_by_both(pair: _Pair) -> None:
    everywhere = {"reserved": 12, "committed": 14, "spot": 16, "last": 8}
    await pair.watch.settled(everywhere, running=False)
    assert pair.assigned_by(1) > 0
    assert pair.assigned_by(2) > 0
    assert pair.watch.looks > 10


async def test_minimums_are_kept_while_it_scales_down(pair: _Pair) -> None:
    await update(pair.sim, "many", replicas=20)
    await pair.watch.settled({"reserved": 12, "committed": 6, "spot": 2}, running=False)

    async def all_given_back() -> bool:
        (row,) = await pair.watch.query(_BUSY)
        return bool(row["blocks"] == 20)

    # While a replica is on its way out of a host, dstack may count wrong what it gives to another.
    await until(all_given_back, limit=120, every=0.3, what="the hosts have their accelerators back")


@longest
async def test_a_server_killed_while_it_scales_up_doubles_nothing(pair: _Pair) -> None:
    sim, watch = pair.sim, pair.watch
    before = pair.assigned_by(2)
    await update(sim, "many", replicas=50)

    async def takes_part() -> bool:
        await watch.look()
        return pair.assigned_by(2) > before

    await until(takes_part, limit=60, every=0.05, what="the second server has placed some")
    await sim.faults.server_end(server=2, graceful=False)
    assert sum(watch.running.values()) < 50, "it was killed too late to tell anything"

    await watch.settled({"reserved": 12, "committed": 14, "spot": 16, "last": 8})

    async def one_each() -> bool:
        found = await containers(sim, "many")
        return len(found) == 50 and set(found.values()) == {1}

    await until(one_each, limit=60, every=0.3, what="one container of each replica")

    await sim.faults.server_start(server=2)
    assert await sim.api("/api/placement/get_info", server=2)
