"""Edits of a cloud fleet, and snapshots of its instances."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import snapshots


def base(*, project: str = "main", **changes: Any) -> Base:
    """A cloud fleet as it was read; changes are to its configuration."""
    configuration = {
        "type": "fleet",
        "name": "gpu",
        "nodes": {"min": 1, "max": 4},
        "resources": {"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}},
        "backends": ["aws"],
        "regions": None,
        "spot_policy": "auto",
        "of_a_later_version": {"kept": True},
        **changes,
    }
    return Base(
        target=Target("http://server", "main", "fleet", "gpu"),
        id="f-gpu",
        status="active",
        deployment=0,
        spec={"configuration": configuration, "profile": {"regions": ["us-east-1"]}},
        resource={"project_name": project},
        read_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    )


def edit(**changes: Any) -> FleetEdit:
    return FleetEdit.begin(base(**changes))


def shot(*instances: Instance) -> Snapshot:
    """The fleet with instances."""
    numbered = [
        replace(each, id=f"i-{num}", name=f"gpu-{num}", num=num)
        for num, each in enumerate(instances)
    ]
    gpu = snapshots.fleet("gpu", instance_ids=tuple(each.id for each in numbered))
    return snapshots.snapshot(fleets=[gpu], instances=numbered, services=[], replicas=[])


def idle(**values: Any) -> Instance:
    return snapshots.instance("i", status="idle", busy_blocks=0, **values)


BUSY = snapshots.instance("b")
