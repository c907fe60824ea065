"""Servers with things to be edited, shared by the tests of this folder; they end with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from dstack_api_client.routers.view import Source
from dstack_simulator import Simulator
from tests.addon import LAUNCHER
from tests.e2e.editing import routed_service, scenario, seed_service, service
from tests.e2e.routed import Looking, StockWatch, looking


@pytest_asyncio.fixture(scope="package")
async def edit_addon() -> AsyncIterator[Simulator]:
    """A server with the placement add-on; `still` is only looked at."""
    async with Simulator(scenario(), launcher=LAUNCHER) as sim:
        await sim.settled()
        await sim.apply(seed_service("chat", "gpu"))
        await sim.apply(seed_service("still", "still"))
        await sim.apply(service("brief", "brief"))
        await sim.apply(service("dice", "dice"))
        yield sim


@pytest_asyncio.fixture(scope="package")
async def edit_stock() -> AsyncIterator[Simulator]:
    """The stock server with the same fleets; `trapped` fills its fleet."""
    async with Simulator(scenario()) as sim:
        await sim.settled()
        await sim.apply(service("trapped", "tight", fleets=["tight-full"], replicas=1))
        await sim.apply(service("grouped", "dice", fleets=["dice-reserved"], groups=True))
        yield sim


@pytest_asyncio.fixture(scope="package")
async def parts(edit_addon: Simulator) -> AsyncIterator[str]:
    """The name of a service with replica groups, one of them of a router."""
    await edit_addon.apply(routed_service("parts", "dice"))
    yield "parts"
    await edit_addon.stop_run("parts", abort=True)


@pytest_asyncio.fixture(scope="module")
async def both(sim: Simulator) -> AsyncIterator[dict[Source, Looking]]:
    """Looks at the routers of a module's own server: through it, and over SSH."""
    async with looking(sim) as server, looking(sim, StockWatch) as ssh:
        yield {Source.SERVER: server, Source.SSH: ssh}
