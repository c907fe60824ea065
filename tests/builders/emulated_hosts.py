"""What the tests of emulated hosts share: a pool, keys, and tunnels of the real OpenSSH client."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncssh

from dstack_simulator.hosts import Container, GpuSpec, Host, HostPool, HostSpec, Timings
from dstack_simulator.hosts.container import TaskRequest
from tests.waiting import until

QUICK = Timings(pulling=0.05, creating=0.02, loading=0.05, stopping=0.0)
H100 = GpuSpec("H100", 80, 8)
#: Of a socket's flags in /proc/net/unix: somebody listens (`__SO_ACCEPTCON` of the kernel).
_LISTENS = 0x10000


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclass
class Site:
    """A pool and the key that opens its hosts."""

    pool: HostPool
    key: asyncssh.SSHKey
    folder: Path

    @property
    def public(self) -> str:
        return self.key.export_public_key().decode().strip()

    @property
    def private(self) -> str:
        return self.key.export_private_key().decode()

    async def host(self, name: str = "host", **kwargs: Any) -> Host:
        values: dict[str, Any] = {
            "cpus": 96, "memory_gib": 1024, "disk_gib": 2000, "gpu": H100, "kind": "cloud",
        }  # fmt: skip
        return await self.pool.add(HostSpec(name=name, **{**values, **kwargs}))

    @asynccontextmanager
    async def tunnel(
        self, host: Host, ports: Sequence[int], *, jump: int | None = None
    ) -> AsyncIterator[dict[int, Path]]:
        """Forwards ports with the real OpenSSH client, as dstack's server does."""
        identity = self.folder / "identity"
        if not identity.exists():
            identity.write_text(self.private)
            identity.chmod(0o600)
        sockets = {port: self.folder / f"{uuid4().hex[:8]}.sock" for port in ports}
        common = ["-F", "none", "-i", str(identity), "-o", "StrictHostKeyChecking=no"]
        common += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        common += ["-o", "BatchMode=yes"]
        command = ["ssh", *common, "-N", "-o", "ExitOnForwardFailure=yes"]
        for port, path in sockets.items():
            command += ["-L", f"{path}:localhost:{port}"]
        if jump is None:
            command += ["-p", str(host.ssh_port), f"root@{host.address}"]
        else:
            proxy = " ".join(
                ["ssh", *common, "-W", "%h:%p", "-p", str(host.ssh_port), f"root@{host.address}"]
            )
            command += ["-o", f"ProxyCommand={proxy}", "-p", str(jump), "root@localhost"]
        process = await asyncio.create_subprocess_exec(*command)
        try:
            await until(
                lambda: process.returncode is not None or _listened().issuperset(sockets.values()),
                what="the tunnel",
            )
            assert process.returncode is None, "ssh could not open the tunnel"
            yield sockets
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def _listened() -> set[Path]:
    """Unix sockets that take connections; one is there a moment before it does."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {Path(line[7]) for line in lines if len(line) > 7 and int(line[3], 16) & _LISTENS}


@asynccontextmanager
async def open_site(timings: Timings = QUICK) -> AsyncIterator[Site]:
    """A pool without hosts; its timings are a copy, which a test may change."""
    with short_folder() as folder:
        key = asyncssh.generate_private_key("ssh-ed25519")
        public = key.export_public_key().decode()
        pool = HostPool(
            folder=folder / "pool", login_keys=[public], timings=replace(timings), version="0.22.5"
        )
        try:
            yield Site(pool, key, folder)
        finally:
            await pool.close()


def task_json(name: str, *, keys: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    """A task as dstack's server submits it to a shim."""
    return {
        "id": str(uuid4()),
        "name": name,
        "registry_username": "",
        "registry_password": "",
        "image_name": "dstackai/base:py3.12",
        "container_user": "root",
        "privileged": False,
        "gpu": -1,
        "cpu": 0,
        "memory": 0,
        "shm_size": 0,
        "network_mode": "host",
        "volumes": [],
        "volume_mounts": [],
        "instance_mounts": [],
        "gpu_devices": [],
        "host_ssh_user": "",
        "host_ssh_keys": [],
        "container_ssh_keys": list(keys),
        **changes,
    }


def job_json(configuration: dict[str, Any], commands: Sequence[str], **spec: Any) -> dict[str, Any]:
    """A job as dstack's server submits it to a runner."""
    run_spec = {"run_name": "my-run", "configuration": configuration}
    job_spec = {"commands": ["/bin/bash", "-i", "-c", " && ".join(commands)], "env": {}, **spec}
    return {"run": {"id": "1", "run_spec": run_spec}, "run_spec": run_spec, "job_spec": job_spec}


async def start_container(host: Host, name: str = "my-run-0-0", **changes: Any) -> Container:
    """Submits a task to a host's shim and waits until its container runs."""
    request = TaskRequest.from_json(task_json(name, **changes))
    assert host.shim.submit(request)
    container = host.containers[request.id]
    await until(lambda: container.status == "running", what=f"container {name}")
    return container


async def start_job(
    host: Host,
    configuration: dict[str, Any],
    commands: Sequence[str],
    *,
    name: str = "my-run-0-0",
    spec: dict[str, Any] | None = None,
    **changes: Any,
) -> Container:
    """Starts a container and its job."""
    container = await start_container(host, name, **changes)
    container.runner.submit(job_json(configuration, commands, **(spec or {})))
    container.runner.start()
    return container
