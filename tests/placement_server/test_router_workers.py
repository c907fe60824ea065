"""A router's worker list as the server sees it, on a real server with a real router."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import ask, events, fleet, service
from tests.servers.stopping import stopped
from tests.servers.stories import Stories, Story
from tests.waiting import until

pytestmark = pytest.mark.e2e

WORKER = "python -m sglang.launch_server --model acme/chat-8b --port 8000"


def routed(name: str, *, workers: int = 1, flags: str = "", **changes: Any) -> dict[str, Any]:
    """A service with an SMG router and workers."""
    resources = {"gpu": "H100:8"}
    router = f"smg launch --host 0.0.0.0 --port 8000 --enable-igw{flags}"
    groups = [
        {
            "name": "router",
            "replicas": 1,
            "router": {"type": "smg"},
            "commands": [router],
            "resources": resources,
        },
        {
            "name": "worker",
            "replicas": workers,
            "commands": [WORKER],
            "resources": resources,
        },
    ]
    without = dict.fromkeys(("replicas", "commands", "resources"))
    return service(name, **{**without, "groups": groups, **changes})


async def _router(sim: Handle) -> None:
    """The list of a router that comes up, gets a worker, and ends."""
    await sim.apply(fleet("heard", "us-east-1", "on-demand", "0..2"))
    await sim.apply(routed("heard", fleets=["heard"]))
    seen = await ask(sim, "router", run_name="heard")
    assert (seen["status"], seen["router_type"], seen["workers"]) == ("down", "smg", [])
    assert seen["message"].startswith("The router does not run: its replica is ")
    (expected,) = seen["expected"]
    assert (expected["group"], expected["role"], expected["url"]) == ("worker", "regular", None)

    async def listed() -> Any:
        seen = await ask(sim, "router", run_name="heard")
        # The sync that has put the worker there is stored once it has ended.
        there = seen["status"] == "ok" and seen["ready"] and seen["last_sync_at"]
        ready = [worker["status"] for worker in seen["workers"]] == ["ready"]
        return seen if there and ready else None

    seen = await until(listed, limit=240, every=0.5, what="the router has its worker")
    (expected,), (worker,) = seen["expected"], seen["workers"]
    assert worker["labels"]["dstack.ai/job-id"] == expected["job_id"]
    assert worker["url"] == expected["url"]
    assert (expected["job_status"], expected["probes_passed"]) == ("running", None)
    assert expected["since"] < seen["observed_at"]
    assert (seen["router_replica"], seen["router_job_status"]) == (0, "running")
    assert (seen["sync_interval"], seen["message"]) == (5.0, None)

    # The counts of a service without lanes are nowhere else.
    placed = await ask(sim, "get", run_name="heard")
    assert (placed["managed"], placed["lanes"]) == (False, [])
    assert placed["groups"] == [
        {"name": "router", "desired": 1, "pool": None},
        {"name": "worker", "desired": 1, "pool": None},
    ]

    await stopped(sim, "heard", limit=240)
    seen = await ask(sim, "router", run_name="heard")
    assert (seen["router_replica"], seen["expected"]) == (None, [])
    assert (seen["status"], seen["workers"]) == ("down", [])


async def _refusing(sim: Handle) -> None:
    """A router with an API key lists its workers for nobody, dstack's own sync included."""
    await sim.apply(fleet("locked", "us-east-1", "on-demand", "0..2"))
    await sim.apply(routed("locked", fleets=["locked"], flags=" --api-key secret"))

    async def refused() -> Any:
        seen = await ask(sim, "router", run_name="locked")
        return seen if seen["status"] == "refused" else None

    seen = await until(refused, limit=240, every=0.5, what="the router refuses")
    assert (seen["workers"], seen["ready"]) == ([], None)
    assert "Start it without an API key" in seen["message"]
    await sim.stop_run("locked")


