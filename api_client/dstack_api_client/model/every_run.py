"""All runs of a project: services, tasks and dev environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import OtherRun, Service
from dstack_api_client.model.snapshot import Snapshot

Run: TypeAlias = Service | OtherRun


def every_run(snapshot: Snapshot) -> list[Run]:
    """All runs, those that have ended last, then by name."""
    runs: list[Run] = [*snapshot.services.values(), *snapshot.other_runs.values()]
    return sorted(runs, key=lambda run: (run.finished, run.name, run.submitted_at))


def run_type(run: Run) -> str:
    """`service`, `task` or `dev-environment`."""
    return "service" if isinstance(run, Service) else run.type


def running_jobs(jobs: Sequence[Replica]) -> int:
    """How many of some jobs run."""
    return sum(job.status == "running" for job in jobs)


def fleets_of(jobs: Sequence[Replica]) -> list[str]:
    """The fleets that jobs are in, by name."""
    return sorted({job.fleet_name for job in jobs if job.fleet_name})


def run_message(run: Run, snapshot: Snapshot) -> str:
    """What the server says of a run beyond its status; of one that failed, why its job did."""
    told = (run.error or "") if isinstance(run, Service) else ""
    if not told and run.status_message != run.status:
        told = run.status_message
    if told or run.status != "failed":
        return told
    jobs = snapshot.replicas_of(run)
    return next((job.message for job in jobs if job.status == "failed"), "")
