"""The emulated cloud: offers with prices, limited capacity, instances that take time to start."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dstack_simulator.errors import SimulatorError
from dstack_simulator.hosts import GpuSpec, HostPool, HostSpec, passed
from dstack_simulator.scenarios import scenario

logger = logging.getLogger(__name__)

#: Seconds that a request for an instance takes at most.
_ACCEPTING = 2.0

State = Literal["starting", "running", "gone"]


@dataclass
class Instance:
    """One instance that the server asked for."""

    id: str
    offer: scenario.Offer
    region: str
    spot: bool
    reservation: str | None
    state: State = "starting"
    starting: asyncio.Task[None] | None = None


class Cloud:
    """What exists in the emulated cloud."""

    def __init__(self, description: scenario.Cloud, pool: HostPool, gateway_ports: Path) -> None:
        """Starts with nothing running.

        Args:
            description: Offers and times.
            pool: Where instances become hosts.
            gateway_ports: The folder that tells the server's SSH program the ports of gateways.
        """
        self.instances: dict[str, Instance] = {}
        self.start_seconds = description.start_seconds
        self.without_capacity: set[str] = set()
        """Regions that have no capacity at present."""
        self._description = description
        self._pool = pool
        self._gateway_ports = gateway_ports
        self._gateways: dict[str, str] = {}

    @property
    def regions(self) -> list[str]:
        """Every region that has offers."""
        return sorted({region for offer in self._description.offers for region in offer.regions})

    def calls(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """What the backend in the server may call, by name."""
        return {
            "offers": self.offers,
            "create": self.create,
            "describe": self.describe,
            "terminate": self.terminate,
            "create_gateway": self.create_gateway,
        }

    async def offers(self, reservation: str | None) -> dict[str, Any]:
        """Every offer, the cheapest first.

        Args:
            reservation: If given, only what can be had from it.
        """
        found = []
        for offer in self._description.offers:
            for region, price in offer.regions.items():
                if reservation is not None:
                    held = any(
                        r.id == reservation and r.region == region for r in offer.reservations
                    )
                    prices = [(False, price.on_demand)] if held else []
                else:
                    prices = [(False, price.on_demand), (True, price.spot)]
                for spot, amount in prices:
                    if amount is not None:
                        found.append(_offer(offer, region, spot, amount))
        found.sort(key=lambda item: float(item["price"]))
        return {"offers": found}

    async def create(
        self,
        instance_type: str,
        region: str,
        zones: list[str] | None,
        spot: bool,
        reservation: str | None,
        authorized_keys: list[str],
    ) -> dict[str, Any]:
        """Starts an instance, if there is capacity."""
        offer = self._offer_of(instance_type, region)
        if region in self.without_capacity or self._left(offer, region, spot, reservation) < 1:
            kind = "spot " if spot else ""
            return {"no_capacity": f"No {kind}capacity for {instance_type} in {region}"}
        instance = Instance(
            id=f"i-{secrets.token_hex(8)}",
            offer=offer,
            region=region,
            spot=spot,
            reservation=reservation,
        )
        self.instances[instance.id] = instance
        instance.starting = asyncio.create_task(self._start(instance, authorized_keys))
        # A cloud answers when it has accepted the request; a quick one knows the address by then.
        await asyncio.wait({instance.starting}, timeout=_ACCEPTING)
        zone = zones[0] if zones else f"{region}a"
        return {**await self.describe(instance.id), "instance_id": instance.id, "zone": zone}

    async def describe(self, instance_id: str) -> dict[str, Any]:
        """The state of an instance, and its address once it runs."""
        instance = self.instances.get(instance_id)
        if instance is None:
            return {"state": "gone"}
        if instance.state != "running":
            return {"state": instance.state}
        host = self._pool.hosts[instance_id]
        return {"state": "running", "address": host.address, "ssh_port": host.ssh_port}

    async def terminate(self, instance_id: str) -> dict[str, Any]:
        """Ends an instance or a gateway; one that isn't there is no error."""
        address = self._gateways.pop(instance_id, None)
        if address is not None:
            (self._gateway_ports / address).unlink(missing_ok=True)
            await self._pool.remove(instance_id)
        instance = self.instances.get(instance_id)
        if instance is not None and instance.state != "gone":
            await self._end(instance)
        return {}

    async def interrupt(self, instance_id: str) -> None:
        """Takes a spot instance back, as a cloud does: it is gone at once.

        Raises:
            SimulatorError: There is no such spot instance.
        """
        instance = self.instances.get(instance_id)
        if instance is None or instance.state == "gone":
            raise SimulatorError(
                f"{instance_id} is not a running instance of the emulated cloud. Name one that is."
            )
        if not instance.spot:
            raise SimulatorError(
                f"Instance {instance_id} is not a spot instance. Name one that is."
            )
        await self._end(instance)

    async def create_gateway(self, authorized_keys: list[str]) -> dict[str, Any]:
        """Starts an emulated gateway."""
        instance_id = f"gw-{secrets.token_hex(8)}"
        gateway = await self._pool.add_gateway(
            HostSpec(name=instance_id, cpus=2, memory_gib=4, disk_gib=20, kind="gateway"),
            authorized_keys=authorized_keys,
        )
        self._gateways[instance_id] = gateway.address
        (self._gateway_ports / gateway.address).write_text(f"{gateway.ssh_port}\n")
        return {"instance_id": instance_id, "address": gateway.address}

    def _offer_of(self, instance_type: str, region: str) -> scenario.Offer:
        for offer in self._description.offers:
            if offer.instance_type == instance_type and region in offer.regions:
                return offer
        raise SimulatorError(f"The emulated cloud has no {instance_type} in {region}.")

    def _left(self, offer: scenario.Offer, region: str, spot: bool, reservation: str | None) -> int:
        used = sum(
            1
            for instance in self.instances.values()
            if instance.state != "gone"
            and instance.offer is offer
            and instance.region == region
            and instance.spot == spot
            and instance.reservation == reservation
        )
        if reservation is not None:
            held = [
                r.count for r in offer.reservations if (r.id, r.region) == (reservation, region)
            ]
            return sum(held) - used
        price = offer.regions[region]
        return (price.spot_capacity if spot else price.capacity) - used

    async def _start(self, instance: Instance, authorized_keys: list[str]) -> None:
        await passed(lambda: self.start_seconds)
        spec = machine_spec(instance.id, instance.offer, "cloud")
        await self._pool.add(spec, authorized_keys=authorized_keys)
        instance.state = "running"

    async def _end(self, instance: Instance) -> None:
        was, instance.state = instance.state, "gone"
        if instance.starting is not None:
            instance.starting.cancel()
            await asyncio.gather(instance.starting, return_exceptions=True)
        if was == "running" or instance.id in self._pool.hosts:
            await self._pool.remove(instance.id)


def machine_spec(name: str, machine: scenario.Machine, kind: Literal["ssh", "cloud"]) -> HostSpec:
    """What an emulated host is made of, from its description in a scenario."""
    gpu = None
    if machine.gpu is not None:
        gpu = GpuSpec(
            name=machine.gpu.name,
            memory_gib=machine.gpu.memory_gib,
            count=machine.gpu.count,
            vendor=machine.gpu.vendor,
        )
    return HostSpec(
        name=name,
        cpus=machine.cpus,
        memory_gib=machine.memory_gib,
        disk_gib=machine.disk_gib,
        gpu=gpu,
        kind=kind,
    )


def _offer(offer: scenario.Offer, region: str, spot: bool, price: float) -> dict[str, Any]:
    return {
        "instance_type": offer.instance_type,
        "cpus": offer.cpus,
        "memory_gib": offer.memory_gib,
        "disk_gib": offer.disk_gib,
        "gpu": offer.gpu.model_dump() if offer.gpu is not None else None,
        "region": region,
        "zones": [f"{region}{letter}" for letter in "abc"],
        "spot": spot,
        "price": price,
    }
