"""What the tests of the placement add-on share."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.waiting import until

DOCS = Path(__file__).parents[2] / "docs"
#: The examples of the manual, as they stand there.
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (DOCS / "placement.md").read_text(), re.DOTALL)

#: A file in the folder of the shared server with which it starts as the stock server.
STOCK = "stock"

#: Pairs of fleets, each with its region on demand and its region for spot, so that capacity can be
#: taken from one of them.
PAIRS = {
    "gpu": ("us-east-1", "us-west-2"),
    "dry": ("eu-west-1", "eu-north-1"),
    "plain": ("ap-east-1", "ap-south-1"),
    "shown": ("ca-central-1", "sa-east-1"),
}

#: The regions of a reserved fleet with its one node and of a spot fleet of one node at most.
SEED = ("me-central-1", "mx-central-1")

ENDED = {"terminating", "terminated", "aborted", "failed", "done"}


def lanes(pair: str = "gpu") -> list[dict[str, Any]]:
    """A baseline of one in the reserved fleet of a pair, all else in the spot fleet."""
    return [
        {"name": f"{pair}-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
        {"name": f"{pair}-spot"},
    ]


def eight_gpus(regions: dict[str, dict[str, float]]) -> dict[str, Any]:
    """An offer of instances with eight H100, by region with its prices and capacity."""
    return {
        "instance_type": "p5.48xlarge",
        "cpus": 192,
        "memory_gib": 2048,
        "disk_gib": 4000,
        "gpu": {"name": "H100", "memory_gib": 80, "count": 8},
        "regions": regions,
    }


def scenario() -> Scenario:
    """The fleets, and no service."""
    regions: dict[str, dict[str, float]] = {}
    steps = []
    for pair, (reserved, spot) in PAIRS.items():
        regions[reserved] = {"on_demand": 98.32, "capacity": 4}
        regions[spot] = {"spot": 31.05, "spot_capacity": 12}
        steps.append({"apply": fleet(f"{pair}-reserved", reserved, "on-demand", "0..2")})
        steps.append({"apply": fleet(f"{pair}-spot", spot, "spot", "0..8")})
    regions[SEED[0]] = {"on_demand": 98.32}
    regions[SEED[1]] = {"spot": 31.05}
    steps.append({"apply": fleet("seed-reserved", SEED[0], "on-demand", 1)})
    steps.append({"apply": fleet("seed-spot", SEED[1], "spot", "0..1")})
    return Scenario.model_validate(
        {
            "description": "Pairs of a reserved and a spot fleet",
            "cloud": {"start_seconds": 0.2, "offers": [eight_gpus(regions)]},
            "steps": steps,
            # For modules of these tests that a server's process imports.
            "server": {"environment": {"PYTHONPATH": str(DOCS.parent)}},
        }
    )


def fleet(name: str, region: str, spot_policy: str, nodes: str | int) -> dict[str, Any]:
    """A fleet of one region, on demand or of spot instances."""
    return {
        "type": "fleet",
        "name": name,
        "nodes": nodes,
        "backends": ["aws"],
        "regions": [region],
        "spot_policy": spot_policy,
        "idle_duration": "off",
        "resources": {"gpu": "H100:8"},
    }


def service(name: str, **changes: Any) -> dict[str, Any]:
    """A service of two replicas with lanes, and changes to it."""
    whole = {
        "type": "service",
        "name": name,
        "port": 8000,
        "commands": ["python -m sglang.launch_server --model acme/chat-8b --port 8000"],
        "model": "acme/chat-8b",
        "probes": [],
        "replicas": 2,
        "spot_policy": "auto",
        "fleets": lanes(),
        "resources": {"gpu": "H100:8"},
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def rebalanced_lanes(pair: str, priority: int) -> list[dict[str, Any]]:
    """First the spot fleet, unless the priority of the reserved one is higher than 10."""
    return [
        {"name": f"{pair}-reserved", "priority": priority},
        {"name": f"{pair}-spot", "priority": 10},
    ]


async def rebalanced_fleets(sim: Handle, pair: str, spot: str) -> None:
    """A reserved and a spot fleet to move between."""
    await sim.apply(fleet(f"{pair}-reserved", "us-east-1", "on-demand", "0..2"))
    await sim.apply(fleet(f"{pair}-spot", spot, "spot", "0..4"))


async def active(sim: Handle, name: str) -> list[dict[str, Any]]:
    """The latest submissions of a run's replicas that have not ended."""
    run = await sim.run(name)
    latest = [job["job_submissions"][-1] for job in run["jobs"]]
    return [submission for submission in latest if submission["status"] not in ENDED]


