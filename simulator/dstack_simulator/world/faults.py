"""Faults: what goes wrong outside the server, and how to ask for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dstack_simulator.errors import SimulatorError
from dstack_simulator.hosts import Container, Host, HostPool
from dstack_simulator.scenarios import scenario as scenarios
from dstack_simulator.world.cloud import Cloud
from dstack_simulator.world.front import Front
from dstack_simulator.world.servers import Servers


class SiteFaults:
    """Sets faults in a project; every call is named as the method of the simulator's handle."""

    def __init__(
        self,
        scenario: scenarios.Scenario,
        *,
        servers: Servers,
        fronts: Sequence[Front],
        pool: HostPool,
        cloud: Cloud,
        address_of_instance: Callable[[str], Awaitable[str | None]],
    ) -> None:
        self._scenario = scenario
        self._servers = servers
        self._fronts = fronts
        self._pool = pool
        self._cloud = cloud
        self._address_of_instance = address_of_instance

    def calls(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """The faults by name."""
        return {
            "host_unreachable": self.host_unreachable,
            "host_back": self.host_back,
            "host_health": self.host_health,
            "spot_interrupted": self.spot_interrupted,
            "no_capacity": self.no_capacity,
            "slow_start": self.slow_start,
            "slow_tokens": self.slow_tokens,
            "worker_unhealthy": self.worker_unhealthy,
            "worker_crash": self.worker_crash,
            "container_fails": self.container_fails,
            "worker_walled_off": self.worker_walled_off,
            "router_restart": self.router_restart,
            "router_frozen": self.router_frozen,
            "server_restart": self.server_restart,
            "server_end": self.server_end,
            "server_start": self.server_start,
            "server_slow": self.server_slow,
            "server_cut": self.server_cut,
            "set_rps": self.set_rps,
        }

    async def host_unreachable(self, host: str) -> None:
        """Cuts a host off."""
        await (await self._host(host)).set_reachable(False)

    async def host_back(self, host: str) -> None:
        """Lets a host be reached again."""
        await (await self._host(host)).set_reachable(True)

    async def host_health(self, host: str, health: str, message: str = "") -> None:
        """Sets what a host's health check finds: healthy, warning or failure."""
        if health not in ("healthy", "warning", "failure"):
            raise SimulatorError(
                f"{health!r} is no state of health. Use healthy, warning or failure."
            )
        try:
            (await self._host(host)).set_health(health, message)  # type: ignore[arg-type]
        except ValueError as error:
            raise SimulatorError(str(error)) from error

    async def spot_interrupted(self, instance: str) -> str:
        """Takes a spot instance back."""
        host = await self._host(instance)
        await self._cloud.interrupt(host.name)
        return host.name

    async def no_capacity(self, region: str | None = None, on: bool = True) -> None:
        """Takes away or gives back the capacity of a region, or of all."""
        cloud = self._cloud
        if region is not None and region not in cloud.regions:
            known = ", ".join(cloud.regions) or "none"
            raise SimulatorError(f"The emulated cloud has no region {region}. It has {known}.")
        regions = cloud.regions if region is None else [region]
        if on:
            cloud.without_capacity.update(regions)
        else:
            cloud.without_capacity.difference_update(regions)

    async def slow_start(self, seconds: float) -> None:
        """Makes instances, containers and engines take longer to start, also those that do now."""
        timing, timings = self._scenario.timing, self._pool.timings
        self._cloud.start_seconds = self._scenario.cloud.start_seconds + seconds
        timings.creating = timing.creating + seconds
        timings.loading = timing.loading + seconds

    async def slow_tokens(self, seconds: float) -> None:
        """Makes answers that begin from now on take so long in all; 0 ends it."""
        if seconds < 0:
            raise SimulatorError(f"An answer can't take {seconds:g} s. Give 0 or more.")
        self._pool.timings.answering = seconds

    async def worker_unhealthy(self, replica: str, on: bool = True) -> None:
        """Makes a replica's inference worker fail its health check."""
        workers = [c for c in await self._containers(replica) if c.runner.worker is not None]
        if not workers:
            raise SimulatorError(f"{replica} runs no inference worker. Name one that does.")
        for container in workers:
            container.fail_health(on)

    async def worker_crash(self, replica: str, exit_status: int = 1) -> None:
        """Ends the process of a replica."""
        for container in await self._containers(replica):
            await container.crash(exit_status)

    async def container_fails(self, replica: str, message: str = "") -> None:
        """Ends a replica's container from outside, as when it can't be created."""
        containers = [c for c in self._pool.containers(replica) if c.status != "terminated"]
        if not containers:
            raise SimulatorError(f"{replica} has no container. Name a running replica.")
        for container in containers:
            await container.terminate("creating_container_error", message)

    async def worker_walled_off(self, replica: str, on: bool = True) -> None:
        """Keeps the router from dialling a replica; the server's tunnels get through."""
        for container in await self._containers(replica):
            await container.wall_off(on)

    async def router_restart(self, replica: str) -> None:
        """Kills a replica's router, which is then started again."""
        for container in await self._routers(replica):
            await container.restart_router()

    async def router_frozen(self, replica: str, on: bool = True) -> None:
        """Lets a replica's router answer nothing, or go on."""
        for container in await self._routers(replica):
            container.freeze_router(on)

    async def server_restart(self, graceful: bool = True, server: int = 1) -> None:
        """Ends a server and starts it again; its address stays."""
        await self.server_end(graceful, server)
        await self.server_start(server)

    async def server_end(self, graceful: bool = True, server: int = 1) -> None:
        """Ends a server, or kills it."""
        await self._servers.end_one(server, graceful=graceful)

    async def server_start(self, server: int = 1) -> None:
        """Starts a server that has been ended."""
        await self._servers.start_one(server)

    async def server_slow(self, seconds: float, server: int = 1) -> None:
        """Holds every answer of a server back; 0 ends it."""
        self._front(server).delay = seconds

    async def server_cut(self, on: bool = True, server: int = 1) -> None:
        """Cuts every connection to a server and refuses new ones."""
        self._front(server).cut(on)

    async def set_rps(self, service: str, rps: float) -> None:
        """Sets the requests per second that gateways report for a service."""
        gateways = list(self._pool.gateways.values())
        if not gateways:
            raise SimulatorError("No gateway is there to report requests. Create one first.")
        for gateway in gateways:
            gateway.set_rps(service, rps)

    def _front(self, server: int) -> Front:
        if not 1 <= server <= len(self._fronts):
            raise SimulatorError(
                f"There is no server {server}. Name one from 1 to {len(self._fronts)}."
            )
        return self._fronts[server - 1]

    async def _host(self, name: str) -> Host:
        """A host, given its name in the scenario, the cloud's id, or the server's name of it."""
        hosts = self._pool.hosts
        if name in hosts:
            return hosts[name]
        address = await self._address_of_instance(name)
        for host in hosts.values():
            if host.address == address:
                return host
        known = ", ".join(sorted(hosts)) or "none"
        raise SimulatorError(f"There is no host or instance {name}. There are {known}.")

    async def _routers(self, text: str) -> list[Container]:
        routers = [c for c in await self._containers(text) if c.runner.router is not None]
        if not routers:
            raise SimulatorError(f"{text} runs no router. Name a replica that runs smg.")
        return routers

    async def _containers(self, text: str) -> list[Container]:
        containers = [c for c in self._pool.containers(text) if c.running]
        if not containers:
            raise SimulatorError(f"No container of {text} runs. Name a running replica.")
        return containers
