"""How busy an emulated workload is, and the metrics that follow from it."""

from __future__ import annotations

import math
import random
import time
import zlib
from collections import deque
from dataclasses import dataclass

from dstack_simulator.hosts.specs import GpuSpec

_GIB = 1024**3
_REQUEST_MEMORY = 10.0
_RATE_AT_FULL_LOAD = 12.0


@dataclass(frozen=True)
class Profile:
    """What a kind of workload takes, at rest and at full load."""

    cores_idle: float
    cores_busy: float
    memory_gib: float
    gpu_memory_share: float
    gpu_idle: float
    gpu_busy: float


ENGINE = Profile(0.4, 3.5, 24.0, 0.88, 0.0, 97.0)
WORKLOAD = Profile(1.0, 6.0, 40.0, 0.72, 35.0, 99.0)
ROUTER = Profile(0.02, 0.6, 0.2, 0.0, 0.0, 0.0)
IDLE = Profile(0.01, 0.05, 0.4, 0.0, 0.0, 0.0)


class Load:
    """The load of one container: a slow wave of its own, or a rate that was set, plus requests.

    Two containers differ, and one container behaves the same in every run: the wave is derived
    from its name.
    """

    def __init__(self, name: str) -> None:
        chance = random.Random(zlib.crc32(name.encode()))
        self._phase = chance.uniform(0, 2 * math.pi)
        self._period = chance.uniform(90, 240)
        self._base = chance.uniform(0.25, 0.6)
        self._swing = chance.uniform(0.08, 0.2)
        self._requests: deque[float] = deque(maxlen=4096)
        self.rate: float | None = None
        """Requests per second that were set; none for the wave."""

    def count_request(self) -> None:
        """Notes a real request."""
        self._requests.append(time.monotonic())

    def requests_per_second(self) -> float:
        """The rate now, real requests of the last seconds included."""
        now = time.monotonic()
        while self._requests and self._requests[0] < now - _REQUEST_MEMORY:
            self._requests.popleft()
        real = len(self._requests) / _REQUEST_MEMORY
        if self.rate is not None:
            return max(self.rate, real)
        return self._wave(now) * _RATE_AT_FULL_LOAD + real

    def level(self) -> float:
        """How busy the workload is, between 0 and 1."""
        return min(1.0, self.requests_per_second() / _RATE_AT_FULL_LOAD)

    def _wave(self, now: float) -> float:
        wave = math.sin(2 * math.pi * now / self._period + self._phase)
        ripple = math.sin(2 * math.pi * now / 7.3 + 3 * self._phase)
        return max(0.0, self._base + self._swing * wave + 0.03 * ripple)


@dataclass(frozen=True)
class Sample:
    """What the runner's metrics show at one moment."""

    cpu_usage_micro: int
    memory_bytes: int
    gpu_memory_bytes: int
    gpu_util_percent: int


class Meter:
    """Turns load into metrics; the CPU time adds up between two looks."""

    def __init__(self, load: Load, *, cores: float, memory_bytes: int, gpu: GpuSpec | None) -> None:
        self.profile = IDLE
        self._load = load
        self._cores = cores
        self._memory_bytes = memory_bytes
        self._gpu = gpu
        self._cpu_micro = 0.0
        self._seen = time.monotonic()

    def sample(self) -> Sample:
        """Looks once."""
        now = time.monotonic()
        level = self._load.level()
        profile = self.profile
        used = profile.cores_idle + (profile.cores_busy - profile.cores_idle) * level
        self._cpu_micro += (now - self._seen) * min(used, self._cores) * 1e6
        self._seen = now
        memory = min(profile.memory_gib * _GIB, 0.8 * self._memory_bytes) * (0.92 + 0.08 * level)
        gpu_memory = 0.0
        if self._gpu is not None:
            share = profile.gpu_memory_share * (0.97 + 0.03 * level)
            gpu_memory = self._gpu.memory_gib * _GIB * share
        util = profile.gpu_idle + (profile.gpu_busy - profile.gpu_idle) * level**0.7
        return Sample(int(self._cpu_micro), int(memory), int(gpu_memory), round(util))
