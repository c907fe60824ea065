"""What an emulated host is made of, and how long its parts take to start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

HostKind = Literal["ssh", "cloud", "gateway"]

#: Seconds until a step that waits sees that it has been made shorter.
_LOOK_EVERY = 0.2


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
    """Seconds that the steps of a container take; `creating` and `loading` hold for who waits too.

    A server looks at a container some 0.07 s after it asked for it, and then only every 10 to 15 s.
    A container that is there at the first look makes a replica run within a second; with the
    shortest pull or creation it takes a quarter of a minute.
    """

    pulling: float = 0.0
    """Image pull, once per image and host."""
    creating: float = 0.0
    """From the end of the pull until the runner answers."""
    loading: float = 0.5
    """From the start of the commands until an inference engine answers its health check."""
    stopping: float = 0.3
    """From the request to end a container until it is gone."""
    killing: float = 10.0
    """From the SIGINT to a job's commands until those that have not ended are killed."""
    answering: float = 0.0
    """Of an engine's answer, from its first moment to its last; 0 for as quick as it can."""


async def passed(seconds: Callable[[], float]) -> None:
    """Waits for the end of a step, which comes sooner or later when its seconds change."""
    began = time.monotonic()
    while (left := began + seconds() - time.monotonic()) > 0:  # noqa: ASYNC110 - its seconds are plain numbers
        await asyncio.sleep(min(left, _LOOK_EVERY))
