"""A server with the add-on, and a stock one, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from dstack_simulator import Simulator
from tests.placement_server.helpers import LAUNCHER, lanes, scenario, service


@pytest_asyncio.fixture(scope="session")
async def addon() -> AsyncIterator[Simulator]:
    """A server with the add-on, the fleets, and a service with lanes."""
    async with Simulator(scenario(), launcher=LAUNCHER) as sim:
        await sim.settled()
        # For tests that come later: by then it runs.
        await sim.apply(service("shown", fleets=lanes("shown")))
        yield sim


@pytest_asyncio.fixture(scope="session")
async def stock() -> AsyncIterator[Simulator]:
    """The stock server with the same fleets."""
    async with Simulator(scenario()) as sim:
        await sim.settled()
        yield sim
