"""Routers, workers and looks made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from dstack_api_client.model.replica import Link, Replica, ReplicaKey
from dstack_api_client.model.router import Source
from dstack_api_client.routers.expected import Engine, Expected
from dstack_api_client.routers.observation import Listed, Look, Outcome, listed
from dstack_api_client.routers.sync import Case, Judged, Memory, judge
from dstack_api_client.transport import wire_addon

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
RUN = "run-1"
#: Three polls of the service that is open.
GOOD_FOR = timedelta(seconds=6)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def worker(number: int, **changes: Any) -> Expected:
    """A worker that has been running for long."""
    values: dict[str, Any] = {
        "key": ReplicaKey(RUN, number, 0),
        "job_id": f"job-{number}",
        "group": "decode",
        "fleet": "gpu",
        "address": f"10.0.0.{number}:8000",
        "job_status": "running",
        "running_since": ago(3600),
        "probes_passed": True,
        "role": "decode",
        "scheme": "http",
        "engine": Engine("sglang", grpc=False, asks_key=False, role="decode"),
    }
    return Expected(**{**values, **changes})


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """The same in the router's list, as SMG writes it."""
    label = changes.pop("job", f"job-{number}")
    return {
        "id": f"w-{number}",
        "url": f"http://10.0.0.{number}:8000",
        "model_id": "acme/chat",
        "worker_type": "decode",
        "status": "ready",
        "is_healthy": True,
        "load": 2,
        "labels": {"dstack.ai/job-id": label, "tp_size": "1"} if label else {},
        **changes,
    }


def as_listed(*entries: Mapping[str, Any]) -> tuple[Listed, ...]:
    return listed(msgspec.convert(list(entries), list[wire_addon.RouterWorker]))


def look(*entries: Mapping[str, Any], **changes: Any) -> Look:
    values: dict[str, Any] = {
        "source": Source.SERVER,
        "outcome": Outcome.LISTED,
        "observed_at": NOW,
        "workers": as_listed(*entries),
        "ready": True,
    }
    return Look(**{**values, **changes})


def router(**changes: Any) -> Replica:
    values: dict[str, Any] = {
        "key": ReplicaKey(RUN, 0, 0),
        "run_name": "chat",
        "run_type": "service",
        "group": "router",
        "is_router": True,
        "job_name": "chat-0-0",
        "submission_id": "job-router",
        "submission_num": 0,
        "deployment_num": 0,
        "status": "running",
        "status_message": "running",
        "submitted_at": ago(4000),
        "finished_at": None,
        "termination_reason": None,
        "termination_message": None,
        "exit_status": None,
        "error": None,
        "probes": (),
        "ready": True,
        "hostname": "10.0.0.100",
        "backend": "aws",
        "region": "us-east-1",
        "spot": False,
        "gpus": None,
        "price": 1.0,
        "instance_id": None,
        "fleet_id": None,
        "fleet_name": "cpu",
        "link": Link.HOST,
    }
    return Replica(**{**values, **changes})


def case(workers: list[Expected], seen: Look | None, **changes: Any) -> Case:
    values: dict[str, Any] = {
        "run_id": RUN,
        "kind": "smg",
        "router": router(),
        "workers": workers,
        "look": seen,
        "good_for": GOOD_FOR,
    }
    return Case(**{**values, **changes})


def judged(
    workers: list[Expected],
    seen: Look | None,
    *,
    memory: Memory | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> Judged:
    return judge(case(workers, seen, **changes), memory or Memory(), now)
