"""Services whose placement was not read."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_api_client.model.capabilities import PLACEMENT_LIST
from dstack_api_client.model.snapshot import Snapshot


def unplaced(snapshot: Snapshot) -> Mapping[str, str]:
    """Services with lanes whose placement the server has and was not read: names by id."""
    if not snapshot.capabilities.can(PLACEMENT_LIST):
        return {}
    return {
        service.id: service.name
        for service in snapshot.services.values()
        if service.has_lanes and not service.finished and service.id not in snapshot.placements
    }
