"""An emulated container: its way from image pull to its end, its sshd and its runner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncssh

from dstack_simulator.hosts.channels import ProtocolFactory
from dstack_simulator.hosts.commands import CommandResult
from dstack_simulator.hosts.load import Load, Meter
from dstack_simulator.hosts.network import Network
from dstack_simulator.hosts.requests import Ledger
from dstack_simulator.hosts.runner import Runner
from dstack_simulator.hosts.runner_api import serve_runner
from dstack_simulator.hosts.specs import GpuSpec, HostSpec, Timings, passed
from dstack_simulator.hosts.sshd import AuthorizedKeys, serve_in_process

RUNNER_PORT = 10999
SSH_PORT = 10022
_GIB = 1024**3
_IMAGE_BYTES = 9 * _GIB

TaskStatus = Literal["pending", "preparing", "pulling", "creating", "running", "terminated"]


@dataclass(frozen=True)
class TaskRequest:
    """What the server asks of the shim."""

    id: str
    name: str
    image: str
    gpu: int
    """Number of accelerators; -1 for all."""
    cpu: float
    memory: int
    network_mode: str
    ssh_keys: tuple[str, ...]
    host_ssh_keys: tuple[str, ...]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> TaskRequest:
        """Reads the body of a task submission.

        Raises:
            KeyError: A field is missing.
        """
        return cls(
            id=body["id"],
            name=body["name"],
            image=body["image_name"],
            gpu=body["gpu"],
            cpu=body["cpu"],
            memory=body["memory"],
            network_mode=body["network_mode"],
            ssh_keys=tuple(body["container_ssh_keys"]),
            host_ssh_keys=tuple(body["host_ssh_keys"]),
        )


class Container:
    """One task of a shim. Also the machine that its sshd lets people in to."""

    def __init__(
        self,
        request: TaskRequest,
        *,
        host: HostSpec,
        network: Network,
        ports: Mapping[int, int],
        timings: Timings,
        images: set[str],
        options: asyncssh.SSHServerConnectionOptions,
        folder: Path,
        version: str,
        ledger: Ledger,
    ) -> None:
        self.request = request
        self.network = network
        self.ports = dict(ports)
        """Container port to host port, of the runner and the sshd."""
        self.status: TaskStatus = "pending"
        self.termination_reason = ""
        self.termination_message = ""
        self.load = Load(request.name)
        gpu = _share_of_gpus(host.gpu, request.gpu)
        self.gpus = gpu.count if gpu is not None else 0
        self.runner = Runner(
            network=network,
            load=self.load,
            meter=Meter(
                self.load,
                cores=request.cpu or host.cpus,
                memory_bytes=request.memory or host.memory_gib * _GIB,
                gpu=gpu,
            ),
            gpus=self.gpus,
            timings=timings,
            folder=folder,
            version=version,
            open_tally=lambda run_name: ledger.open(request.id, request.name, run_name),
        )
        self._timings = timings
        self._images = images
        self._options = options
        self._keys = AuthorizedKeys(request.ssh_keys)
        self._pull_began: float | None = None
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._start_task: asyncio.Task[None] | None = None

    @property
    def job_id(self) -> str:
        """The id of the job submission that this container serves."""
        return self.request.id

    @property
    def job_name(self) -> str:
        """The job's name, such as `my-service-1-0`."""
        return self.request.name

    @property
    def run_name(self) -> str:
        """The run's name; empty before the runner has its job."""
        return self.runner.run_name

    @property
    def running(self) -> bool:
        """Whether the job's commands are going."""
        return self.runner.state == "running"

    def fail_health(self, failing: bool = True) -> None:
        """Lets the inference worker answer 503, or answer well again.

        Raises:
            LookupError: There is no inference worker here.
        """
        if self.runner.worker is None:
            raise LookupError(
                f"{self.job_name} has no inference worker. Name a running replica of a service."
            )
        self.runner.worker.failing = failing

    async def crash(self, exit_status: int = 1) -> None:
        """Lets the job's process die."""
        await self.runner.crash(exit_status)

    async def restart_router(self) -> None:
        """Kills the SMG process of a router replica, which starts again with no workers.

        Raises:
            LookupError: There is no router here.
        """
        if self.runner.router is None:
            raise LookupError(f"{self.job_name} is not a router. Name the replica that runs smg.")
        await self.runner.restart_router()

    def freeze_router(self, frozen: bool = True) -> None:
        """Lets the SMG process of a router replica answer nothing, or go on.

        Raises:
            LookupError: There is no router here.
        """
        if self.runner.router is None:
            raise LookupError(f"{self.job_name} is not a router. Name the replica that runs smg.")
        self.runner.router.freeze(frozen)

    async def wall_off(self, walled: bool = True) -> None:
        """Keeps others, such as the router, from dialling the service's port here."""
        await self.network.wall_off(self.runner.port, walled)

    def set_rate(self, requests_per_second: float | None) -> None:
        """Sets the load; `None` gives it back to its own slow wave."""
        self.load.rate = requests_per_second

    # What the shim does with it.

    def start(self) -> None:
        """Begins the way to `running`."""
        self._start_task = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        self.status = "preparing"
        if self.request.image not in self._images:
            self.status = "pulling"
            self._pull_began = time.monotonic()
            await asyncio.sleep(self._timings.pulling)
            self._images.add(self.request.image)
        self.status = "creating"
        await passed(lambda: self._timings.creating)
        try:
            self.network.open_in_process(RUNNER_PORT, serve_runner(self.runner))
        except OSError as error:
            # Another container in host mode that has not gone yet: Docker would fail as well.
            self.status = "terminated"
            self.termination_reason = "creating_container_error"
            self.termination_message = str(error)
            return
        self.status = "running"

    def pull_progress(self) -> dict[str, Any] | None:
        """How far the image pull is."""
        if self._pull_began is None:
            return None
        share = 1.0
        if self.status == "pulling":
            elapsed = time.monotonic() - self._pull_began
            share = min(1.0, elapsed / max(self._timings.pulling, 0.001))
        return {
            "downloaded_bytes": int(_IMAGE_BYTES * share),
            "extracted_bytes": int(_IMAGE_BYTES * share * share),
            "total_bytes": _IMAGE_BYTES,
            "is_total_bytes_final": True,
        }

    async def terminate(self, reason: str, message: str) -> None:
        """Ends everything in the container, which takes as long as the timings say."""
        if self.status != "terminated":
            await asyncio.sleep(self._timings.stopping)
            await self.end(reason, message)

    async def end(self, reason: str, message: str) -> None:
        """Ends everything in the container at once."""
        if self.status == "terminated":
            return
        self.status = "terminated"
        self.termination_reason, self.termination_message = reason, message
        if self._start_task is not None:
            self._start_task.cancel()
        await self.runner.kill()
        await self.network.close_port(RUNNER_PORT)
        for task in list(self._tasks):
            task.cancel()

    # What its sshd asks.

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether a key may log in."""
        return key in self._keys

    async def connect(self, port: int) -> ProtocolFactory:
        """What serves a port inside the container."""
        return await self.network.connect(port)

    async def connect_elsewhere(self, host: str, port: int) -> ProtocolFactory:
        """A container is not a jump host."""
        raise ConnectionRefusedError(f"{host}:{port} cannot be reached from a container")

    async def ssh(self) -> ProtocolFactory:
        """A connection to the container's sshd."""
        if self.status != "running":
            raise ConnectionRefusedError("the container does not run")
        return await serve_in_process(self, self._options, self._keep)

    def run(self, command: str) -> CommandResult:
        """Containers are emulated as far as dstack's server looks: they have no programs."""
        word = command.split(maxsplit=1)[0] if command.strip() else ""
        return CommandResult(stderr=f"sh: {word}: command not found\n", exit_status=127)

    @property
    def files(self) -> Path | None:
        """Containers have no files."""
        return None

    def connection_opened(self) -> None:
        """Someone is in."""
        self._connections += 1
        self.runner.no_connections_since = None

    def connection_closed(self) -> None:
        """Someone left."""
        self._connections -= 1
        if self._connections == 0:
            self.runner.no_connections_since = time.monotonic()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _share_of_gpus(gpu: GpuSpec | None, count: int) -> GpuSpec | None:
    if gpu is None or count == 0:
        return None
    if count < 0 or count >= gpu.count:
        return gpu
    return GpuSpec(gpu.name, gpu.memory_gib, count, gpu.vendor)
