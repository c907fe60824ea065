"""What one project of the servers has around it: hosts, a cloud, and a scenario being applied."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncssh
import yaml

from dstack_simulator.errors import SimulatorError
from dstack_simulator.hosts import HostPool, Timings
from dstack_simulator.scenarios import scenario as scenarios
from dstack_simulator.world.api import Api
from dstack_simulator.world.cloud import Cloud, machine_spec
from dstack_simulator.world.expectations import missing
from dstack_simulator.world.faults import SiteFaults
from dstack_simulator.world.front import Front
from dstack_simulator.world.options import Options
from dstack_simulator.world.servers import Servers

_LOOK_EVERY = 0.5


class Site:
    """A project, with hosts, a cloud and addresses of the servers that no other project has.

    Attributes:
        project: Its name.
        scenario: What exists and what is applied.
        servers: The servers of the world.
        fronts: Where the project's clients find each server.
        faults: What can be made to go wrong here.
    """

    def __init__(
        self,
        project: str,
        scenario: scenarios.Scenario,
        *,
        options: Options,
        servers: Servers,
        fronts: Sequence[Front],
        key: asyncssh.SSHKey,
    ) -> None:
        self.project = project
        self.scenario = scenario
        self.servers = servers
        self.fronts = fronts
        self.pool = HostPool(
            folder=options.folder.hosts / project,
            login_keys=[_public(key)],
            timings=Timings(**scenario.timing.model_dump()),
        )
        self.cloud = Cloud(scenario.cloud, self.pool, options.folder.gateway_ports)
        self.faults = SiteFaults(
            scenario,
            servers=servers,
            fronts=fronts,
            pool=self.pool,
            cloud=self.cloud,
            address_of_instance=self.address_of_instance,
        )
        self._key = key
        self._key_file = options.folder.root / "login_key"
        self._log = options.folder.server_log
        self._api = Api(self.urls[0], options.server_token, project)
        self._settled: asyncio.Task[None] | None = None

    @property
    def urls(self) -> list[str]:
        """The address of each server."""
        return [f"http://127.0.0.1:{front.port}" for front in self.fronts]

    def begin(self, ready: Callable[[], Awaitable[Any]]) -> None:
        """Begins to apply the scenario.

        Args:
            ready: Waits until the servers answer and have the project.
        """
        self._settled = asyncio.create_task(self._apply_scenario(ready))
        # Its error is for whoever waits for it; nobody may.
        self._settled.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        """Ends the hosts, and what is being applied."""
        if self._settled is not None:
            self._settled.cancel()
            await asyncio.gather(self._settled, return_exceptions=True)
        await self._api.close()
        for front in self.fronts:
            await front.close()
        await self.pool.close()

    def calls(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """What the handle may call, by name."""
        return {
            "settled": self.settled,
            "hosts": self.hosts,
            "requests": self.requests,
            "apply": self.apply,
            "gateway_services": self.gateway_services,
            "gateway_addresses": self.gateway_addresses,
        }

    async def settled(self) -> None:
        """Waits until the scenario is applied and its expectations hold."""
        assert self._settled is not None
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

    async def requests(self, replica: str | None = None) -> list[dict[str, Any]]:
        """The requests that emulated engines got, those of ended ones too.

        Args:
            replica: A job's name or id, or a run's name; all if None.
        """
        return [dataclasses.asdict(tally) for tally in self.pool.requests(replica)]

    async def gateway_addresses(self) -> list[str]:
        """Where emulated gateways take requests to the domains of services."""
        return [gateway.web_address for gateway in self.pool.gateways.values()]

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
                raise SimulatorError(f"The configuration is not YAML: {error}. Fix it.") from error
        if not isinstance(configuration, dict):
            raise SimulatorError("A configuration must be a mapping with a `type`. Fix it.")
        return await self._api.apply(self._with_hosts(configuration))

    async def address_of_instance(self, name: str) -> str | None:
        """The address of an instance, given the name that the server shows."""
        for fleet in await self._api.project("fleets/list", {}):
            for instance in fleet["instances"]:
                if instance["name"] == name and instance["status"] != "terminated":
                    address: str | None = instance["hostname"]
                    return address
        return None

    async def _apply_scenario(self, ready: Callable[[], Awaitable[Any]]) -> None:
        adding = asyncio.gather(*(self._add_hosts(hosts) for hosts in self.scenario.hosts))
        try:
            await ready()
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
            known = ", ".join(sorted(self.faults.calls()))
            raise SimulatorError(f"There is no fault {name}. Use one of: {known}.")
        await call(**arguments)

    async def _wait_for(self, expected: scenarios.Expectation, end: float) -> None:
        while problems := await self._missing(expected):
            if asyncio.get_running_loop().time() > end:
                raise SimulatorError(
                    f"The scenario is not complete after {self.scenario.limit:g} s:"
                    f" {'; '.join(problems)}. The server's log is {self._log}."
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
                machine_spec(name, hosts, "ssh"), authorized_keys=[_public(self._key)]
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
        private = self._key.export_private_key().decode()
        ssh["ssh_key"] = {"public": _public(self._key), "private": private}
        # Whoever edits the fleet reads the key where the configuration names it.
        ssh["identity_file"] = str(self._key_file)
        if not self._key_file.exists():
            self._key_file.touch(mode=0o600)
            self._key_file.write_text(private)
            self._key_file.with_suffix(".pub").write_text(_public(self._key))
        filled = []
        for item in ssh.get("hosts", []):
            entry = dict(item) if isinstance(item, dict) else {"hostname": item}
            host = self.pool.hosts.get(entry.get("hostname", ""))
            if host is not None:
                entry.update(hostname=host.address, port=host.ssh_port)
            filled.append(entry)
        ssh["hosts"] = filled
        return configuration


def _public(key: asyncssh.SSHKey) -> str:
    """The key that hosts authorise."""
    text: str = key.export_public_key().decode().strip()
    return text
