"""The scenario `large`: what the server answers about the rows written for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dstack_simulator import SimulatorError
from dstack_simulator.handle.handle import Handle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def _runs(simulator: Handle) -> list[dict[str, Any]]:
    body = {"limit": 100, "job_submissions_limit": 10}
    runs: list[dict[str, Any]] = await simulator.api("/api/runs/list", body)
    return runs


async def test_its_size_is_what_it_says(large_sim: Handle) -> None:
    fleets = await large_sim.api("fleets/list")
    assert len(fleets) == 10
    assert sum(len(fleet["instances"]) for fleet in fleets) == 1000
    runs = await _runs(large_sim)
    assert len(runs) == 100
    latest = [job["job_submissions"][-1]["status"] for run in runs for job in run["jobs"]]
    assert Counter(latest) == {"running": 3000}


async def test_it_is_varied(large_sim: Handle) -> None:
    instances = [
        instance for fleet in await large_sim.api("fleets/list") for instance in fleet["instances"]
    ]
    statuses = {instance["status"] for instance in instances}
    assert statuses == {"busy", "idle", "provisioning", "pending", "terminating"}
    assert sum(instance["unreachable"] for instance in instances) >= 5
    assert {instance["health_status"] for instance in instances} == {
        "healthy",
        "warning",
        "failure",
    }
    assert {instance["backend"] for instance in instances} == {"aws", "remote", None}
    gpus = {
        instance["instance_type"]["resources"]["gpus"][0]["name"]
        for instance in instances
        if instance["instance_type"] and instance["instance_type"]["resources"]["gpus"]
    }
    assert {"H100", "A100", "L4", "L40S", "H200", "A10G", "MI300X"} == gpus


async def test_busy_blocks_are_the_replicas_on_them(large_sim: Handle) -> None:
    busy = sum(
        instance["busy_blocks"]
        for fleet in await large_sim.api("fleets/list")
        for instance in fleet["instances"]
    )
    assert busy == 3000


async def test_some_services_have_groups_routers_and_history(large_sim: Handle) -> None:
    runs = await _runs(large_sim)
    grouped = [run for run in runs if run["run_spec"]["configuration"]["groups"]]
    assert len(grouped) > 10
    for run in grouped:
        routers = [g for g in run["run_spec"]["configuration"]["groups"] if g["router"]]
        assert [group["replicas"]["max"] for group in routers] == [1]
    assert any(run["fleet"] is None for run in runs)
    retried = [job for run in runs for job in run["jobs"] if len(job["job_submissions"]) > 1]
    assert retried
    assert all(job["job_submissions"][0]["status"] == "failed" for job in retried)


async def test_events_link_a_replica_to_its_instance(large_sim: Handle) -> None:
    run = (await _runs(large_sim))[0]
    events = await large_sim.api("/api/events/list", {"within_runs": [run["id"]], "limit": 100})
    assigned = [event for event in events if event["message"].startswith("Job assigned")]
    assert assigned
    for event in assigned:
        assert {target["type"] for target in event["targets"]} == {"job", "instance"}


async def test_a_change_by_another_client_has_its_event(large_sim: Handle) -> None:
    name = (await _runs(large_sim))[3]["run_spec"]["run_name"]
    before = await large_sim.run(name)
    touched = await large_sim.touch_run(name)
    assert touched["id"] == before["id"]
    then, now = (run["run_spec"]["configuration"]["priority"] for run in (before, touched))
    assert now != then
    newest = (await large_sim.api("/api/events/list", {"limit": 1}))[0]
    assert newest["message"].startswith("Run updated.")
    assert [target["id"] for target in newest["targets"]] == [before["id"]]


async def test_what_cannot_be_changed_in_place_is_refused(large_sim: Handle) -> None:
    name = (await _runs(large_sim))[4]["run_spec"]["run_name"]
    with pytest.raises(SimulatorError, match="in place"):
        await large_sim.touch_run(name, max_price=1)
