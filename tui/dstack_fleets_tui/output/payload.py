"""What the headless commands print, as plain data with stable keys (see docs/json.md).

A key is never renamed and never changes its meaning; new ones may be added. `VERSION` counts up
when that can't be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, TypeAlias

from dstack_api_client.analysis.health import Health
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.snapshot import Snapshot

VERSION = 1

Item: TypeAlias = dict[str, Any]


def health(health: Health | None) -> Item | None:
    """How a service or a fleet is."""
    if health is None:
        return None
    return {"state": health.state.value, "serving": health.serving, "desired": health.desired}


def rebalancing(placement: Placement | None) -> Item | None:
    """The rebalancing of a service that is under way."""
    if placement is None or placement.rebalancing_since is None:
        return None
    return {"since": time(placement.rebalancing_since), "left": placement.rebalancing_left}


def envelope(
    snapshot: Snapshot, kind: str, items: list[Item], notes: Sequence[str] | None = None
) -> dict[str, Any]:
    """The one object that is printed.

    Args:
        snapshot: What was read.
        kind: Which part of it.
        items: The things.
        notes: What can't be known of all of them; None for a kind that tells it of each.
    """
    whole = {
        "version": VERSION,
        "project": snapshot.project,
        "observed_at": time(snapshot.observed_at),
        kind: items,
    }
    return whole if notes is None else {**whole, "notes": list(notes)}


def time(moment: datetime) -> str:
    """RFC 3339 in UTC: `2026-05-01T12:00:00.250Z`."""
    utc = moment.astimezone(timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_time(moment: datetime | None) -> str | None:
    """The same for what may not have happened."""
    return None if moment is None else time(moment)


def number(value: float) -> float:
    """A number without the noise of binary fractions; whole ones without a fraction."""
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def optional_number(value: float | None) -> float | None:
    """The same for what may not be known."""
    return None if value is None else number(value)


def gpu(gpus: Gpus | None) -> Item | None:
    """The GPUs of an instance or a replica."""
    if gpus is None:
        return None
    return {"name": gpus.name, "count": gpus.count, "memory_mib": gpus.memory_mib}
