"""What `large` consists of: 10 fleets, 1,000 instances, 100 services, 3,000 running replicas.

Pure descriptions, the same at every start; `writer` turns them into rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

INSTANCES_PER_FLEET = 100
SERVICES = 100
REPLICAS = 3000
#: Instances of each fleet that no replica runs on.
SPARE_PER_FLEET = 11


@dataclass(frozen=True)
class Gpu:
    """Accelerators of one instance."""

    name: str
    memory_gib: int
    count: int
    vendor: str = "nvidia"


@dataclass(frozen=True)
class FleetPlan:
    """One fleet."""

    name: str
    gpu: Gpu | None
    cpus: int
    memory_gib: int
    instance_type: str
    regions: tuple[str, ...] = ("us-east-1",)
    price: float = 0.0
    spot: bool = False
    ssh: bool = False
    blocks: int = 1
    configuration: dict[str, Any] = field(default_factory=dict)

    def dstack_configuration(self) -> dict[str, Any]:
        """The fleet as a configuration of dstack's."""
        result: dict[str, Any] = {"type": "fleet", "name": self.name, **self.configuration}
        if self.blocks > 1:
            result["blocks"] = self.blocks
        if self.ssh:
            return result
        result["nodes"] = {
            "min": INSTANCES_PER_FLEET - 20,
            "target": INSTANCES_PER_FLEET,
            "max": INSTANCES_PER_FLEET + 50,
        }
        result["backends"] = ["aws"]
        result["regions"] = list(self.regions)
        result["spot_policy"] = "spot" if self.spot else "on-demand"
        if self.gpu is not None:
            result["resources"] = {"gpu": f"{self.gpu.name}:{self.gpu.count}"}
        return result


_H100 = Gpu("H100", 80, 8)
_A100 = Gpu("A100", 80, 8)

FLEETS = (
    FleetPlan(
        "gpu-reserved",
        _H100,
        192,
        2048,
        "p5.48xlarge",
        price=98.32,
        configuration={
            "reservation": "cr-0f3a91c2d4",
            "placement": "cluster",
            "idle_duration": "off",
            "tags": {"team": "serving", "cost-center": "4711"},
        },
    ),
    FleetPlan(
        "gpu-spot",
        _H100,
        192,
        2048,
        "p5.48xlarge",
        regions=("us-east-1", "us-west-2"),
        price=31.05,
        spot=True,
        configuration={"idle_duration": "10m", "max_price": 40},
    ),
    FleetPlan(
        "a100-prod",
        _A100,
        96,
        1152,
        "p4de.24xlarge",
        regions=("us-east-1", "eu-west-1"),
        price=40.97,
        configuration={"idle_duration": "2h", "tags": {"team": "research"}},
    ),
    FleetPlan(
        "edge-l4",
        Gpu("L4", 24, 8),
        192,
        768,
        "g6.48xlarge",
        regions=("eu-west-1", "eu-central-1"),
        price=13.35,
        blocks=8,
    ),
    FleetPlan(
        "l40s-pool",
        Gpu("L40S", 48, 4),
        48,
        384,
        "g6e.12xlarge",
        regions=("us-west-2",),
        price=10.49,
        blocks=4,
        configuration={"idle_duration": "30m"},
    ),
    FleetPlan("lab-h200", Gpu("H200", 141, 8), 224, 2048, "ssh", ssh=True),
    FleetPlan("lab-a100", _A100, 128, 1024, "ssh", ssh=True, blocks=8),
    FleetPlan(
        "a10g-eu",
        Gpu("A10G", 24, 1),
        8,
        32,
        "g5.2xlarge",
        regions=("eu-west-1",),
        price=0.49,
        spot=True,
        configuration={"idle_duration": "5m"},
    ),
    FleetPlan("mi300x-lab", Gpu("MI300X", 192, 8, "amd"), 160, 1536, "ssh", ssh=True),
    FleetPlan(
        "cpu-routers",
        None,
        32,
        64,
        "c7i.8xlarge",
        regions=("us-east-1", "us-west-2", "eu-west-1"),
        price=1.428,
        blocks=8,
        configuration={"idle_duration": "1h"},
    ),
)


@dataclass(frozen=True)
class InstancePlan:
    """One instance of a fleet."""

    num: int
    status: str
    region: str
    address: str
    unreachable: bool
    health: str


