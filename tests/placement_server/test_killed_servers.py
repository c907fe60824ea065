"""Two servers with the add-on on one PostgreSQL, killed and started again at random moments.

`DSTACK_FLEETS_TESTS_ROUNDS=200` plays so many rounds, `DSTACK_FLEETS_TESTS_SEED=N` the same ones
again.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.headless.get import observe
from dstack_fleets_tui.headless.looking import Asked
from dstack_simulator import Simulator
from dstack_simulator.handle.handle import Handle
from tests.builders.generation import SEED
from tests.servers.kills import START_LIMIT, Story, say
from tests.servers.lanes import STOCK, ask, events, service, settled, update
from tests.servers.many_replicas import Lane, scenario
from tests.servers.postgres import Postgres
from tests.servers.shared_lanes import SharedWatch, Want
from tests.servers.stopping import stopped
from tests.waiting import until

ROUNDS = int(os.environ.get("DSTACK_FLEETS_TESTS_ROUNDS") or 1)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: Sixteen blocks in all.
_FLEETS = {name: Lane(hosts=1, blocks=4) for name in ("reserved", "committed", "spot", "last")}
#: The greatest number of replicas of each: not all of them find room at once.
_MOST = {"chat": 11, "code": 7}


@pytest_asyncio.fixture(scope="module")
async def story(postgres: Postgres) -> AsyncIterator[Story]:
    """Two services that share four fleets."""
    url = await postgres.create()

    async def query(text: str) -> list[Any]:
        return await postgres.query(url, text)

    # Without the mark of the stock server, each has the add-on.
    launcher = ("tests.servers.addon_or_stock", "tests.servers.impatient_server")
    fleets = scenario(_FLEETS)
    async with Simulator(
        fleets,
        launcher=launcher,
        database=url,
        servers=2,
        pace="quick",
        start_limit=START_LIMIT,
        preloaded=True,
    ) as sim:
        await sim.settled()
        chat = {
            **_FLEETS,
            "reserved": Lane(1, least=2, most=3, priority=10, blocks=4),
            "spot": Lane(1, least=1, blocks=4),
        }
        code = {**_FLEETS, "reserved": Lane(1, least=1, priority=5, blocks=4)}
        wants = {"chat": Want(6, chat), "code": Want(3, code)}
        for name, want in wants.items():
            await sim.apply(service(name, resources={"gpu": "H100:1"}, **want.written))
        begun = Story(sim, SharedWatch(sim, query, wants), _FLEETS, _MOST)
        await begun.settled()
        yield begun


@pytest.mark.timeout(600 + 600 * ROUNDS)
async def test_a_server_killed_at_any_moment_breaks_doubles_and_blocks_nothing(
    story: Story,
) -> None:
    for number in range(ROUNDS):
        say(f"round {number} of DSTACK_FLEETS_TESTS_SEED={SEED}")
        await story.killed(random.Random(f"{SEED} {number}"))
        say(f"{dict(story.counts)}, {story.watch.looks} looks")


async def test_servers_go_on_when_their_database_was_restarted(
    story: Story, postgres: Postgres
) -> None:
    async def restart() -> Callable[[], Awaitable[None]]:
        await postgres.stop()
        await postgres.start()
        return story.all_answer

    say(f"DSTACK_FLEETS_TESTS_SEED={SEED}")
    await story.disturbed(random.Random(SEED), restart, "the database restarts", asks=1)


async def test_a_server_without_the_addon_beside_is_reported(story: Story) -> None:
    sim = story.sim
    for name in story.watch.services:
        await stopped(sim, name)
    # Without a maximum, nothing is moved away: a replica stays where the other server placed it.
    lanes = [{"name": "reserved", "min_replicas": 1, "priority": 5}, "last"]
    one = service("beside", replicas=1, fleets=lanes, resources={"gpu": "H100:1"})
    await sim.apply(one)
    await settled(sim, "beside", {"reserved": 1}, limit=90)
    assert await _problem(sim) is None

    mark = sim.folder.of_server(2) / STOCK
    mark.touch()
    # Ended gracefully, it loads dstack again: with the add-on or without it.
    await sim.faults.server_restart(server=2)
    try:
        # Whichever server is faster places a replica: the one with the add-on is gone for a while.
        await update(sim, "beside", replicas=4)
        await sim.faults.server_end(graceful=False)
        try:
            await until(_placed(sim, 2), limit=120, every=0.5, what="a replica has a place")
        finally:
            await sim.faults.server_start()
        await until(_noted(sim), limit=120, every=0.5, what="it is noted as the other server's")
        problem = await until(lambda: _problem(sim), limit=60, every=0.5, what="it is shown")
        assert "placed by a server without the placement add-on" in problem.text
        assert "dstack-fleets server" in problem.hint
        assert any("by a server without the add-on" in line for line in await events(sim, "beside"))

        await update(story.second, "beside", priority=30)
        edited = await ask(sim, "get", run_name="beside")
        assert not edited["managed"], "a stock server knows no lanes, so it stores none"
    finally:
        mark.unlink()
        await sim.faults.server_restart(server=2)


def _placed(sim: Handle, replicas: int) -> Callable[[], Awaitable[bool]]:
    """A condition: so many replicas have an instance, as the second server tells."""

    async def placed() -> bool:
        run = await sim.api("runs/get", {"run_name": "beside"}, server=2)
        latest = [job["job_submissions"][-1] for job in run["jobs"]]
        return sum(each["job_provisioning_data"] is not None for each in latest) >= replicas

    return placed


def _noted(sim: Handle) -> Callable[[], Awaitable[bool]]:
    """A condition: a replica is noted as one of the other server."""

    async def noted() -> bool:
        seen = await ask(sim, "get", run_name="beside")
        return any(row["reason"] == "other-server" for row in seen["replicas"])

    return noted


async def _problem(sim: Handle) -> Problem | None:
    """The problem of the other server, as `get problems` finds it."""
    here = Sources("test", "test", "test")
    connection = Connection(sim.url, sim.project, sim.token, here)
    look = await observe(connection, Asked("problems", ssh=False))
    return next((each for each in look.problems if each.key.startswith("other-server:")), None)
