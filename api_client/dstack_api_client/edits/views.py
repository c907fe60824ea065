"""Lanes and replica groups as they stand in a service's spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dstack_api_client.edits import fields

#: What a lane says besides its fleet.
LANE_FIELDS = ("priority", "min_replicas", "max_replicas")
#: The pool of the service's own lanes; other pools are named by their replica group.
SERVICE = ""


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as the edit has it."""

    fleet: str
    """`project/name` for an imported fleet."""
    priority: int
    min_replicas: int
    max_replicas: int | None
    was: LaneView | None = field(default=None, repr=False, compare=False)
    """The same before the edit; None for one that was added."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """A replica group as the edit has it; a service without groups has one, named `0`."""

    name: str
    named: bool
    """Whether it stands under `groups`."""
    least: int
    greatest: int | None
    router: bool
    own_lanes: bool
    """Whether it has `fleets` of its own."""
    spot_policy: str | None
    reservation: str | None
    scaled: bool
    """Whether it has scaling rules."""


def configuration_of(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of a spec; empty where it has none."""
    configuration = spec.get("configuration")
    return configuration if isinstance(configuration, Mapping) else {}


def entries_of(spec: Mapping[str, Any], pool: str) -> list[Any]:
    """The entries of `fleets` that hold for a pool."""
    configuration = configuration_of(spec)
    owner: Any = configuration
    if pool != SERVICE:
        named = (entry for name, entry in named_groups(configuration) if name == pool)
        owner = next(named, {})
    entries = owner.get("fleets")
    if entries is None and pool == SERVICE and isinstance(spec.get("profile"), Mapping):
        entries = spec["profile"].get("fleets")
    return list(entries) if isinstance(entries, list) else []


def lanes_of(spec: Mapping[str, Any], pool: str) -> list[LaneView]:
    """The lanes of a pool, as they are listed."""
    lanes = []
    for entry in entries_of(spec, pool):
        values = entry if isinstance(entry, Mapping) else {}
        most = values.get("max_replicas")
        lanes.append(
            LaneView(
                fields.lane_name(entry),
                whole(values.get("priority")),
                whole(values.get("min_replicas")),
                None if most is None else whole(most),
            )
        )
    return lanes


def counted_groups(configuration: Mapping[str, Any]) -> list[Any]:
    """Replica groups as dstack 0.20 has them: a list under `replicas`, each with a `count`.

    Returns:
        The list; empty where `replicas` is a count or a range.
    """
    replicas = configuration.get("replicas")
    return replicas if isinstance(replicas, list) else []


def named_groups(configuration: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Replica groups by name; one without a name has its number for one."""
    listed = counted_groups(configuration) or configuration.get("groups")
    if not isinstance(listed, list):
        return []
    return [
        (str(entry.get("name") or number), entry)
        for number, entry in enumerate(listed)
        if isinstance(entry, Mapping)
    ]


def group_view(
    name: str, entry: Mapping[str, Any], *, named: bool, count: str = "replicas"
) -> GroupView:
    """A replica group, or a service without groups, as its one."""
    least, greatest = counts(entry.get(count))
    return GroupView(
        name=name,
        named=named,
        least=least,
        greatest=greatest,
        router=named and entry.get("router") is not None,
        own_lanes=named and bool(entry.get("fleets")),
        spot_policy=entry.get("spot_policy"),
        reservation=entry.get("reservation"),
        scaled=entry.get("scaling") is not None,
    )


def counts(replicas: Any) -> tuple[int, int | None]:
    """The least and the greatest count of `replicas` as the server sends it; one for nothing."""
    if isinstance(replicas, Mapping):
        most = replicas.get("max")
        return whole(replicas.get("min")), None if most is None else whole(most)
    if replicas is None:
        return 1, 1
    return whole(replicas), whole(replicas)


def whole(value: Any) -> int:
    """A number that is one; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
