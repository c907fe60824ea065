"""What changed between two snapshots, by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.snapshot import Snapshot

K = TypeVar("K")


@dataclass(frozen=True)
class Changes(Generic[K]):
    """Keys of one kind that came, changed and went."""

    added: frozenset[K] = frozenset()
    changed: frozenset[K] = frozenset()
    gone: frozenset[K] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone)


@dataclass(frozen=True)
class Difference:
    """What changed between two snapshots."""

    fleets: Changes[str] = field(default_factory=Changes)
    instances: Changes[str] = field(default_factory=Changes)
    services: Changes[str] = field(default_factory=Changes)
    replicas: Changes[ReplicaKey] = field(default_factory=Changes)
    other_runs: Changes[str] = field(default_factory=Changes)
    placements: Changes[str] = field(default_factory=Changes)
    """By run id; a look that brought the same, only later, is none."""
    routers: Changes[str] = field(default_factory=Changes)
    """As `placements`."""
    cordons: Changes[str] = field(default_factory=Changes)
    """By the id of the instance or the fleet."""
    traffic: Changes[str] = field(default_factory=Changes)
    """By run id."""

    def __bool__(self) -> bool:
        return bool(
            self.fleets
            or self.instances
            or self.services
            or self.replicas
            or self.other_runs
            or self.placements
            or self.routers
            or self.cordons
            or self.traffic
        )


def diff(old: Snapshot | None, new: Snapshot) -> Difference:
    """Compares two snapshots.

    Args:
        old: The earlier one; None where there was none.
        new: The later one.

    Returns:
        The keys that came, changed and went, by kind.
    """
    if old is None:
        return Difference(
            fleets=Changes(added=frozenset(new.fleets)),
            instances=Changes(added=frozenset(new.instances)),
            services=Changes(added=frozenset(new.services)),
            replicas=Changes(added=frozenset(new.replicas)),
            other_runs=Changes(added=frozenset(new.other_runs)),
            placements=Changes(added=frozenset(new.placements)),
            routers=Changes(added=frozenset(new.routers)),
            cordons=Changes(added=frozenset(new.cordons)),
            traffic=Changes(added=frozenset(new.traffic)),
        )
    return Difference(
        fleets=_changes(old.fleets, new.fleets),
        instances=_changes(old.instances, new.instances),
        services=_changes(old.services, new.services),
        replicas=_changes(old.replicas, new.replicas),
        other_runs=_changes(old.other_runs, new.other_runs),
        placements=_changes(old.placements, new.placements),
        routers=_changes(old.routers, new.routers),
        cordons=_changes(old.cordons, new.cordons),
        traffic=_changes(old.traffic, new.traffic),
    )


def _changes(old: Mapping[K, object], new: Mapping[K, object]) -> Changes[K]:
    if old is new:
        return Changes()
    added, changed = [], []
    for key, value in new.items():
        known = old.get(key)
        if known is value:
            continue
        if known is None:
            added.append(key)
        elif known != value:
            changed.append(key)
    gone = old.keys() - new.keys()
    return Changes(frozenset(added), frozenset(changed), frozenset(gone))
