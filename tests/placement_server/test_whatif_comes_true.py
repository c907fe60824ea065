"""What `whatif` says of lost hosts and spot instances is what then happens on a server.

Each of ten situations has a project of its own with fleets and services, and loses hosts or spot
instances. Some go on at the same time, since most of it is waiting.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.service.situation import as_it_is
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_api_client.whatif import Loss, loss_of, what_if
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.looking import Asked, Source, UnavailableError
from dstack_placement import engine
from dstack_placement.engine import Action
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.builders.generation import SEED, longest
from tests.conftest import project_name
from tests.servers.lanes import eight_gpus, fleet, service
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, longest]

#: The regions of the spot fleet, and of the fleet on demand, of which nothing is lost.
_SPOT, _SAFE = "us-east-2", "us-east-1"
#: So many looks in a row have to find the same, for it to be at rest.
_AT_REST = 4
#: Situations that go on at the same time.
_AT_ONCE = 3


@dataclass(frozen=True)
class Situation:
    """Fleets with services, and what they lose.

    Attributes:
        number: Its number.
        hosts: How many hosts its SSH fleet has.
        spots: How many nodes its spot fleet has at most.
        safe: How many its fleet on demand has at most.
        loses: `spot`, one spot instance (`instance`), all hosts (`hosts`) or one (`host`).
        services: Their configurations.
    """

    number: int
    hosts: int
    spots: int
    safe: int
    loses: str
    services: tuple[Mapping[str, Any], ...]

    @property
    def lost(self) -> str:
        """The fleet that loses instances, `ssh` or `spot`."""
        return "ssh" if self.loses.startswith("host") else "spot"


def _situation(number: int) -> Situation:
    chance = random.Random(f"{SEED} {number}")
    loses = ("spot", "hosts", "instance", "host")[number % 4]
    hosts, spots, safe = chance.randint(1, 2), chance.randint(1, 3), chance.randint(0, 2)
    lost = "ssh" if loses.startswith("host") else "spot"
    services = []
    for at in range(chance.randint(1, 2)):
        kinds = chance.sample(["ssh", "spot", "safe"], chance.randint(2, 3))
        if not at:
            # So that it has something to lose.
            kinds = [lost, *(each for each in kinds if each != lost)]
        lanes: list[dict[str, Any]] = [{"name": kind} for kind in kinds]
        replicas = chance.randint(1, 2)
        lanes[0] |= {"min_replicas": chance.randint(0, replicas), "priority": 9}
        if chance.random() < 0.3:
            lanes[0]["max_replicas"] = max(1, lanes[0]["min_replicas"])
        priority = chance.randint(1, 99)
        services.append(
            service(("one", "two")[at], fleets=lanes, replicas=replicas, priority=priority)
        )
    return Situation(number, hosts, spots, safe, loses, tuple(services))


_SITUATIONS = [_situation(number) for number in range(10)]
_SAID = f"DSTACK_FLEETS_TESTS_SEED={SEED}"


def _scenario(situation: Situation) -> Scenario:
    machine = {"cpus": 192, "memory_gib": 2048, "disk_gib": 7000}
    gpu = {"name": "H100", "memory_gib": 80, "count": 8}
    names = [f"rack-{at}" for at in range(1, situation.hosts + 1)]
    fleets = [
        {"type": "fleet", "name": "ssh", "ssh_config": {"hosts": names}},
        fleet("spot", _SPOT, "spot", f"0..{situation.spots}"),
        fleet("safe", _SAFE, "on-demand", f"0..{situation.safe}"),
    ]
    offers = [eight_gpus({_SPOT: {"spot": 31.05}, _SAFE: {"on_demand": 98.32}})]
    return Scenario.model_validate(
        {
            "description": "Fleets that lose instances",
            "hosts": [{"name": "rack", "count": situation.hosts, "gpu": gpu, **machine}],
            "cloud": {"start_seconds": 0.2, "offers": offers},
            "steps": [
                *({"apply": each} for each in fleets),
                {"until": {"fleets": {"ssh": {"instances": {"idle": situation.hosts}}}}},
                *({"apply": each} for each in situation.services),
            ],
        }
    )


@asynccontextmanager
async def _played(server: Handle, name: str, situation: Situation) -> AsyncIterator[Handle]:
    """A project in which a situation is there."""
    project = await server.add_project(f"{name}-{situation.number}", _scenario(situation))
    try:
        await project.settled()
        yield project
    finally:
        await emptied(project)


class _Looks:
    """Looks at a project as `get distribution` does."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._last: object = None
        self._same = 0
        self.snapshot: Snapshot

    async def look(self) -> Snapshot:
        """One look; a server under load may need several."""
        await until(self._answers, limit=120, every=1, what="the server answers in time")
        return self.snapshot

    async def _answers(self) -> bool:
        try:
            read = await kind_named("distribution").read(self._source, Asked("distribution"))
        except UnavailableError:
            return False
        self.snapshot = read.snapshot
        return True

    async def rests(self) -> bool:
        """Whether the looks find the same since a while, and nothing is on its way or to come."""
        snapshot = await self.look()
        found = {each.name: _running(snapshot, each) for each in snapshot.services.values()}
        moving = any(
            each.active and each.status in ("provisioning", "pulling", "terminating")
            for each in snapshot.replicas.values()
        )
        # On a busy machine a replica may wait for longer than all of the looks take.
        moving = moving or any(_is_to_come(snapshot, each) for each in snapshot.services.values())
        self._same = self._same + 1 if found == self._last and not moving else 0
        self._last = found
        return self._same >= _AT_REST


