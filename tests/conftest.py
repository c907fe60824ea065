"""Simulators shared by the whole session; each starts when a test first asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from hypothesis import settings

from dstack_simulator import Simulator
from tests.postgres import Postgres, running

# How long a case takes is no property: the machine may be busy with other things.
settings.register_profile("here", deadline=None, print_blob=True)
settings.load_profile("here")


#: Folders whose tests mostly wait for servers of their own: they run beside all the others.
_BESIDE = ("placement_server", "simulator")


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Parts the tests in two halves that share no server, for two processes."""
    for item in items:
        half = "servers" if item.path.parent.name in _BESIDE else "others"
        item.add_marker(pytest.mark.xdist_group(half))


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
