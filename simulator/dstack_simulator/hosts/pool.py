"""All emulated hosts and gateways of one world, in one process and one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from types import MappingProxyType

from dstack_simulator.hosts.channels import ProtocolFactory, relay_to_address
from dstack_simulator.hosts.container import Container
from dstack_simulator.hosts.gateway import EmulatedGateway
from dstack_simulator.hosts.host import Host
from dstack_simulator.hosts.network import AddressBlock
from dstack_simulator.hosts.requests import Ledger, Tally
from dstack_simulator.hosts.specs import HostSpec, Timings
from dstack_simulator.hosts.sshd import make_host_key, server_options


class HostPool:
    """The hosts of a world.

    Args:
        folder: Where private files go: the host key and what servers upload.
        login_keys: Public keys that may log in to every host.
        timings: How long things take; may be changed at any time.
        version: The version of shim and runner that hosts report; that of the installed dstack
            by default, so that a server has nothing to update.
    """

    def __init__(
        self,
        *,
        folder: Path,
        login_keys: Sequence[str] = (),
        timings: Timings | None = None,
        version: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.timings = timings or Timings()
        self._folder = folder
        self._login_keys = tuple(login_keys)
        self._version = version or installed_version("dstack")
        self._addresses = AddressBlock()
        self._options = server_options(make_host_key(folder))
        self._hosts: dict[str, Host] = {}
        self._gateways: dict[str, EmulatedGateway] = {}
        self._ledger = Ledger()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts, by name."""
        return MappingProxyType(self._hosts)

    @property
    def gateways(self) -> Mapping[str, EmulatedGateway]:
        """The gateways, by name."""
        return MappingProxyType(self._gateways)

    async def add(self, spec: HostSpec, *, authorized_keys: Sequence[str] = ()) -> Host:
        """Starts a host on an address of its own.

        Args:
            spec: The host, of the kind `ssh` or `cloud`.
            authorized_keys: Public keys that may log in besides the pool's.

        Raises:
            ValueError: There is a host of this name.
        """
        self._check_name(spec.name)
        host = Host(
            spec,
            addresses=self._addresses,
            folder=self._folder / spec.name,
            authorized_keys=[*self._login_keys, *authorized_keys],
            options=self._options,
            timings=self.timings,
            version=self._version,
            connect_elsewhere=self._connect,
            ledger=self._ledger,
        )
        self._hosts[spec.name] = host
        await host.open()
        return host

    async def add_gateway(
        self, spec: HostSpec, *, authorized_keys: Sequence[str] = ()
    ) -> EmulatedGateway:
        """Starts a gateway on an address of its own.

        Raises:
            ValueError: There is a host or gateway of this name.
        """
        self._check_name(spec.name)
        gateway = EmulatedGateway(
            spec,
            address=self._addresses.host_address(),
            folder=self._folder / spec.name,
            authorized_keys=[*self._login_keys, *authorized_keys],
            options=self._options,
            set_rate=self._set_rate,
            is_up=self._is_up,
            connect=self._connect_to_job,
        )
        self._gateways[spec.name] = gateway
        await gateway.open()
        return gateway

    async def remove(self, name: str) -> None:
        """Ends a host or gateway and what runs on it.

        Raises:
            KeyError: There is no such host.
        """
        gateway = self._gateways.pop(name, None)
        if gateway is not None:
            await gateway.close()
        else:
            await self._hosts.pop(name).close()

    def containers(self, text: str | None = None) -> list[Container]:
        """The containers of all hosts; with a text, those whose job id, job name or run it is."""
        return [
            container
            for host in self._hosts.values()
            for container in host.containers.values()
            if text is None or text in (container.job_id, container.job_name, container.run_name)
        ]

    def requests(self, text: str | None = None) -> list[Tally]:
        """The requests of all engines, ended ones too; with a text, as for `containers`."""
        return self._ledger.tallies(text)

    async def close(self) -> None:
        """Ends all hosts."""
        machines: list[Host | EmulatedGateway] = [*self._hosts.values(), *self._gateways.values()]
        self._hosts.clear()
        self._gateways.clear()
        await asyncio.gather(*(machine.close() for machine in machines))
        self._addresses.release()

    async def _connect(self, address: str, port: int) -> ProtocolFactory:
        for host in self._hosts.values():
            if (host.address, host.ssh_port) == (address, port):
                return await relay_to_address(address, port)
        raise ConnectionRefusedError(f"there is no host {address}:{port}")

    async def _connect_to_job(self, job_id: str, port: int) -> ProtocolFactory:
        for container in self.containers(job_id):
            return await container.connect(port)
        raise ConnectionRefusedError(f"there is no container of job {job_id}")

    def _check_name(self, name: str) -> None:
        if name in self._hosts or name in self._gateways:
            raise ValueError(f"There is a host named {name} already. Choose another name.")

    def _set_rate(self, job_id: str, requests_per_second: float | None) -> None:
        for container in self.containers(job_id):
            container.set_rate(requests_per_second)

    def _is_up(self, job_id: str) -> bool:
        return any(
            container.running and host.reachable
            for host in self._hosts.values()
            for container in host.containers.values()
            if container.job_id == job_id
        )
