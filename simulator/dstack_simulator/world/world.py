"""Everything outside the server, and the server's process itself."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
import yaml

from dstack_simulator import scenario as scenarios
from dstack_simulator.errors import SimulatorError
from dstack_simulator.hosts import HostPool, Timings
from dstack_simulator.world.api import Api
from dstack_simulator.world.cloud import Cloud, machine_spec
from dstack_simulator.world.control import Control
from dstack_simulator.world.expectations import missing
from dstack_simulator.world.faults import WorldFaults
from dstack_simulator.world.options import Options
from dstack_simulator.world.servers import Servers

logger = logging.getLogger(__name__)

PROJECT = "main"
_LOOK_EVERY = 0.5


class World:
    """Hosts, cloud, the servers, and the scenario being applied."""

    def __init__(self, options: Options) -> None:
        self.scenario = options.scenario
        self.servers = Servers(options, PROJECT)
        self.faults = WorldFaults(self)
        self.pool: HostPool
        self.cloud: Cloud
        self._options = options
        self._control = Control(self, options.control_token)
        self._key = asyncssh.generate_private_key("ssh-ed25519", "dstack-simulator")
        self._api: Api
        self._ready: asyncio.Task[None]
        self._settled: asyncio.Task[None]

    @property
    def public_key(self) -> str:
        """The key that hosts authorise."""
        return self._key.export_public_key().decode().strip()

    async def open(self) -> dict[str, Any]:
        """Starts everything that does not wait for the server.

        Returns:
            What the handle needs to know.
        """
        options = self._options
        timing = self.scenario.timing
        self.pool = HostPool(
            folder=options.folder.hosts,
            login_keys=[self.public_key],
            timings=Timings(**timing.model_dump()),
        )
        self.cloud = Cloud(self.scenario.cloud, self.pool, options.folder.gateway_ports)
        await self._control.open()
        await self.servers.open(self._control.url)
        urls = self.servers.urls
        self._api = Api(urls[0], options.server_token, PROJECT)
        self._ready = asyncio.create_task(self.servers.start())
        self._settled = asyncio.create_task(self._apply_scenario())
        # Their errors are told to whoever waits for them; nobody may.
        for task in (self._ready, self._settled):
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return {"urls": urls, "project": PROJECT, "control_url": self._control.url}

    async def close(self) -> None:
        """Ends the server, the hosts and the control API."""
        for task in (self._settled, self._ready):
            task.cancel()
        await asyncio.gather(self._settled, self._ready, return_exceptions=True)
        await self.servers.close()
        await self._api.close()
        await self.pool.close()
        await self._control.close()

    def calls(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """What the handle may call, by name."""
        return {
            "ready": self.ready,
            "settled": self.settled,
            "hosts": self.hosts,
            "apply": self.apply,
            "gateway_services": self.gateway_services,
        }

    async def ready(self) -> dict[str, Any]:
        """Waits until every server has answered for the first time."""
        await asyncio.shield(self._ready)
        return {"server_ports": self.servers.ports}

    async def settled(self) -> None:
        """Waits until the scenario is applied and its expectations hold."""
        await asyncio.shield(self._settled)

    async def hosts(self) -> list[dict[str, Any]]:
        """Every emulated host."""
        return [
            {
                "name": host.name,
                "kind": host.spec.kind,
                "address": host.address,
                "ssh_port": host.ssh_port,
                "jobs": [c.job_name for c in host.containers.values()],
                "addresses": {c.job_name: c.network.address for c in host.containers.values()},
            }
            for host in self.pool.hosts.values()
        ]

    async def gateway_services(self) -> list[str]:
        """The services that emulated gateways know, as `project/run`."""
        return sorted(
            {name for gateway in self.pool.gateways.values() for name in gateway.services}
        )

    async def apply(self, configuration: str | dict[str, Any]) -> str:
        """Applies one configuration of dstack's; returns the name it got."""
        if isinstance(configuration, str):
            try:
                configuration = yaml.safe_load(configuration)
            except yaml.YAMLError as error:
                raise SimulatorError(f"The configuration is not YAML: {error}") from error
        if not isinstance(configuration, dict):
            raise SimulatorError("A configuration is a mapping with a type.")
        return await self._api.apply(self._with_hosts(configuration))

    async def address_of_instance(self, name: str) -> str | None:
        """The address of an instance, given the name that the server shows."""
        for fleet in await self._api.project("fleets/list", {}):
            for instance in fleet["instances"]:
                if instance["name"] == name and instance["status"] != "terminated":
                    address: str | None = instance["hostname"]
                    return address
        return None

    async def end_server(self, number: int, *, graceful: bool) -> None:
        """Ends a server, or kills it; its address stays."""
        await asyncio.shield(self._ready)
        await self.servers.end_one(number, graceful=graceful)

    async def _apply_scenario(self) -> None:
        adding = asyncio.gather(*(self._add_hosts(hosts) for hosts in self.scenario.hosts))
        try:
            await asyncio.shield(self._ready)
            await adding
        finally:
            adding.cancel()
        end = asyncio.get_running_loop().time() + self.scenario.limit
        for number, step in enumerate(self.scenario.steps, 1):
            await self._take(step, number, end)
        await self._wait_for(self.scenario.expect, end)

    async def _take(self, step: scenarios.Step, number: int, end: float) -> None:
        try:
            if step.apply is not None:
                await self.apply(step.apply)
            elif step.fault is not None:
                await self._set_fault(step.fault, step.arguments)
            elif step.until is not None:
                await self._wait_for(step.until, end)
        except SimulatorError as error:
            raise SimulatorError(f"Step {number} of the scenario: {error}") from error

    async def _set_fault(self, name: str, arguments: dict[str, Any]) -> None:
        call = self.faults.calls().get(name)
        if call is None:
            raise SimulatorError(f"There is no fault {name}.")
        await call(**arguments)

    async def _wait_for(self, expected: scenarios.Expectation, end: float) -> None:
        while problems := await self._missing(expected):
            if asyncio.get_running_loop().time() > end:
                raise SimulatorError(
                    f"The scenario is not there after {self.scenario.limit:g} s:"
                    f" {'; '.join(problems)}. The server's log is"
                    f" {self._options.folder.server_log}."
                )
            await asyncio.sleep(_LOOK_EVERY)

    async def _missing(self, expected: scenarios.Expectation) -> list[str]:
        waiting = [
            f"there is no container of {name}"
            for name in expected.containers
            if not self.pool.containers(name)
        ]
        return waiting or await missing(self._api, expected)

    async def _add_hosts(self, hosts: scenarios.Hosts) -> None:
        for name in hosts.names():
            host = await self.pool.add(
                machine_spec(name, hosts, "ssh"), authorized_keys=[self.public_key]
            )
            if hosts.health != "healthy":
                host.set_health(hosts.health, hosts.health_message)

    def _with_hosts(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Fills the addresses and keys of emulated hosts into a fleet's SSH configuration."""
        ssh = configuration.get("ssh_config")
        if configuration.get("type") != "fleet" or not isinstance(ssh, dict):
            return configuration
        configuration = copy.deepcopy(configuration)
        ssh = configuration["ssh_config"]
        ssh.setdefault("user", "ubuntu")
        ssh.setdefault("network", "127.0.0.0/8")
        ssh["ssh_key"] = {
            "public": self.public_key,
            "private": self._key.export_private_key().decode(),
        }
        filled = []
        for item in ssh.get("hosts", []):
            entry = dict(item) if isinstance(item, dict) else {"hostname": item}
            host = self.pool.hosts.get(entry.get("hostname", ""))
            if host is not None:
                entry.update(hostname=host.address, port=host.ssh_port)
            filled.append(entry)
        ssh["hosts"] = filled
        return configuration
