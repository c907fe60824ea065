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
#: Folders of the one half of the tests; modules that use the demo are in the other.
_BESIDE = ("placement_server", "simulator", "tui", "widgets")
_ENDS_WITH = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Parts the tests in two halves that share no server, for two processes, and sorts each."""
    used: dict[Path, set[str]] = {}
    for item in items:
        used.setdefault(item.path, set()).update(set(_SHARED) & set(_fixtures(item)))
    half = {
        path: "servers" if path.parent.name in _BESIDE and "demo_sim" not in names else "others"
        for path, names in used.items()
    }
    place = {path: max(map(_SHARED.index, names), default=-1) for path, names in used.items()}
    items.sort(key=lambda item: (half[item.path], place[item.path]))
    last: dict[tuple[str, str], pytest.Item] = {}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(half[item.path]))
        last |= {(half[item.path], name): item for name in _SHARED if name in _fixtures(item)}
    for (_, name), item in last.items():
        item.stash.setdefault(_ENDS_WITH, []).append(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Ends the servers that no later test asks for."""
    yield
    for name in item.stash.get(_ENDS_WITH, ()):
        for fixture in item._fixtureinfo.name2fixturedefs[name]:  # type: ignore[attr-defined]
            fixture.finish(item._request)  # type: ignore[attr-defined]


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
