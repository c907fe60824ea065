"""Everything outside the server, and the server's process itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
from pydantic import ValidationError

from dstack_simulator.errors import SimulatorError
from dstack_simulator.scenarios import scenario as scenarios
from dstack_simulator.world.api import Api
from dstack_simulator.world.control import Control
from dstack_simulator.world.front import Front
from dstack_simulator.world.options import Options
from dstack_simulator.world.servers import Servers
from dstack_simulator.world.site import Site

#: The project that the scenario of the world itself is applied to.
PROJECT = "main"


class World:
    """The servers, and the projects on them with all that is around each.

    Attributes:
        sites: The projects, by name.
    """

    def __init__(self, options: Options) -> None:
        self.sites: dict[str, Site] = {}
        self._options = options
        self._servers = Servers(options, PROJECT)
        self._control = Control(self.sites, self.calls(), options.control_token)
        self._key = asyncssh.generate_private_key("ssh-ed25519", "dstack-simulator")

    async def open(self) -> dict[str, Any]:
        """Starts everything that does not wait for the server.

        Returns:
            What the handle needs to know.
        """
        await self._control.open()
        fronts = await self._servers.open(self._control.url)
        main = self._open_site(PROJECT, self._options.scenario, fronts)
        self._servers.begin()
        main.begin(self._servers.ready)
        return {"urls": main.urls, "project": PROJECT, "control_url": self._control.url}

    async def close(self) -> None:
        """Ends the server, the hosts and the control API."""
        await self._servers.close()
        for site in self.sites.values():
            await site.close()
        await self._control.close()

    def calls(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """What the handle may call, by name."""
        return {"ready": self.ready, "add_project": self.add_project}

    async def ready(self) -> dict[str, Any]:
        """Waits until every server has answered for the first time."""
        await self._servers.ready()
        return {"server_ports": self._servers.ports}

    async def add_project(self, name: str, scenario: dict[str, Any]) -> dict[str, Any]:
        """Makes a project with hosts and a cloud of its own, and begins to apply a scenario to it.

        Returns:
            What its handle needs to know.

        Raises:
            SimulatorError: There is such a project, or the scenario makes no sense.
        """
        if name in self.sites:
            raise SimulatorError(f"There is a project {name} already. Choose another name.")
        try:
            parsed = scenarios.Scenario.model_validate(scenario)
        except ValidationError as error:
            raise SimulatorError(f"The scenario of the project {name}: {error}") from error
        site = self._open_site(name, parsed, await self._servers.more_fronts())
        site.begin(lambda: self._make_project(name))
        return {"urls": site.urls, "project": name}

    def _open_site(self, name: str, scenario: scenarios.Scenario, fronts: list[Front]) -> Site:
        site = Site(
            name,
            scenario,
            options=self._options,
            servers=self._servers,
            fronts=fronts,
            key=self._key,
        )
        self.sites[name] = site
        return site

    async def _make_project(self, name: str) -> None:
        await self._servers.ready()
        api = Api(self.sites[name].urls[0], self._options.server_token, name)
        try:
            await api.call("/api/projects/create", {"project_name": name})
            backend = {"type": "aws", "creds": {"type": "default"}}
            await api.project("backends/create", backend)
        finally:
            await api.close()