def instances(number: int, fleet: FleetPlan) -> Iterator[InstancePlan]:
    """The instances of a fleet.

    The last `SPARE_PER_FLEET` of them run nothing, and are idle, starting or ending.

    Args:
        number: The fleet's index.
        fleet: The fleet.
    """
    chance = random.Random(f"instances {fleet.name}")
    for num in range(INSTANCES_PER_FLEET):
        spare = num - (INSTANCES_PER_FLEET - SPARE_PER_FLEET)
        if spare < 0:
            status = "busy"
        elif fleet.ssh or spare < 7:
            status = "idle"
        elif spare < 9:
            status = "provisioning"
        elif spare < 10:
            status = "pending"
        else:
            status = "terminating"
        started = status in ("busy", "idle")
        health = "healthy"
        if started and chance.random() < 0.01:
            health = chance.choice(("warning", "failure"))
        yield InstancePlan(
            num=num,
            status=status,
            region="remote" if fleet.ssh else fleet.regions[num % len(fleet.regions)],
            address=f"10.{number}.{num // 250}.{num % 250 + 4}",
            unreachable=started and chance.random() < 0.01,
            health=health,
        )


@dataclass(frozen=True)
class GroupPlan:
    """One replica group of a service."""

    name: str
    count: int
    router: bool = False


@dataclass(frozen=True)
class ServicePlan:
    """One service."""

    name: str
    groups: tuple[GroupPlan, ...]
    fleets: tuple[str, ...]
    """The fleet that its replicas begin with, then where they go when that one is full."""
    priority: int
    deployment: int
    behind: float
    """The share of replicas still at the deployment before."""

    def dstack_configuration(self) -> dict[str, Any]:
        """The service as a configuration of dstack's."""
        model = self.name.rsplit("-", 1)[0]
        result: dict[str, Any] = {
            "type": "service",
            "name": self.name,
            "image": "lmsysorg/sglang:v0.5.5",
            # With both of these, dstack need not ask the image's registry.
            "user": "root",
            "resources": self._resources(),
            "port": 8000,
            "env": {"HF_HUB_ENABLE_HF_TRANSFER": "1", "MODEL_ID": f"acme/{model}"},
            "model": f"acme/{model}",
            "probes": [{"type": "http", "url": "/health", "interval": "10s", "ready_after": 2}],
            "fleets": list(self.fleets),
            "spot_policy": "auto",
            "priority": self.priority,
            "retry": {"on_events": ["no-capacity", "interruption", "error"], "duration": "1h"},
        }
        commands = [f"python -m sglang.launch_server --model acme/{model} --port 8000"]
        if len(self.groups) == 1 and not self.groups[0].router:
            result["replicas"] = self.groups[0].count
            result["commands"] = commands
            return result
        result["replicas"] = [self._group(group, commands) for group in self.groups]
        return result

    def _group(self, group: GroupPlan, commands: list[str]) -> dict[str, Any]:
        described: dict[str, Any] = {"name": group.name, "count": group.count}
        if group.router:
            described["router"] = {"type": "sglang"}
            described["commands"] = ["smg launch --host 0.0.0.0 --port 8000 --enable-igw"]
            described["resources"] = {"cpu": "x86:4"}
        else:
            described["commands"] = [f"{commands[0]} --disaggregation-mode {group.name}"]
            described["resources"] = self._resources()
        return described

    def _resources(self) -> dict[str, str]:
        if self.fleets[0] == "cpu-routers":
            return {"cpu": "x86:4"}
        return {"cpu": "x86:2..", "gpu": "1"}


_FAMILIES = ("llama", "qwen", "mistral", "deepseek", "gemma", "phi", "whisper", "bge", "flux")
_SIZES = ("1b", "3b", "7b", "8b", "14b", "32b", "70b", "235b", "large", "small")


def services() -> list[ServicePlan]:
    """The services; the counts of their groups add up to `REPLICAS`."""
    chance = random.Random("services")
    # 10 of one replica, some of over a hundred, most between.
    weights = [chance.lognormvariate(0, 0.9) for _ in range(SERVICES)]
    counts = [1] * SERVICES
    for _ in range(REPLICAS - SERVICES):
        counts[chance.choices(range(SERVICES), weights)[0]] += 1
    names = [fleet.name for fleet in FLEETS]
    result = []
    for number, count in enumerate(counts):
        groups: tuple[GroupPlan, ...] = (GroupPlan("0", count),)
        if number % 3 == 0 and count >= 4:
            prefill = max(1, (count - 1) // 4)
            groups = (
                GroupPlan("router", 1, router=True),
                GroupPlan("prefill", prefill),
                GroupPlan("decode", count - 1 - prefill),
            )
        first = number % len(names)
        result.append(
            ServicePlan(
                name=f"{chance.choice(_FAMILIES)}-{chance.choice(_SIZES)}-{number:03d}",
                groups=groups,
                fleets=tuple(names[(first + step) % len(names)] for step in range(len(names)))[:3],
                priority=chance.choice((0, 0, 0, 10, 25, 50, 100)),
                deployment=chance.choice((0, 0, 0, 1, 2, 3, 7, 12)),
                behind=chance.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.6)),
            )
        )
    return result
