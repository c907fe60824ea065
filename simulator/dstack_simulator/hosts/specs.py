"""What an emulated host is made of, and how long its parts take to start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HostKind = Literal["ssh", "cloud", "gateway"]


@dataclass(frozen=True)
class GpuSpec:
    """The accelerators of one host, all of one kind."""

    name: str
    """Name as dstack's catalogue spells it, such as `H100`."""
    memory_gib: int
    """Memory of one accelerator."""
    count: int
    vendor: str = "nvidia"


@dataclass(frozen=True)
class HostSpec:
    """One emulated host."""

    name: str
    """Unique in its pool. Never shown by the server, only used to find the host again."""
    cpus: int
    memory_gib: int
    disk_gib: int
    gpu: GpuSpec | None = None
    kind: HostKind = "ssh"
    """`ssh`: the server takes the host in over SSH. `cloud`: the shim is there from the start.
    `gateway`: see `EmulatedGateway`."""


@dataclass
class Timings:
    """Seconds that the steps of a container take; read whenever a step begins."""

    pulling: float = 0.8
    """Image pull, once per image and host."""
    creating: float = 0.2
    loading: float = 1.5
    """From the start of the commands until an inference engine answers its health check."""
    stopping: float = 0.3
    """From the stop request until the container is gone."""
