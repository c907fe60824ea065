"""What a replica group asks of an instance, and how many of its replicas an instance takes.

The rules are dstack's own (0.22.5): `filter_instances` and `get_shared_instances_with_offers` in
`server/services/instances.py`, `generate_shared_offer` in `server/services/offers.py`,
`requirements_to_query_filter` in `core/backends/base/offers.py`, and `matches` of gpuhunt. A
shared instance gives a replica the smallest number of blocks whose share of CPUs, memory and GPUs
fits; the disk and the price are always the whole instance's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.analysis.spot_policies import PolicyInForce, SpotPolicy, policies_of
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.short_forms import read_price
from dstack_placement.engine import mapping

_GIB = 1024
_UNITS = {"": 1.0, "MB": 1 / _GIB, "GB": 1.0, "TB": float(_GIB)}
_AMOUNT = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>MB|GB|TB|)", re.IGNORECASE)
_VENDORS = {
    "nvidia": "nvidia", "amd": "amd", "google": "google", "tpu": "google", "intel": "intel",
    "tenstorrent": "tenstorrent",
}  # fmt: skip


class UnreadableError(ValueError):
    """A part of `resources` is in a form that is not known here."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of amounts; None is no limit."""

    least: float | None = None
    greatest: float | None = None

    def __contains__(self, amount: float) -> bool:
        return (self.least is None or amount >= self.least) and (
            self.greatest is None or amount <= self.greatest
        )

    def apart(self, other: Span) -> bool:
        """Whether no amount is in both."""
        least = max(span.least or 0 for span in (self, other))
        tops = [span.greatest for span in (self, other) if span.greatest is not None]
        return bool(tops) and least > min(tops)


ANY_AMOUNT = Span()


