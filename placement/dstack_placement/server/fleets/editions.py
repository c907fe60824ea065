"""Digests of lanes and their fleets: what was learnt of a lane counts until either is edited."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from dstack._internal.server.models import FleetModel

from dstack_placement.engine import LANE_FIELDS, Lane, ServiceSpec


def editions_of(lanes: ServiceSpec, fleets: Mapping[str, FleetModel]) -> dict[tuple[str, str], str]:
    """A digest of lanes and fleet per lane, by pool and fleet: an edit of either changes it.

    Args:
        lanes: The lanes of a run.
        fleets: The fleets that exist, by the lanes' names.
    """
    editions = {}
    for name, pool in lanes.pools.items():
        text = repr([_written(lane) for lane in pool])
        for lane in pool:
            fleet = fleets.get(lane.fleet)
            spec = fleet.spec if fleet is not None else ""
            editions[name, lane.fleet] = hashlib.sha256(f"{text}\n{spec}".encode()).hexdigest()
    return editions


def _written(lane: Lane) -> tuple[object, ...]:
    return (lane.fleet, *map(lane.value, LANE_FIELDS))
