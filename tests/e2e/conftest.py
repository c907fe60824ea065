"""Projects with things to be edited, one for each module that asks, and looks at routers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dstack_api_client.model.router import Source
from dstack_simulator.handle.handle import Handle
from tests.conftest import project_name
from tests.servers.edited_services import routed_service, scenario, seed_service, service
from tests.servers.routed_services import Looking, StockWatch, looking
from tests.servers.sharing import emptied

#: What a module's project begins with, by name; a module lists the names in `SERVICES`.
_SERVICES: dict[str, dict[str, Any]] = {
    "chat": seed_service("chat", "gpu"),
    "still": seed_service("still", "still"),  # it is only looked at
    "brief": service("brief", "brief"),
    "dice": service("dice", "dice"),
    # It fills its fleet.
    "trapped": service("trapped", "tight", fleets=["tight-full"], replicas=1),
    "grouped": service("grouped", "dice", fleets=["dice-reserved"], groups=True),
}


@pytest_asyncio.fixture(scope="module")
async def edit_addon(addon_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    """A project on the server with the placement add-on."""
    async for project in _begun(addon_server, request, "addon"):
        yield project


@pytest_asyncio.fixture(scope="module")
async def edit_stock(stock_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    """A project on the stock server with the same fleets."""
    async for project in _begun(stock_server, request, "stock"):
        yield project


async def _begun(
    server: Handle, request: pytest.FixtureRequest, kind: str
) -> AsyncIterator[Handle]:
    project = await server.add_project(project_name(request, kind), scenario())
    await project.settled()
    for name in getattr(request.module, "SERVICES", {}).get(kind, ()):
        await project.apply(_SERVICES[name])
    yield project
    await emptied(project)


@pytest_asyncio.fixture(scope="module")
async def parts(edit_addon: Handle) -> str:
    """The name of a service with replica groups, one of them of a router."""
    return await edit_addon.apply(routed_service("parts", "dice"))


@pytest_asyncio.fixture(scope="module")
async def both(sim: Handle) -> AsyncIterator[dict[Source, Looking]]:
    """Looks at the routers of a module's own project: through the server, and over SSH."""
    async with looking(sim) as server, looking(sim, StockWatch) as ssh:
        yield {Source.SERVER: server, Source.SSH: ssh}