@dataclass(frozen=True, slots=True)
class GpuNeeds:
    """The GPUs that a replica asks for; memory in GiB."""

    count: Span = Span(1)
    names: tuple[str, ...] = ()
    vendor: str | None = None
    memory: Span = ANY_AMOUNT
    total_memory: Span = ANY_AMOUNT
    capability: Any = None

    def match(self, gpus: Gpus | None, count: int) -> bool | None:
        """Whether some GPUs of an instance fit; None where that is not known."""
        if count == 0 and self.count.least == 0:
            return True
        memory = gpus.memory_mib / _GIB if gpus is not None and count else 0.0
        if (
            count not in self.count
            or memory not in self.memory
            or memory * count not in self.total_memory
        ):
            return False
        name = gpus.name.lower() if gpus is not None else ""
        if self.names and name not in self.names:
            return False
        if self.vendor is not None and not self.names:
            vendor = gpus.vendor if gpus is not None else ""
            if vendor is None:
                return None
            if vendor != self.vendor:
                return False
        # Which GPU can what stands in gpuhunt's tables, which are not here.
        return None if self.capability is not None else True


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a replica of a group asks of an instance.

    Attributes:
        cpus: CPUs.
        memory: GiB.
        disk: GiB.
        gpu: GPUs; None asks for none and takes any.
        arch: The CPU's architecture; None takes any.
        spot: The spot policy in force.
        max_price: Dollars per hour of the whole instance; None is no limit.
        backends: None takes any, as of the lists below.
        regions: Written small.
        zones: Written small.
        types: Instance types, written small.
        reuse: Whether only instances that exist are taken.
        readable: Whether all of it was understood; else nothing is said of what fits.
    """

    cpus: Span = ANY_AMOUNT
    memory: Span = ANY_AMOUNT
    disk: Span = ANY_AMOUNT
    gpu: GpuNeeds | None = None
    arch: str | None = None
    spot: SpotPolicy = SpotPolicy.ON_DEMAND
    max_price: float | None = None
    backends: frozenset[str] | None = None
    regions: frozenset[str] | None = None
    zones: frozenset[str] | None = None
    types: frozenset[str] | None = None
    reuse: bool = False
    readable: bool = True

    def blocks_in(self, instance: Instance) -> int | None:
        """How many blocks of an instance a replica takes, idle or not.

        Returns:
            0 where the instance can't hold one; None where that is not known.
        """
        if not self._is_taken(instance):
            return 0
        if not self.readable:
            return None
        total = instance.total_blocks
        for blocks in range(1, total + 1):
            fits = self._match(instance, blocks, total)
            if fits is not False:
                return blocks if fits else None
        return 0

    def idle_places(self, instance: Instance) -> int | None:
        """How many replicas an instance can start now; None where that is not known."""
        idle = idle_blocks(instance)
        if not idle:
            return 0
        blocks = self.blocks_in(instance)
        return blocks if not blocks else idle // blocks

    def _is_taken(self, instance: Instance) -> bool:
        """Whether the policies of the service allow the instance."""
        if self.spot is not SpotPolicy.AUTO and instance.spot != (self.spot is SpotPolicy.SPOT):
            return False
        if self.max_price is not None and (instance.price or 0.0) > self.max_price:
            return False
        of_instance = (
            (self.backends, instance.backend),
            (self.regions, instance.region),
            (self.types, instance.instance_type),
            (self.zones, instance.availability_zone),
        )
        return all(
            allowed is None or value is None or value.lower() in allowed
            for allowed, value in of_instance
        )

    def _match(self, instance: Instance, blocks: int, total: int) -> bool | None:
        count = instance.gpus.count if instance.gpus is not None else 0
        disk = instance.disk_mib / _GIB
        if (
            instance.cpus // total * blocks not in self.cpus
            or (instance.memory_mib // total * blocks) / _GIB not in self.memory
            or (disk and disk not in self.disk)
            or (self.arch is not None and (instance.cpu_arch or "x86") != self.arch)
        ):
            return False
        return True if self.gpu is None else self.gpu.match(instance.gpus, count // total * blocks)


def idle_blocks(instance: Instance) -> int:
    """How many blocks of an instance a replica can have now."""
    if instance.unreachable or instance.health == "failure":
        return 0
    shared = instance.total_blocks > 1
    if instance.status != "idle" and not (instance.status == "busy" and shared):
        return 0
    return max(instance.total_blocks - instance.busy_blocks, 0)


def requirements_of(
    spec: Mapping[str, Any],
    policies: Mapping[str, tuple[PolicyInForce, Mapping[str, Any]]] | None = None,
) -> dict[str, Requirements]:
    """What each replica group of a service's spec asks for, by the group's name.

    Args:
        spec: The whole spec.
        policies: Its spot policies, by `policies_of`, where they were read already.
    """
    configuration, profile = mapping(spec.get("configuration")), mapping(spec.get("profile"))

    def setting(name: str) -> Any:
        value = configuration.get(name)
        return profile.get(name) if value is None else value

    found = {}
    for name, (policy, entry) in (policies or policies_of(spec)).items():
        resources = entry.get("resources")
        if resources is None:
            resources = configuration.get("resources")
        demands: dict[str, Any] = {
            "spot": policy.value,
            "max_price": read_price(setting("max_price")),
            "backends": _names(setting("backends")),
            "regions": _names(setting("regions")),
            "zones": _names(setting("availability_zones")),
            "types": _names(setting("instance_types")),
            "reuse": setting("creation_policy") == "reuse" or bool(setting("instances")),
        }
        try:
            found[name] = Requirements(**_resources(resources), **demands)
        except UnreadableError:
            found[name] = Requirements(**demands, readable=False)
    return found


def _resources(resources: Any) -> dict[str, Any]:
    if resources is None:
        return {}
    if not isinstance(resources, Mapping):
        raise UnreadableError
    cpu, disk, gpu = (resources.get(name) for name in ("cpu", "disk", "gpu"))
    arch = None
    if isinstance(cpu, Mapping) and cpu.keys() & {"arch", "count"}:
        arch, cpu = cpu.get("arch"), cpu.get("count")
    elif isinstance(cpu, str) and ":" in cpu:
        arch, _, cpu = cpu.partition(":")
    if isinstance(disk, Mapping) and "size" in disk:
        disk = disk["size"]
    return {
        "cpus": span(cpu),
        "memory": span(resources.get("memory")),
        "disk": span(disk),
        "gpu": None if gpu is None else _gpu(gpu),
        "arch": arch.lower() if isinstance(arch, str) else None,
    }


def span(value: Any) -> Span:
    """A range as the server sends it, or as people write it: `4`, `2..`, `8GB..16GB`.

    Raises:
        UnreadableError: It is neither.
    """
    if value is None:
        return ANY_AMOUNT
    if isinstance(value, Mapping) and value.keys() <= {"min", "max"}:
        return Span(_amount(value.get("min")), _amount(value.get("max")))
    if isinstance(value, str) and ".." in value:
        least, _, greatest = value.partition("..")
        return Span(_amount(least.strip() or None), _amount(greatest.strip() or None))
    return Span(_amount(value), _amount(value))


def _amount(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UnreadableError
    return float(match["number"]) * _UNITS[match["unit"].upper()]


def _gpu(gpu: Any) -> GpuNeeds:
    if isinstance(gpu, int):
        return GpuNeeds(count=span(gpu))
    if isinstance(gpu, str):
        return _written_gpu(gpu)
    if not isinstance(gpu, Mapping):
        raise UnreadableError
    vendor = gpu.get("vendor")
    return GpuNeeds(
        count=span(gpu.get("count")) if gpu.get("count") is not None else Span(1),
        names=_gpu_names(gpu.get("name")),
        vendor=_VENDORS.get(str(vendor).lower(), str(vendor).lower()) if vendor else None,
        memory=span(gpu.get("memory")),
        total_memory=span(gpu.get("total_memory")),
        capability=gpu.get("compute_capability"),
    )


def _written_gpu(text: str) -> GpuNeeds:
    """GPUs as people write them: `H100:80GB:4`, `nvidia:24GB..`."""
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(":"))):
        if part.lower() in _VENDORS:
            values["vendor"] = _VENDORS[part.lower()]
        elif part[:1].isdigit() or part.startswith(".."):
            sized = part.upper().rstrip(".").endswith(("MB", "GB", "TB"))
            values["memory" if sized else "count"] = span(part)
        else:
            values["names"] = _gpu_names(part.split(","))
    return GpuNeeds(**values)


def _gpu_names(names: Any) -> tuple[str, ...]:
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list):
        return ()
    return tuple(str(name).strip().lower() for name in listed)


def _names(names: Any) -> frozenset[str] | None:
    if not isinstance(names, list):
        return None
    return frozenset(str(name).lower() for name in names)
