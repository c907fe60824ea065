"""Answers as a dstack server gives them, made by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from dstack_api_client.transport import wire

START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
PROJECT = "main"


def ident(number: int) -> str:
    """An id that sorts as its number."""
    return str(UUID(int=number))


def at(seconds: float) -> str:
    """A time so many seconds after the start, as a server writes it."""
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=65_536)
def seconds(time: str) -> float:
    """The other way round."""
    moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
    return (moment - START).total_seconds()


def machine(gpus: int = 8, *, spot: bool = False) -> dict[str, Any]:
    return {
        "name": "p5.48xlarge",
        "resources": {
            "cpus": 192,
            "memory_mib": 2097152,
            "gpus": [{"name": "H100", "memory_mib": 81920, "vendor": "nvidia"}] * gpus,
            "spot": spot,
            "disk": {"size_mib": 102400},
            "cpu_arch": None,
            "description": "",
        },
    }


def instance(number: int, fleet: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": ident(1000 + number),
        "project_name": PROJECT,
        "backend": "aws",
        "instance_type": machine(),
        "name": f"fleet-{number}",
        "fleet_id": fleet["id"] if fleet else None,
        "fleet_name": fleet["name"] if fleet else None,
        "instance_num": number,
        "job_name": None,
        "hostname": f"10.0.0.{number}",
        "status": "busy",
        "unreachable": False,
        "health_status": "healthy",
        "termination_reason": None,
        "created": at(number),
        "region": "us-east-1",
        "price": 32.0,
        "total_blocks": 8,
        "busy_blocks": 1,
        **changes,
    }


def fleet(number: int, **changes: Any) -> dict[str, Any]:
    configuration = {
        "type": "fleet",
        "name": f"fleet-{number}",
        "nodes": {"min": 1, "max": 4},
        "placement": "cluster",
        "idle_duration": 259200,
        "spot_policy": "auto",
        "backends": None,
        "ssh_config": None,
    }
    return {
        "id": ident(100 + number),
        "name": f"fleet-{number}",
        "project_name": PROJECT,
        "spec": {"configuration": configuration, "profile": {}, "autocreated": False},
        "created_at": at(-number),
        "status": "active",
        "status_message": None,
        "instances": [],
        **changes,
    }


def submission(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": ident(100_000 + number),
        "submission_num": 0,
        "deployment_num": 0,
        "submitted_at": at(0),
        "last_processed_at": at(1),
        "finished_at": None,
        "status": "running",
        "status_message": "running",
        "termination_reason": None,
        "exit_status": None,
        "job_provisioning_data": {
            "backend": "aws",
            "instance_type": machine(),
            "instance_id": "i-1",
            "hostname": "10.0.0.1",
            "region": "us-east-1",
            "price": 32.0,
            "ssh_port": 22,
        },
        "job_runtime_data": {
            "network_mode": "host",
            "gpu": 1,
            "offer": {
                "backend": "aws",
                "instance": machine(1),
                "price": 32.0,
                "blocks": 1,
                "total_blocks": 8,
            },
        },
        "error": None,
        "probes": [{"success_streak": 3}],
        **changes,
    }


def job(
    replica: int, *submissions: dict[str, Any], name: str = "llm", **spec: Any
) -> dict[str, Any]:
    return {
        "job_spec": {
            "replica_num": replica,
            "job_num": 0,
            "job_name": f"{name}-0-{replica}",
            "replica_group": "0",
            "commands": ["serve"],
            "probes": [{"type": "http", "url": "/health", "ready_after": 2}],
            **spec,
        },
        "job_submissions": list(submissions) or [submission(replica)],
        "job_connection_info": None,
    }


def run(number: int, *jobs: dict[str, Any], name: str = "llm", **changes: Any) -> dict[str, Any]:
    configuration = {"type": "service", "name": name, "replicas": {"min": 1, "max": 1}}
    configuration |= changes.pop("configuration", {})
    return {
        "id": ident(10_000 + number),
        "project_name": PROJECT,
        "user": "admin",
        "fleet": None,
        "submitted_at": at(number),
        "last_processed_at": at(number),
        "status": "running",
        "status_message": "running",
        "termination_reason": None,
        "run_spec": {"run_name": name, "configuration": configuration},
        "jobs": list(jobs),
        "latest_job_submission": None,
        "cost": 0.0,
        "service": {"url": f"/proxy/services/main/{name}/", "model": None, "options": {}},
        "deployment_num": 0,
        "error": None,
        "deleted": False,
        **changes,
    }


def event(
    number: int, message: str, *targets: tuple[str, str, str], seconds: float | None = None
) -> dict[str, Any]:
    """An event about targets, each a type, an id and a name."""
    return {
        "id": ident(500_000 + number),
        "message": message,
        "recorded_at": at(number if seconds is None else seconds),
        "actor_user_id": None,
        "actor_user": None,
        "targets": [
            {"type": kind, "project_name": PROJECT, "id": id_, "name": name}
            for kind, id_, name in targets
        ],
    }


def as_run(answer: dict[str, Any]) -> wire.Run:
    return wire.decode_run(msgspec.json.encode(answer))


def as_fleet(answer: dict[str, Any]) -> wire.Fleet:
    return wire.decode_fleet(msgspec.json.encode(answer))


def as_instance(answer: dict[str, Any]) -> wire.Instance:
    return msgspec.convert(answer, wire.Instance, strict=False)
