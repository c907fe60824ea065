"""Simulators shared by the whole session; each starts when a test first asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

from dstack_simulator import Simulator
from tests.postgres import Postgres, running

# How long a case takes is no property: the machine may be busy with other things.
settings.register_profile("here", deadline=None, print_blob=True)
settings.load_profile("here")


#: Servers that several modules share, in the order in which their modules run. A server costs a
#: tenth of a core and more while nothing is asked of it, so each ends after its last test.
_SHARED = (
    "large_sim",
    "empty_sim",
    "demo_sim",
    "edit_addon",
    "edit_stock",
    "addon",
    "stock",
    "life_stories",
)
#: The part of the tests that need a server, by folder or module, one of three; what is not named is
#: in the last. They take about as long.
_PART_OF = {
    "placement_server": "placement",
    "simulator": "placement",
    "test_first_screen": "routers",
    "test_get_failures": "routers",
    "test_problems_real": "routers",
    "test_router_states": "routers",
    "test_scenario_lanes": "routers",
    "test_simulator_faults": "routers",
    "test_versions": "routers",
}
_PARTS = ("placement", "routers", "others")
_ENDS_WITH = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Parts the tests for three processes that share no server, and sorts each part.

    What needs no server comes first everywhere: a server beside tests that take all of a core is so
    slow that its own tests fail.
    """
    part = _parts(items)
    place: dict[tuple[str, Path], int] = {}
    for item in items:
        at = (part[item], item.path)
        found = [_SHARED.index(name) for name in _fixtures(item) if name in _SHARED]
        place[at] = max(place.get(at, -1), *found, -1)
    items.sort(key=lambda item: (part[item], _turn(item), place[part[item], item.path]))
    last: dict[tuple[str, str], pytest.Item] = {}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(part[item]))
        last |= {(part[item], name): item for name in _SHARED if name in _fixtures(item)}
    for (_, name), item in last.items():
        item.stash.setdefault(_ENDS_WITH, []).append(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Ends the servers that no later test asks for."""
    yield
    for name in item.stash.get(_ENDS_WITH, ()):
        for fixture in item._fixtureinfo.name2fixturedefs[name]:  # type: ignore[attr-defined]
            fixture.finish(item._request)  # type: ignore[attr-defined]


def _parts(items: list[pytest.Item]) -> dict[pytest.Item, str]:
    """The part of each test; a module's tests without a server stay together."""
    found: dict[pytest.Item, str] = {}
    alone: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if _turn(item):
            found[item] = _part(item)
        else:
            alone.setdefault(item.path, []).append(item)
    size = dict.fromkeys(_PARTS, 0)
    for tests in sorted(alone.values(), key=len, reverse=True):
        least = min(_PARTS, key=lambda part: size[part])
        size[least] += len(tests)
        found |= dict.fromkeys(tests, least)
    return found


def _turn(item: pytest.Item) -> int:
    """Servers of other versions have been started meanwhile, and end with their tests."""
    if item.get_closest_marker("versions"):
        return 1
    return 2 if item.get_closest_marker("e2e") else 0


def _part(item: pytest.Item) -> str:
    if "demo_sim" in _fixtures(item):  # it takes a minute to be there, so one process has it
        return "others"
    if {"edit_stock", "large_sim"} & {*_fixtures(item)}:
        return "placement"
    named = (item.path.stem, item.path.parent.name)
    return next((_PART_OF[name] for name in named if name in _PART_OF), "others")


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.fixture(scope="session")
def empty_sim() -> Iterator[Simulator]:
    """A server with nothing on it."""
    yield from _shared("empty")


@pytest.fixture(scope="session")
def demo_sim() -> Iterator[Simulator]:
    """The scenario `demo`, fully running. Tests that change it put it back."""
    yield from _shared("demo", settled=True)


@pytest.fixture(scope="session")
def large_sim() -> Iterator[Simulator]:
    """The scenario `large`: many fleets and services on a frozen server."""
    yield from _shared("large")


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    """A PostgreSQL, on which each simulator gets a database of its own."""
    async with running() as server:
        yield server


def _shared(scenario: str, *, settled: bool = False) -> Iterator[Simulator]:
    simulator = Simulator(scenario).start()
    try:
        if settled:
            simulator.wait_settled()
        yield simulator
    finally:
        simulator.stop()
    assert not simulator.processes(), "the simulator left processes behind"
