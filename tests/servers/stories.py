"""A server on which services with lanes live through much at once, and how it is watched.

What happens on a server takes its time, so every story has fleets and regions of its own, and all
of them go on together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.servers.lanes import ENDED, eight_gpus, events, fleet
from tests.waiting import until

#: What goes on, by name. A story that fails fails the test that awaits it.
Stories = dict[str, "asyncio.Task[Any]"]
Story = Callable[[Handle], Awaitable[Any]]

#: By story: the region and the nodes of its reserved fleet, and the same of its spot fleet.
FLEETS: dict[str, tuple[str, str, str, str]] = {
    # The fleets of the manual's examples; router and workers share a network.
    "gpu": ("us-east-1", "0..6", "us-east-1", "0..6"),
    "full": ("us-east-2", "0..2", "us-west-1", "0..4"),
    "short": ("us-west-2", "0..4", "ca-central-1", "0..4"),
    "vain": ("eu-south-2", "0..4", "eu-central-2", "0..4"),
    "cool": ("ca-west-1", "0..4", "sa-east-1", "0..4"),
    "gone": ("eu-west-1", "0..1", "eu-west-2", "0..4"),
    "scale": ("eu-west-3", "0..4", "eu-north-1", "0..8"),
    "edit": ("eu-south-1", "0..4", "eu-central-1", "0..4"),
    "roll": ("ap-east-1", "0..4", "ap-south-1", "0..4"),
    "pair": ("ap-northeast-1", "0..4", "ap-southeast-1", "0..4"),
    "lent": ("me-south-1", "0..2", "af-south-1", "0..2"),
    "again": ("ap-southeast-2", "0..4", "ap-northeast-2", "0..4"),
    "bare": ("ap-southeast-3", "0..4", "ap-northeast-3", "0..4"),
}
#: The region of a fleet of another project.
LENDER_REGION = "il-central-1"

#: They end once they have passed: each opens a tunnel.
PROBES = [
    {
        "type": "http",
        "url": "/health",
        "interval": "5s",
        "timeout": "30s",
        "ready_after": 1,
        "until_ready": True,
    }
]


def scenario() -> Scenario:
    """The fleets and a gateway, and no service."""
    # What is started in a lent fleet is started by the backend of the project that borrows it.
    regions: dict[str, dict[str, float]] = {LENDER_REGION: {"on_demand": 98.32}}
    steps: list[dict[str, Any]] = [{"apply": _GATEWAY}]
    for name, (reserved, reserved_nodes, spot, spot_nodes) in FLEETS.items():
        regions.setdefault(reserved, {})["on_demand"] = 98.32
        regions.setdefault(spot, {})["spot"] = 31.05
        for kind, region, policy, nodes in (
            ("reserved", reserved, "on-demand", reserved_nodes),
            ("spot", spot, "spot", spot_nodes),
        ):
            steps.append({"apply": fleet(f"{name}-{kind}", region, policy, nodes)})
    cpu = {**fleet("cpu", "us-east-1", "on-demand", "0..2"), "resources": {"gpu": 0}}
    steps.append({"apply": cpu})
    return Scenario.model_validate(
        {
            "description": "A pair of fleets for each story",
            "cloud": _cloud(regions),
            "steps": steps,
        }
    )


def lender_scenario() -> Scenario:
    """A fleet for others, in a project of its own."""
    fleet_of_one = fleet("gpu", LENDER_REGION, "on-demand", "0..1")
    return Scenario.model_validate(
        {
            "description": "A fleet that is lent",
            "cloud": _cloud({LENDER_REGION: {"on_demand": 98.32}}),
            "steps": [{"apply": fleet_of_one}],
        }
    )


def _cloud(regions: dict[str, dict[str, float]]) -> dict[str, Any]:
    offers = [
        eight_gpus(regions),
        {
            "instance_type": "c7i.8xlarge",
            "cpus": 32,
            "memory_gib": 64,
            "regions": {"us-east-1": {"on_demand": 1.43}},
        },
    ]
    return {"start_seconds": 0.2, "offers": offers}


_GATEWAY = {
    "type": "gateway",
    "name": "edge",
    "default": False,
    "backend": "aws",
    "region": "us-east-1",
    "domain": "apps.acme.test",
    "certificate": None,
}


def pair_of_lanes(name: str, **reserved: int) -> list[Any]:
    """The lanes of a story: its reserved fleet first, then its spot fleet."""
    return [{"name": f"{name}-reserved", "priority": 10, **reserved}, f"{name}-spot"]


@dataclass(frozen=True, slots=True)
class Look:
    """The replicas of a run at one moment, by fleet; `""` where a replica has none yet.

    Attributes:
        active: Those that have not ended and are not about to.
        running: Those that run.
        ready: Those that get requests, as the server counts them.
        status: The run's own status.
    """

    active: Counter[str]
    running: Counter[str]
    ready: Counter[str]
    status: str

    def at_rest(self, expected: dict[str, int]) -> bool:
        """Whether all replicas are ready, so many per fleet, and the run has followed."""
        there = self.active == self.ready == Counter(expected)
        return there and (self.status == "running" or not expected)


class Watch:
    """Looks at a run again and again, and has every look checked.

    Attributes:
        looks: How often it was looked.
        check: What must hold at every look; it can be exchanged.
    """

    def __init__(self, sim: Handle, name: str) -> None:
        self.looks = 0
        self.check: Callable[[Look], None] = alive
        self._sim = sim
        self._name = name

    async def look(self) -> Look:
        """The run as it is now."""
        run = await self._sim.run(self._name)
        latest = [job["job_submissions"][-1] for job in run["jobs"]]
        active = [one for one in latest if one["status"] not in ENDED]
        running = [one for one in active if one["status"] == "running"]
        # dstack's own API does not tell who gets requests: probes succeed some seconds earlier.
        placement = await placed(self._sim, self._name)
        ready = [row["fleet"] for row in placement["replicas"] if row["state"] == "ready"]
        found = Look(
            active=Counter(map(fleet_of, active)),
            running=Counter(map(fleet_of, running)),
            ready=Counter(ready),
            status=run["status"],
        )
        self.looks += 1
        self.check(found)
        return found

    async def until(
        self, condition: Callable[[Look], bool], *, limit: float = 200.0, what: str = ""
    ) -> Look:
        """Looks until a condition holds; returns the look in which it did."""
        last: Look | None = None

        async def holds() -> Look | None:
            nonlocal last
            last = await self.look()
            return last if condition(last) else None

        try:
            found: Look = await until(holds, limit=limit, every=1.0)
        except AssertionError as error:
            told = "; ".join(await events(self._sim, self._name))
            raise AssertionError(
                f"{self._name}: {what}: {error}; last seen: {last}; told: {told}"
            ) from None
        return found

    async def at_rest(self, expected: dict[str, int]) -> Look:
        """Looks until all replicas are ready, so many per fleet."""
        return await self.until(lambda look: look.at_rest(expected), what=f"waits for {expected}")


def fleet_of(submission: dict[str, Any]) -> str:
    """The fleet of a submission: no two have a region, a kind and a price policy in common."""
    data = submission["job_provisioning_data"]
    if data is None:
        return ""
    resources = data["instance_type"]["resources"]
    return _BY_PLACE[data["region"], bool(resources["spot"]), bool(resources["gpus"])]


def _by_place() -> dict[tuple[str, bool, bool], str]:
    found = {
        ("us-east-1", False, False): "cpu",
        (LENDER_REGION, False, True): "lender/gpu",
    }
    for name, (reserved, _, spot, _) in FLEETS.items():
        found[reserved, False, True] = f"{name}-reserved"
        found[spot, True, True] = f"{name}-spot"
    return found


_BY_PLACE = _by_place()


def alive(look: Look) -> None:
    """The run has not ended and is not about to."""
    assert look.status not in ENDED, look


async def placed(sim: Handle, name: str) -> dict[str, Any]:
    """What the server reports of a run's lanes and of where its replicas are."""
    answer: dict[str, Any] = await sim.api("placement/get", {"run_name": name})
    return answer


async def by_group(sim: Handle, name: str) -> dict[str, Counter[str]]:
    """Replicas per fleet, by group."""
    found: dict[str, Counter[str]] = {}
    for row in (await placed(sim, name))["replicas"]:
        if row["state"] != "stopping":
            found.setdefault(row["group"], Counter())[row["fleet"]] += 1
    return found


async def answers(sim: Handle, name: str) -> None:
    """Waits for a completion through the service's URL."""
    url = f"/proxy/services/{sim.project}/{name}/v1/chat/completions"
    body = {"model": "acme/chat-8b", "messages": [{"role": "user", "content": "Hello"}]}
    said = ""

    async def answered() -> bool:
        nonlocal said
        async with sim.client() as client:
            answer = await client.post(url, json=body)
        said = answer.text
        return answer.status_code == 200 and bool(answer.json()["choices"])

    try:
        await until(answered, limit=120, every=0.5, what=f"an answer of {name}")
    except AssertionError as error:
        raise AssertionError(f"{error}; the last was {said}") from None
