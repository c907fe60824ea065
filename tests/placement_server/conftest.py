"""Servers with the add-on and a stock one, shared by the tests of this folder; they end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dstack_simulator import Simulator
from tests.addon import LAUNCHER
from tests.placement_server import life
from tests.placement_server.helpers import lanes, scenario, service

#: Stories that go on at the same time: with all of them the server takes minutes to stop a run.
_AT_ONCE = 8


@pytest_asyncio.fixture(scope="package")
async def addon() -> AsyncIterator[Simulator]:
    """A server with the add-on, the fleets, and a service with lanes."""
    launcher = ("tests.placement_server.addon_or_stock",)
    async with Simulator(scenario(), launcher=launcher) as sim:
        await sim.settled()
        # For tests that come later: by then it runs.
        await sim.apply(service("shown", fleets=lanes("shown")))
        yield sim


@pytest_asyncio.fixture(scope="package")
async def stock() -> AsyncIterator[Simulator]:
    """The stock server with the same fleets."""
    async with Simulator(scenario()) as sim:
        await sim.settled()
        yield sim


@pytest_asyncio.fixture(scope="package")
async def life_stories(request: pytest.FixtureRequest) -> AsyncIterator[life.Stories]:
    """All that goes on on a server of its own, much at once: the `STORIES` of the test modules.

    A service with the name of its story is stopped at the end.
    """
    begun: life.Stories = {}
    modules = dict.fromkeys(item.module for item in request.session.items)  # type: ignore[attr-defined]
    told = {
        name: story for module in modules for name, story in getattr(module, "STORIES", {}).items()
    }
    if not told:
        yield begun
        return
    async with Simulator(life.scenario(), launcher=LAUNCHER) as sim:
        await sim.settled()
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def tell(name: str, story: life.Story) -> None:
            async with at_once:
                await story(sim)
                # What goes on running would keep the server from the others.
                active = await sim.api("/api/runs/list", {"only_active": True})
                if name in {run["run_spec"]["run_name"] for run in active}:
                    await sim.stop_run(name, abort=True)

        for name, story in told.items():
            begun[name] = asyncio.create_task(tell(name, story), name=name)
        yield begun
        for task in begun.values():
            task.cancel()
        await asyncio.gather(*begun.values(), return_exceptions=True)