@asynccontextmanager
async def _looking(sim: Handle) -> AsyncIterator[_Looks]:
    here = Sources("test", "test", "test")
    connection = Connection(sim.url, sim.project, sim.token, here)
    async with Client(connection.url, connection.token) as client:
        yield _Looks(Source(client, Feed(client, connection.project)))


def _running(snapshot: Snapshot, service: Service) -> Counter[str]:
    """How many replicas of a service run in each fleet."""
    rows = distribution_of(snapshot, service).rows
    return +Counter({str(row.fleet): row.running for row in rows})


def _is_to_come(snapshot: Snapshot, service: Service) -> bool:
    """Whether anything is to start, stop or move, now or after a cooldown."""
    if service.gone:
        return False
    if service.id not in snapshot.placements:
        return True
    plan = engine.next_actions(as_it_is(snapshot, service, managed=True), now=snapshot.observed_at)
    actions = {row.action for row in plan.replicas}
    cools = any(lane.until is not None for lane in plan.lanes)
    return bool(actions - {Action.STAY, Action.PENDING}) or (Action.PENDING in actions and cools)


def _broken(snapshot: Snapshot, service: Service, before: Counter[str]) -> set[str]:
    """The fleets in which it is below its minimum, and holds less of it than before.

    A service that has ended has none.
    """
    if service.gone:
        return set()
    rows = distribution_of(snapshot, service).rows
    return {
        str(row.fleet) for row in rows if row.running < min(row.minimum, before[str(row.fleet)])
    }


def _lost(snapshot: Snapshot, situation: Situation) -> tuple[list[str], list[str]]:
    """What is lost, as `--without` names it, and the names of the instances."""
    fleet = snapshot.fleet_named(situation.lost)
    assert fleet is not None
    there = [snapshot.instances[key] for key in fleet.instance_ids]
    used = sorted((each for each in there if each.status == "busy"), key=lambda each: each.num)
    if situation.loses in ("spot", "hosts"):
        return [fleet.name], [each.name for each in there]
    return [f"{fleet.name}/{each.num}" for each in used[:1]], [each.name for each in used[:1]]


#: By service, in which fleets how many replicas run, and the minimums that break.
_Ends: TypeAlias = dict[str, tuple[Counter[str], set[str]]]


def _foretold(snapshot: Snapshot, loss: Loss) -> _Ends:
    """What becomes of all services once all is over."""
    outcomes = {each.service.name: each for each in what_if(snapshot, loss)}
    assert outcomes, f"{_SAID}: something is lost"
    told: _Ends = {}
    for each in snapshot.services.values():
        outcome = outcomes.get(each.name)
        now = _running(snapshot, each)
        if outcome is None:
            told[each.name] = (now, set())
            continue
        lost = [one for one in snapshot.active_in(each) if loss.takes(one)]
        then = now - Counter(str(one.fleet_name) for one in lost)
        for start in outcome.starts:
            then[str(start.fleet)] += start.count
        ended = outcome.ending is not None
        broken = {one.fleet for one in outcome.broken}
        told[each.name] = (Counter() if ended else +then, broken)
    return told


def _found(snapshot: Snapshot, before: Snapshot) -> _Ends:
    """What has become of them."""
    return {
        each.name: (
            _running(snapshot, each),
            _broken(snapshot, each, _running(before, before.services[each.id])),
        )
        for each in snapshot.services.values()
    }


async def _comes_true(server: Handle, name: str, situation: Situation) -> None:
    """Plays a situation, and compares what was foretold with what has come of it."""
    async with _played(server, name, situation) as sim, _looking(sim) as looks:
        await until(looks.rests, limit=120, every=0.5, what=f"{_SAID}: everything rests")
        before = looks.snapshot
        names, instances = _lost(before, situation)
        foretold = _foretold(before, loss_of(before, names))
        hosts = situation.lost == "ssh"
        if situation.loses == "spot":
            await sim.faults.no_capacity(_SPOT)
        take = sim.faults.host_unreachable if hosts else sim.faults.spot_interrupted
        await asyncio.gather(*(take(each) for each in instances))
        found: _Ends = {}
        as_foretold = 0

        async def came_true() -> bool:
            nonlocal found, as_foretold
            found = _found(await looks.look(), before)
            as_foretold = as_foretold + 1 if found == foretold else 0
            return as_foretold >= _AT_REST

        try:
            await until(came_true, limit=120, every=0.5)
        except AssertionError:
            wrong = (
                f"{_SAID}: {service}: foretold {told}, found {found[service]}; {situation}"
                for service, told in foretold.items()
                if told != found[service]
            )
            raise AssertionError("\n".join(wrong)) from None
        finally:
            if hosts:
                await asyncio.gather(*(sim.faults.host_back(each) for each in instances))


@pytest_asyncio.fixture(scope="module")
async def plays(
    addon_server: Handle, request: pytest.FixtureRequest
) -> AsyncIterator[Mapping[int, asyncio.Task[None]]]:
    """The situations of the tests that are run, by their numbers."""
    name = project_name(request, "losses")
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def play(situation: Situation) -> None:
        async with at_once:
            await _comes_true(addon_server, name, situation)

    items = [each for each in request.session.items if each.path == request.node.path]
    wanted = [each.callspec.params["situation"] for each in items]  # type: ignore[attr-defined]
    begun = {each.number: asyncio.create_task(play(each)) for each in wanted}
    yield begun
    for task in begun.values():
        task.cancel()
    await asyncio.gather(*begun.values(), return_exceptions=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("situation", _SITUATIONS, ids=lambda each: f"{each.number}-{each.loses}")
async def test_what_was_foretold_of_a_loss_comes_true(
    plays: Mapping[int, asyncio.Task[None]], situation: Situation
) -> None:
    await plays[situation.number]
