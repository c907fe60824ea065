"""States as they would be after an edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dstack_placement.engine import SHARED, Lane, Service


def edited(
    service: Service,
    *,
    lanes: tuple[Lane, ...] | None = None,
    group_lanes: Mapping[str, tuple[Lane, ...] | None] | None = None,
    wanted: Mapping[str, int] | None = None,
) -> Service:
    """The service as it would be after an edit, on the replicas it has now.

    Args:
        service: The service.
        lanes: New lanes of the service; None keeps them.
        group_lanes: New lanes of groups by name; None for a group takes its own lanes away.
        wanted: New replica counts by group.

    Returns:
        The edited service. Lanes that were edited do not cool down any more.
    """
    group_lanes, wanted = group_lanes or {}, wanted or {}
    changed = {SHARED} if lanes is not None and lanes != service.lanes else set()
    groups = []
    for group in service.groups:
        own = group_lanes.get(group.name, group.lanes)
        if own != group.lanes:
            changed.add(group.name)
        groups.append(replace(group, lanes=own, wanted=wanted.get(group.name, group.wanted)))
    return replace(
        service,
        lanes=service.lanes if lanes is None else lanes,
        groups=tuple(groups),
        cooldowns={at: each for at, each in service.cooldowns.items() if at[0] not in changed},
    )
