"""dstack's own baseline and overflow: two replica groups, one fleet, a stock server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dstack_api_client.join.join import Answers, build
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from tests.builders import answers

NAME, RESERVATION = "steady", "cr-77aa"
NO_OFFERS = "No spot capacity for p5.48xlarge in us-east-1"
RUN = answers.ident(10_001)


def groups() -> list[dict[str, Any]]:
    """A baseline in a reservation and overflow on spot."""
    return [
        {
            "name": "baseline",
            "replicas": {"min": 2, "max": 2},
            "spot_policy": "on-demand",
            "reservation": RESERVATION,
            "commands": ["serve"],
        },
        {
            "name": "overflow",
            "replicas": {"min": 1, "max": 3},
            "spot_policy": "spot",
            "commands": ["serve"],
        },
    ]


def snapshot(
    *statuses: str, given: list[dict[str, Any]] | None = None, minutes: float = 10
) -> Snapshot:
    """The service with its replicas in some statuses, the first two of the baseline.

    Args:
        statuses: `running`, `submitted`, or `failed` or `terminating` for one that found no place.
        given: The groups; `groups()` without them.
        minutes: How long ago the replicas were submitted.
    """
    fleet = answers.fleet(1, name="pool")
    hosts = [
        answers.instance(number, fleet, hostname=f"10.0.0.{number}", total_blocks=1)
        for number in range(len(statuses))
    ]
    run = answers.run(
        1,
        *(_job(number, status, minutes) for number, status in enumerate(statuses)),
        name=NAME,
        fleet={"id": fleet["id"], "name": "pool"},
        configuration={
            "groups": given or groups(),
            "replicas": None,
            "fleets": ["pool"],
            "retry": True,
        },
    )
    read = Answers(
        {fleet["id"]: answers.as_fleet(fleet)},
        {each["id"]: answers.as_instance(each) for each in hosts},
        {run["id"]: answers.as_run(run)},
    )
    made = build(
        read,
        server=ServerInfo("http://server", "0.22.5"),
        project="main",
        observed_at=answers.START,
    ).snapshot
    return replace(made, capabilities=Capabilities("0.22.5"))


def _job(number: int, status: str, minutes: float) -> dict[str, Any]:
    spot = number > 1
    placed = {
        "backend": "aws",
        "hostname": f"10.0.0.{number}",
        "region": "us-east-1",
        "price": 31.05 if spot else 98.32,
        "instance_type": answers.machine(8, spot=spot),
    }
    ended = {"termination_reason": "failed_to_start_due_to_no_capacity"}
    ended |= {"termination_reason_message": NO_OFFERS}
    changes: dict[str, Any] = {
        "status": status,
        "status_message": status,
        "submitted_at": answers.at(-60 * minutes),
        "job_provisioning_data": placed if status == "running" else None,
        "job_runtime_data": None,
        **(ended if status in ("failed", "terminating") else {}),
    }
    return answers.job(
        number,
        answers.submission(number, **changes),
        name=NAME,
        replica_group="overflow" if spot else "baseline",
    )
