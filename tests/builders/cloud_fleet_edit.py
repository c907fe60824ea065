"""A cloud fleet to be edited."""

from __future__ import annotations

from typing import Any

from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import snapshots
from tests.builders.snapshots import NOW

CONFIGURATION: dict[str, Any] = {
    "type": "fleet",
    "name": "gpu",
    "nodes": {"min": 1, "max": 4},
    "reservation": None,
    "resources": {
        "cpu": {"arch": None, "count": {"min": 2, "max": None}},
        "memory": {"min": 8.0, "max": None},
        "gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}},
        "disk": {"size": {"min": 100.0, "max": None}},
    },
    "backends": ["aws"],
    "regions": ["us-east-1", "us-west-2"],
    "availability_zones": None,
    "instance_types": None,
    "spot_policy": "on-demand",
    "max_price": 120.5,
    "tags": {"team": "ml"},
}


def edit() -> FleetEdit:
    """An edit that changes nothing yet."""
    spec = {"configuration": CONFIGURATION, "profile": {"name": "default"}}
    target = Target("http://127.0.0.1:3000", "main", "fleet", "gpu")
    resource = {"project_name": "main"}
    return FleetEdit.begin(Base(target, "f-gpu", "active", 0, spec, resource, NOW))


def snapshot() -> Snapshot:
    """The fleet with a busy instance and two idle ones."""
    states = ("busy", "idle", "idle")
    instances = [
        snapshots.instance(f"gpu-{num}", num=num, status=state, busy_blocks=int(state == "busy"))
        for num, state in enumerate(states)
    ]
    gpu = snapshots.fleet("gpu", instance_ids=tuple(each.id for each in instances))
    return snapshots.snapshot(fleets=[gpu], instances=instances)