async def places(sim: Handle, name: str, *, status: str = "running") -> Counter[str]:
    """How many replicas of a run, in a status, are in each fleet."""
    return _places(await sim.api("fleets/list"), await active(sim, name), status)


def _places(
    fleets: list[dict[str, Any]], submissions: list[dict[str, Any]], status: str
) -> Counter[str]:
    hosts = {}
    for fleet in fleets:
        for instance in fleet["instances"]:
            hosts[instance["hostname"]] = fleet["name"]
    return Counter(
        hosts.get((submission["job_provisioning_data"] or {}).get("hostname"), "nowhere")
        for submission in submissions
        if submission["status"] == status
    )


async def settled(
    sim: Handle,
    name: str,
    expected: dict[str, int],
    *,
    limit: float = 45.0,
    at_every_look: Callable[[Counter[str]], None] | None = None,
) -> None:
    """Waits until a run's running replicas are placed as expected, and there are no others."""
    seen: Counter[str] = Counter()

    async def look() -> bool:
        nonlocal seen
        submissions = await active(sim, name)
        seen = _places(await sim.api("fleets/list"), submissions, "running")
        if at_every_look is not None:
            at_every_look(seen)
        return seen == Counter(expected) and len(submissions) == sum(expected.values())

    try:
        await until(look, limit=limit, every=0.3)
    except AssertionError:
        told = "\n".join(await _told(sim, name))
        raise AssertionError(f"{name} is placed {dict(seen)}, not {expected}:\n{told}") from None


async def _told(sim: Handle, name: str) -> list[str]:
    """What the server says of a run and its replicas, and its last events."""
    run = await sim.run(name)
    replicas = [
        f"replica {job['job_spec']['replica_num']}.{each['submission_num']}: {each['status']}"
        f" {each['termination_reason'] or ''} {each['termination_reason_message'] or ''}"
        for job in run["jobs"]
        for each in job["job_submissions"]
    ]
    return [f"run {run['status']}", *replicas, *(await events(sim, name))[-10:]]


async def update(sim: Handle, name: str, **changes: Any) -> dict[str, Any]:
    """Changes a run in place; a value of None removes the property."""
    return await sim.touch_run(name, **changes)


async def events(sim: Handle, name: str) -> list[str]:
    """The messages of a run's events, oldest first."""
    run = await sim.run(name)
    found = await sim.api("/api/events/list", {"within_runs": [run["id"]], "limit": 100})
    return [event["message"] for event in reversed(found)]


async def ask(sim: Handle, endpoint: str, *, status: int = 200, **body: Any) -> Any:
    """The answer of one of the add-on's endpoints on a project.

    Args:
        sim: The simulator.
        endpoint: The last part of its path.
        status: The status that is expected.
        body: What is asked.
    """
    async with sim.client() as client:
        path = f"/api/project/{sim.project}/placement/{endpoint}"
        answer = await client.post(path, json=body, timeout=90)
    assert answer.status_code == status, answer.text
    return answer.json()


def command(
    sim: Handle, *arguments: str, module: str = "dstack_placement.server"
) -> subprocess.CompletedProcess[str]:
    """Runs `dstack-fleets` as a program of its own, in the simulator's home."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=_environment(sim),
        cwd=sim.folder.home,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def commands(sim: Handle, *several: Sequence[str]) -> list[tuple[int, str]]:
    """Exit code and output of several commands of `dstack-fleets`, which share a process."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.servers.several_commands"],
        input=json.dumps(several),
        env={**_environment(sim), "PYTHONPATH": str(DOCS.parent)},
        cwd=sim.folder.home,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [(code, printed) for code, printed in json.loads(ended.stdout)]


def _environment(sim: Handle) -> dict[str, str]:
    home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME"), str(sim.folder.home))
    return {**os.environ, **home, **sim.environment, "COLUMNS": "200"}


def in_process(code: str) -> Any:
    """Runs code in a fresh process, where nothing of dstack is imported; returns its answer.

    Args:
        code: Statements that put what they find into `answer`.
    """
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json\nprint(json.dumps(answer))"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


async def instances_of(sim: Handle, name: str) -> dict[int, dict[str, Any]]:
    """The instances of a fleet that are there, by number."""
    found = await sim.fleet(name)
    gone = ("terminating", "terminated")
    return {each["instance_num"]: each for each in found["instances"] if each["status"] not in gone}


async def is_idle(sim: Handle, name: str, number: int) -> bool:
    return (await instances_of(sim, name))[number]["status"] == "idle"


async def all_idle(sim: Handle, name: str, count: int) -> bool:
    there = await instances_of(sim, name)
    return [each["status"] for each in there.values()] == ["idle"] * count
