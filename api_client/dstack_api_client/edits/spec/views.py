"""Lanes and replica groups as they stand in a service's spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.edits.spec import fields
from dstack_placement.engine import LANE_COLUMNS, SHARED, GroupSpec, Lane, mapping

#: What a lane says besides its fleet.
LANE_FIELDS = tuple(each.name for each in LANE_COLUMNS)
#: The pool of the service's own lanes; other pools are named by their replica group.
SERVICE = SHARED


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
    return mapping(spec.get("configuration"))


def lane_of(entry: object) -> Lane:
    """A lane as it stands in the spec, be its numbers such that they are refused."""
    values = mapping(entry)
    said = {
        field.name: field.number(values[field.name]) or 0
        for field in LANE_COLUMNS
        if values.get(field.name) is not None
    }
    return Lane.of(fields.lane_name(entry), said)


def group_view(group: GroupSpec, configuration: Mapping[str, Any]) -> GroupView:
    """A replica group, or a service without groups, as its one."""
    entry = group.entry if group.named else configuration
    return GroupView(
        name=group.name,
        named=group.named,
        least=group.least,
        greatest=group.greatest,
        router=group.router,
        own_lanes=group.own_lanes,
        spot_policy=entry.get("spot_policy"),
        reservation=entry.get("reservation"),
        scaled=entry.get("scaling") is not None,
    )


def whole(value: Any) -> int:
    """A number that is one; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
