"""Whether what a scenario expects can be seen in the server's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from dstack_simulator.scenarios.scenario import Expectation, FleetExpectation, RunExpectation
from dstack_simulator.world.api import Api


async def missing(api: Api, expected: Expectation) -> list[str]:
    """What is not yet as expected, as sentences; nothing if all is there."""
    problems: list[str] = []
    if expected.gateways:
        gateways = await api.project("gateways/list", {})
        states = {gateway["name"]: gateway["status"] for gateway in gateways}
        problems += [
            f"gateway {name} is {states.get(name, 'missing')}"
            for name in expected.gateways
            if states.get(name) != "running"
        ]
    if expected.fleets:
        fleets = {fleet["name"]: fleet for fleet in await api.project("fleets/list", {})}
        for name, fleet_expected in expected.fleets.items():
            if name not in fleets:
                problems.append(f"fleet {name} does not exist")
            else:
                problems += _fleet_problems(name, fleets[name], fleet_expected)
    for name, run_expected in expected.runs.items():
        run = await find_run(api, name)
        if run is None:
            problems.append(f"run {name} does not exist")
        else:
            problems += _run_problems(name, run, run_expected)
    return problems


async def find_run(api: Api, name: str) -> dict[str, Any] | None:
    """The latest run of a name."""
    for run in await api.runs():
        if run["run_spec"]["run_name"] == name:
            found: dict[str, Any] = run
            return found
    return None


def _fleet_problems(name: str, fleet: dict[str, Any], expected: FleetExpectation) -> Iterator[str]:
    instances = [i for i in fleet["instances"] if i["status"] != "terminated"]
    statuses = Counter(instance["status"] for instance in instances)
    if expected.instances and dict(statuses) != expected.instances:
        yield f"fleet {name} has instances {dict(statuses)}, not {expected.instances}"
    if expected.unhealthy is not None:
        unhealthy = sum(1 for i in instances if i["health_status"] != "healthy")
        if unhealthy != expected.unhealthy:
            yield f"fleet {name} has {unhealthy} unhealthy instances, not {expected.unhealthy}"


def _run_problems(name: str, run: dict[str, Any], expected: RunExpectation) -> Iterator[str]:
    if expected.status is not None and run["status"] != expected.status:
        yield f"run {name} is {run['status']}, not {expected.status}"
    latest = [job["job_submissions"][-1] for job in run["jobs"] if job["job_submissions"]]
    statuses = Counter(submission["status"] for submission in latest)
    if expected.replicas and dict(statuses) != expected.replicas:
        yield f"run {name} has replicas {dict(statuses)}, not {expected.replicas}"
    if expected.ready is not None:
        ready = sum(1 for job in run["jobs"] if is_ready(job))
        if ready != expected.ready:
            yield f"run {name} has {ready} ready replicas, not {expected.ready}"
    if expected.restarted is not None:
        restarted = sum(1 for job in run["jobs"] if len(job["job_submissions"]) > 1)
        if restarted < expected.restarted:
            yield f"run {name} has {restarted} restarted replicas, not {expected.restarted}"


def is_ready(job: dict[str, Any]) -> bool:
    """Whether the latest submission of a replica runs and all its probes have succeeded."""
    if not job["job_submissions"]:
        return False
    latest = job["job_submissions"][-1]
    if latest["status"] != "running":
        return False
    wanted = [probe["ready_after"] for probe in job["job_spec"].get("probes") or []]
    streaks = [probe["success_streak"] for probe in latest.get("probes") or []]
    if len(streaks) < len(wanted):
        return False
    return all(streak >= ready for streak, ready in zip(streaks, wanted, strict=False))
