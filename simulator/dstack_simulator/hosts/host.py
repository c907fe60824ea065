"""One emulated host: sshd, files, shim and containers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import asyncssh

from dstack_simulator.hosts.channels import ProtocolFactory
from dstack_simulator.hosts.commands import CommandResult, host_commands
from dstack_simulator.hosts.container import RUNNER_PORT, SSH_PORT, Container, TaskRequest
from dstack_simulator.hosts.machine import Machine
from dstack_simulator.hosts.network import AddressBlock, Network
from dstack_simulator.hosts.requests import Ledger
from dstack_simulator.hosts.shim import SHIM_PORT, HealthLevel, Shim
from dstack_simulator.hosts.specs import HostSpec, Timings
from dstack_simulator.hosts.sshd import AuthorizedKeys, SshListener

_GIB = 1024**3
_FIRST_MAPPED_PORT = 32768

ConnectElsewhere = Callable[[str, int], Awaitable[ProtocolFactory]]


class Host(Machine):
    """A host that a dstack server can reach by SSH and run containers on."""

    architecture = "x86_64"

    def __init__(
        self,
        spec: HostSpec,
        *,
        addresses: AddressBlock,
        folder: Path,
        authorized_keys: Iterable[str],
        options: asyncssh.SSHServerConnectionOptions,
        timings: Timings,
        version: str,
        connect_elsewhere: ConnectElsewhere,
        ledger: Ledger,
    ) -> None:
        self.spec = spec
        self.folder = folder
        self.network = Network(addresses.host_address())
        self.commands = host_commands()
        self._addresses = addresses
        self._options = options
        self._timings = timings
        self._version = version
        self._connect_elsewhere = connect_elsewhere
        self._ledger = ledger
        self._keys = AuthorizedKeys(authorized_keys)
        self._listener = SshListener(self, self.network.address, options)
        self._images: set[str] = set()
        self._next_port = _FIRST_MAPPED_PORT
        self._shim_started = False
        self.shim = Shim(
            spec.gpu,
            version=version,
            make_container=self._make_container,
            forget_container=self._forget_container,
        )
        self._shim_server: ProtocolFactory | None = None

    @property
    def containers(self) -> Mapping[str, Container]:
        """The containers, by task id."""
        return self.shim.tasks

    async def open(self) -> None:
        """Puts the host on the network."""
        if self.spec.kind == "cloud":
            self.start_shim()
        await self._listener.open()

    async def close(self) -> None:
        """Takes the host off the network and ends its containers."""
        await self._listener.cut()
        containers = list(self.shim.tasks.values())
        self.shim.tasks.clear()
        for container in containers:
            await container.end("terminated_by_server", "")
            await self._forget_container(container)
        await self.network.close()

    async def set_reachable(self, reachable: bool) -> None:
        """Cuts the host off, connections that are open included, or connects it again."""
        for network in {self.network, *(task.network for task in self.shim.tasks.values())}:
            await network.set_reachable(reachable)
        if reachable:
            await self._listener.open()
        else:
            await self._listener.cut()

    def set_health(self, level: HealthLevel, message: str = "") -> None:
        """Sets what the host reports about its accelerators.

        Raises:
            ValueError: The host has no NVIDIA accelerators, which alone report health.
        """
        if self.spec.gpu is None or self.spec.gpu.vendor != "nvidia":
            raise ValueError(
                f"Host {self.name} has no NVIDIA GPU that could report its health. "
                "Name a host with one."
            )
        self.shim.health, self.shim.health_message = level, message

    # What commands act on.

    @property
    def files(self) -> Path:
        """The folder that stands for `/`."""
        return self.folder

    def authorize(self, public_key: str) -> None:
        """Lets a key log in."""
        self._keys.add(public_key)

    def start_shim(self) -> None:
        """Starts the shim; containers that run go on."""
        if self._shim_server is None:
            self._shim_server = self.shim.serve()
            self.network.open_in_process(SHIM_PORT, self._shim_server)
        self._shim_started = True

    def host_info(self) -> str | None:
        """What the shim writes about the host."""
        if not self._shim_started:
            return None
        spec, gpu = self.spec, self.spec.gpu
        return json.dumps(
            {
                "gpu_vendor": gpu.vendor if gpu else "none",
                "gpu_name": gpu.name if gpu else "",
                "gpu_memory": gpu.memory_gib * 1024 if gpu else 0,
                "gpu_count": gpu.count if gpu else 0,
                "addresses": [f"{self.address}/8"],
                "disk_size": spec.disk_gib * _GIB,
                "cpus": spec.cpus,
                "memory": spec.memory_gib * _GIB,
            }
        )

    def shim_health(self) -> str | None:
        """The shim's health check."""
        return self.shim.health_check() if self._shim_started else None

    # What its sshd asks.

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether a key may log in."""
        return key in self._keys

    async def connect(self, port: int) -> ProtocolFactory:
        """What serves a port: the shim, or the runner or sshd of a container."""
        for container in self.shim.tasks.values():
            if container.status != "running":
                continue
            if port == container.ports.get(SSH_PORT):
                return await container.ssh()
            if port == container.ports.get(RUNNER_PORT):
                return await container.connect(RUNNER_PORT)
        return await self.network.connect(port)

    async def connect_elsewhere(self, host: str, port: int) -> ProtocolFactory:
        """A host is a jump host for the others of its pool."""
        return await self._connect_elsewhere(host, port)

    def run(self, command: str) -> CommandResult:
        """Runs a command line."""
        return self.commands.run(self, command)

    def connection_opened(self) -> None:
        """Logins to hosts are not counted."""

    def connection_closed(self) -> None:
        """Logins to hosts are not counted."""

    def _make_container(self, request: TaskRequest) -> Container:
        for key in request.host_ssh_keys:
            self._keys.add(key)
        if request.network_mode == "host":
            network = self.network
            ports = {RUNNER_PORT: RUNNER_PORT, SSH_PORT: SSH_PORT}
        else:
            network = Network(self._addresses.container_address())
            ports = {RUNNER_PORT: self._next_port, SSH_PORT: self._next_port + 1}
            self._next_port += 2
        return Container(
            request,
            host=self.spec,
            network=network,
            ports=ports,
            timings=self._timings,
            images=self._images,
            options=self._options,
            folder=self.folder / "containers" / request.id,
            version=self._version,
            ledger=self._ledger,
        )

    async def _forget_container(self, container: Container) -> None:
        if container.network is not self.network:
            await container.network.close()
