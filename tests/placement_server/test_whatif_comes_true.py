"""What `whatif` says of lost hosts and spot instances is what then happens on a server.

Ten situations, each with fleets, regions and services of its own, are lost at once: what takes time
on a server takes it once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.service.situation import as_it_is
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_api_client.whatif import Outcome, loss_of, what_if
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.looking import Asked, Source, UnavailableError
from dstack_placement import engine
from dstack_placement.engine import Action
from dstack_simulator.handle import Handle
from dstack_simulator.scenario import Scenario
from tests.builders.generation import SEED, longest
from tests.conftest import project_name
from tests.servers.lanes import eight_gpus, fleet, service
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, longest]

#: The region of each situation's spot fleet.
_REGIONS = (
    "us-east-2", "us-west-1", "ca-central-1", "eu-west-2", "eu-west-3",
    "eu-north-1", "ap-south-1", "ap-northeast-1", "ap-southeast-2", "sa-east-1",
)  # fmt: skip
#: The region of all fleets on demand, of which nothing is lost.
_SAFE = "us-east-1"
#: So many looks in a row have to find the same, for it to be at rest.
_AT_REST = 4


@dataclass(frozen=True)
class Situation:
    """Fleets with services, and what they lose.

    Attributes:
        number: Its number.
        region: The region of its spot fleet.
        hosts: How many hosts its SSH fleet has.
        spots: How many nodes its spot fleet has at most.
        safe: How many its fleet on demand has at most.
        loses: `spot`, one spot instance (`instance`), all hosts (`hosts`) or one (`host`).
        services: Their configurations.
    """

    number: int
    region: str
    hosts: int
    spots: int
    safe: int
    loses: str
    services: tuple[Mapping[str, Any], ...] = field(repr=False)

    def named(self, kind: str) -> str:
        """The name of its fleet of a kind: `ssh`, `spot` or `safe`."""
        return f"{kind}-{self.number}"

    @property
    def names(self) -> list[str]:
        """Its services."""
        return [each["name"] for each in self.services]


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
        lanes: list[dict[str, Any]] = [{"name": f"{kind}-{number}"} for kind in kinds]
        replicas = chance.randint(1, 2)
        lanes[0] |= {"min_replicas": chance.randint(0, replicas), "priority": 9}
        if chance.random() < 0.3:
            lanes[0]["max_replicas"] = max(1, lanes[0]["min_replicas"])
        name = f"s{number}-{'ab'[at]}"
        services.append(
            service(name, fleets=lanes, replicas=replicas, priority=chance.randint(1, 99))
        )
    return Situation(number, _REGIONS[number], hosts, spots, safe, loses, tuple(services))


_SITUATIONS = [_situation(number) for number in range(len(_REGIONS))]
_SAID = f"DSTACK_FLEETS_TESTS_SEED={SEED}"


def _scenario() -> Scenario:
    steps: list[dict[str, Any]] = []
    hosts = []
    for each in _SITUATIONS:
        host = f"rack{each.number}"
        machine = {"cpus": 192, "memory_gib": 2048, "disk_gib": 7000}
        gpu = {"name": "H100", "memory_gib": 80, "count": 8}
        hosts.append({"name": host, "count": each.hosts, "gpu": gpu, **machine})
        names = [f"{host}-{at}" for at in range(1, each.hosts + 1)]
        ssh = {"name": each.named("ssh"), "ssh_config": {"hosts": names}}
        steps.append({"apply": {"type": "fleet", **ssh}})
        spot = fleet(each.named("spot"), each.region, "spot", f"0..{each.spots}")
        steps.append({"apply": spot})
        safe = fleet(each.named("safe"), _SAFE, "on-demand", f"0..{each.safe}")
        steps.append({"apply": safe})
    racks = {each.named("ssh"): {"instances": {"idle": each.hosts}} for each in _SITUATIONS}
    steps.append({"until": {"fleets": racks}})
    steps += [{"apply": one} for each in _SITUATIONS for one in each.services]
    regions = {region: {"spot": 31.05} for region in _REGIONS}
    offers = [eight_gpus({**regions, _SAFE: {"on_demand": 98.32}})]
    return Scenario.model_validate(
        {
            "description": "Ten situations",
            "hosts": hosts,
            "cloud": {"start_seconds": 0.2, "offers": offers},
            "steps": steps,
        }
    )


@pytest_asyncio.fixture(scope="module")
async def situations(addon_server: Handle, request: pytest.FixtureRequest) -> Handle:
    """A project in which all of them are there."""
    project = await addon_server.add_project(project_name(request, "losses"), _scenario())
    await project.settled()
    return project


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
    kind = "ssh" if situation.loses.startswith("host") else "spot"
    fleet = snapshot.fleet_named(situation.named(kind))
    assert fleet is not None
    there = [snapshot.instances[key] for key in fleet.instance_ids]
    used = sorted((each for each in there if each.status == "busy"), key=lambda each: each.num)
    if situation.loses in ("spot", "hosts"):
        return [fleet.name], [each.name for each in there]
    return [f"{fleet.name}/{each.num}" for each in used[:1]], [each.name for each in used[:1]]


def _foretold(now: Counter[str], outcome: Outcome, lost: Counter[str]) -> Counter[str]:
    """Where its replicas run once all is over."""
    if outcome.ending is not None:
        return Counter()
    then = now - lost
    for start in outcome.starts:
        then[str(start.fleet)] += start.count
    return +then


@pytest.mark.timeout(1200)
async def test_what_was_foretold_of_losses_comes_true(situations: Handle) -> None:
    sim = situations
    async with _looking(sim) as looks:
        await until(looks.rests, limit=240, every=0.5, what=f"{_SAID}: everything rests")
        before = looks.snapshot
        wanted: dict[str, tuple[Counter[str], set[str]]] = {}
        cut: list[tuple[Situation, list[str]]] = []
        concerned, held = set(), {}
        for situation in _SITUATIONS:
            names, instances = _lost(before, situation)
            loss = loss_of(before, names)
            outcomes = {each.service.name: each for each in what_if(before, loss)}
            concerned |= {situation.number for _ in outcomes}
            cut.append((situation, instances))
            for name in situation.names:
                one = before.service_named(name)
                assert one is not None
                held[name] = _running(before, one)
                now, broken = _running(before, one), set[str]()
                if (outcome := outcomes.get(name)) is not None:
                    gone = [each for each in before.active_in(one) if loss.takes(each)]
                    lost = Counter(str(each.fleet_name) for each in gone)
                    now = _foretold(now, outcome, lost)
                    broken = {each.fleet for each in outcome.broken}
                wanted[name] = (now, broken)
        assert len(concerned) >= 8, f"{_SAID}: most situations lose replicas"
        for situation, instances in cut:
            if situation.loses == "spot":
                await sim.faults.no_capacity(situation.region)
            ssh = situation.loses.startswith("host")
            take = sim.faults.host_unreachable if ssh else sim.faults.spot_interrupted
            await asyncio.gather(*(take(each) for each in instances))

        found: dict[str, tuple[Counter[str], set[str]]] = {}
        row: list[bool] = []

        async def came_true() -> bool:
            snapshot = await looks.look()
            for name in wanted:
                one = snapshot.service_named(name)
                assert one is not None
                found[name] = (_running(snapshot, one), _broken(snapshot, one, held[name]))
            row.append(found == wanted)
            return len(row) >= _AT_REST and all(row[-_AT_REST:])

        try:
            await until(came_true, limit=150, every=0.5)
        except AssertionError:
            wrong = {
                name: f"foretold {told}, found {found[name]}"
                for name, told in wanted.items()
                if told != found[name]
            }
            by_name = {name: each for each in _SITUATIONS for name in each.names}
            raise AssertionError(
                "\n".join(
                    f"{_SAID}: {name}: {text}; {by_name[name]} {by_name[name].services}"
                    for name, text in wrong.items()
                )
            ) from None
        finally:
            hosts = [each for one, each in cut if one.loses.startswith("host")]
            await asyncio.gather(*(sim.faults.host_back(name) for each in hosts for name in each))
