"""Edits of lanes, replicas in two fleets, and what the engine says of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import projects, service_edits
from tests.builders.projects import ADDON, STOCK

TWO = [{"name": "reserved", "min_replicas": 1, "max_replicas": 2, "priority": 10}, {"name": "spot"}]


def begun(*, lanes: bool = True, fleets: Sequence[Any] = TWO, **changes: Any) -> ServiceEdit:
    """An edit of the service chat of two replicas."""
    base = service_edits.base(fleets=list(fleets), **changes)
    return ServiceEdit.begin(replace(base, id="s-chat"), ADDON if lanes else STOCK)


def project(*replicas: Replica, **changes: Any) -> Snapshot:
    """The service with two fleets: two of at most four nodes are left in each."""
    fleets = changes.pop("fleets", None) or [
        projects.fleet("reserved", nodes_max=3), projects.fleet("spot", nodes_max=9),
    ]  # fmt: skip
    about = {key: changes.pop(key) for key in ("placements", "routers") if key in changes}
    service = projects.service(replicas, [projects.group("0", 2)], **changes)
    return projects.project((service, replicas), fleets=fleets, capabilities=ADDON, **about)


BOTH = (projects.replica(0, "reserved", price=98.0), projects.replica(1, "spot", price=31.0))


def outlook(edit: ServiceEdit, snapshot: Snapshot, **options: Any) -> DryRun:
    found = dry_run_here(edit, snapshot, **options)
    assert found is not None
    return found
