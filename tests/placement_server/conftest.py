"""Projects on the server with the add-on and on the stock one, one for each module that asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from tests.conftest import project_name
from tests.servers import stories
from tests.servers.lanes import ENDED, lanes, scenario, service
from tests.servers.sharing import emptied

#: Stories that go on at the same time: with all of them the server takes minutes to stop a run.
_AT_ONCE = 8


@pytest_asyncio.fixture(scope="module")
async def addon(addon_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    """A project on the server with the add-on, with the fleets and a service with lanes."""
    project = await addon_server.add_project(project_name(request, "addon"), scenario())
    await project.settled()
    # For tests that come later: by then it runs.
    await project.apply(service("shown", fleets=lanes("shown")))
    yield project
    await emptied(project)


@pytest_asyncio.fixture(scope="module")
async def stock(stock_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    """A project on the stock server with the same fleets."""
    project = await stock_server.add_project(project_name(request, "stock"), scenario())
    await project.settled()
    yield project
    await emptied(project)


@pytest_asyncio.fixture(scope="package")
async def life_stories(
    story_server: Handle, request: pytest.FixtureRequest
) -> AsyncIterator[stories.Stories]:
    """All that goes on on a server of its own, much at once: the `STORIES` of the test modules.

    A service with the name of its story is stopped at the end.
    """
    begun: stories.Stories = {}
    modules = dict.fromkeys(item.module for item in request.session.items)  # type: ignore[attr-defined]
    told = {
        name: story for module in modules for name, story in getattr(module, "STORIES", {}).items()
    }
    if not told:
        yield begun
        return
    sim = await story_server.add_project("life", stories.scenario())
    await sim.settled()
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def tell(name: str, story: stories.Story) -> None:
        async with at_once:
            await story(sim)
            # What goes on running would keep the server from the others.
            run = await sim.run(name) if name in stories.FLEETS else None
            if run is not None and run["status"] not in ENDED:
                await sim.stop_run(name)

    for name, story in told.items():
        begun[name] = asyncio.create_task(tell(name, story), name=name)
    yield begun
    for task in begun.values():
        task.cancel()
    await asyncio.gather(*begun.values(), return_exceptions=True)
    await emptied(sim)