async def _others(sim: Handle) -> None:
    """What has no router that dstack looks after."""
    await sim.apply(fleet("others", "us-east-1", "on-demand", "0..3"))
    dynamo = routed("dynamo", fleets=["others"])
    dynamo["groups"][0]["router"] = {"type": "dynamo"}
    dynamo["groups"][0]["commands"] = ["python -m dynamo.frontend"]
    await sim.apply(dynamo)
    seen = await ask(sim, "router", run_name="dynamo")
    assert (seen["status"], seen["router_type"]) == ("not_managed", "dynamo")
    assert (seen["sync_interval"], seen["last_sync_at"]) == (None, None)
    assert [worker["group"] for worker in seen["expected"]] == ["worker"]
    await sim.stop_run("dynamo")

    await sim.apply(service("lone", replicas=1, fleets=["others"]))
    seen = await ask(sim, "router", run_name="lone")
    assert (seen["status"], seen["router_type"], seen["expected"]) == ("no_router", None, [])
    await sim.stop_run("lone")

    task = {"type": "task", "name": "job", "commands": ["sleep 60"], "fleets": ["others"]}
    await sim.apply(task)
    refused = await ask(sim, "router", status=400, run_name="job")
    assert refused["detail"][0]["msg"] == "The run is not a service. Name one."
    placed = await ask(sim, "get", run_name="job")
    assert (placed["managed"], placed["groups"]) == (False, [])
    await sim.stop_run("job")


async def _unreachable(sim: Handle) -> None:
    """Workers keep to the router's network, while one of their lanes has one in common with it."""
    await sim.apply(fleet("near", "us-east-1", "on-demand", "0..2"))
    await sim.apply(fleet("far", "us-west-1", "spot", "0..2"))
    lanes = [{"name": "near", "priority": 10}, {"name": "far"}]
    await sim.apply(routed("split-net", workers=2, fleets=lanes))
    cause = "the router in near can't reach it: aws us-west-1 shares no network with aws us-east-1"
    line = f"Fleet far is skipped for workers: {cause}"

    async def waits() -> Any:
        found = await ask(sim, "list", run_names=["split-net", "no-such"])
        (short,) = [run for run in found["runs"] if run["run_name"] == "split-net"]
        (whole,) = found["placements"]
        ready = sum(lane["ready"] for lane in whole["lanes"])
        return (short, whole) if short["pending"] and ready == 2 else None

    short, whole = await until(waits, limit=500, every=0.5, what="one worker waits")
    (pending,) = short["pending"]
    assert pending["group"] == "worker"
    assert f"far has no room, {cause}" in pending["why"]
    assert short["warnings"] == [f"{line}."]
    near, far = whole["lanes"]
    assert (near["running"], far["running"], far["pending"]) == (2, 0, 0)
    assert far["reason"].endswith(f"; {cause}")
    assert f"{line}." in whole["notes"]
    told = await events(sim, "split-net")
    assert told.count(line) == 1, told

    # With no other lane they go there all the same, and it is told.
    only: dict[str, Any] = {"run_name": "split-net", "group_fleets": {"worker": ["far"]}}
    used = f"Workers go to fleet far, which is all they have, although {cause}."
    planned = await ask(sim, "preview", **only)
    assert f"{used} The router won't use them." in planned["notes"]
    groups = routed("split-net", workers=2)["groups"]
    groups[1]["fleets"] = ["far"]
    await sim.touch_run("split-net", groups=groups)

    async def goes() -> bool:
        placed = await ask(sim, "get", run_name="split-net")
        return any(lane["fleet"] == "far" and lane["running"] for lane in placed["lanes"])

    await until(goes, limit=240, every=0.5, what="a worker goes to its only lane")
    told = await events(sim, "split-net")
    assert any(message.startswith(used) for message in told), told
    await sim.stop_run("split-net")


STORIES: dict[str, Story] = {
    "router": _router,
    "refusing router": _refusing,
    "no router": _others,
    "unreachable": _unreachable,
}


@pytest.mark.parametrize("name", STORIES)
async def test_routers_and_their_workers(life_stories: Stories, name: str) -> None:
    await life_stories[name]
