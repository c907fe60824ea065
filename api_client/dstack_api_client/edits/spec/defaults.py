"""What is in force where a configuration leaves a field out.

A spec has null for a field that nobody wrote, and dstack takes its default for it, the profile's
value, or for a replica group the service's (0.22.5, `core/models/configurations.py` and
`core/models/profiles.py`). What a plan shows as the old or the new value is that, with where it
comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_api_client.analysis.spot_policies import PolicySource
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.fields import Path
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.model.profile import in_profile
from dstack_placement.engine import LANE_COLUMNS, Reclaim, mapping

#: Of a service.
_SERVICE: Mapping[str, Any] = {
    "priority": 0,
    "spot_policy": "on-demand",
    "retry": False,
    "max_duration": "off",
    "stop_duration": "5m",
    "idle_duration": "5m",
    "creation_policy": "reuse-or-create",
    "docker": False,
    "nvcc": False,
    "https": True,
    "reclaim": Reclaim.OFF.value,
}
_FLEET: Mapping[str, Any] = {"spot_policy": "on-demand"}
_LANE: Mapping[str, Any] = {each.name: each.default for each in LANE_COLUMNS}
#: What a replica group takes from its service.
_OF_SERVICE = frozenset(
    {"spot_policy", "reservation", "image", "python", "nvcc", "docker", "privileged"}
)
_SCALING: Mapping[str, Any] = {"window": 60}


def in_force(path: Path, spec: Mapping[str, Any]) -> tuple[Any, str] | None:
    """The value that is in force for a field without one, and in a word where it comes from.

    Args:
        path: The field.
        spec: The spec that says nothing of it.

    Returns:
        None where nothing is in force, where it is not known, and where what the field belongs to
        is not there.
    """
    configuration = configuration_of(spec)
    match path:
        case ("configuration", name):
            return _of_top(name, spec)
        case ("configuration", "scaling", name):
            return _default(_SCALING, name) if configuration.get("scaling") else None
        case ("configuration", "fleets", lane, name):
            return (
                _default(_LANE, name) if _entry(configuration, "fleets", lane) is not None else None
            )
        case ("configuration", "groups", group, *rest):
            return _of_group(_entry(configuration, "groups", group), rest, spec)
    return None


def _of_top(name: str, spec: Mapping[str, Any]) -> tuple[Any, str] | None:
    value = in_profile(spec, name)
    if value is not None:
        return value, PolicySource.PROFILE.value
    configuration = configuration_of(spec)
    if configuration.get("type") == "fleet":
        return _default(_FLEET, name)
    if name == "replicas":
        return None if configuration.get("groups") else (1, PolicySource.DEFAULT.value)
    return _default(_SERVICE, name)


def _of_group(
    group: Mapping[str, Any] | None, rest: list[str], spec: Mapping[str, Any]
) -> tuple[Any, str] | None:
    if group is None:
        return None
    match rest:
        case ["scaling", name]:
            return _default(_SCALING, name) if group.get("scaling") else None
        case ["fleets", lane, name]:
            return _default(_LANE, name) if _entry(group, "fleets", lane) is not None else None
        case [name] if name in _OF_SERVICE:
            value = configuration_of(spec).get(name)
            if value is not None:
                return value, PolicySource.SERVICE.value
            return _of_top(name, spec)
    return None


def _default(known: Mapping[str, Any], name: str) -> tuple[Any, str] | None:
    value = known.get(name)
    return None if value is None else (value, PolicySource.DEFAULT.value)


def _entry(owner: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any] | None:
    """An entry of a list that is keyed by names; None where there is none of the name."""
    entries = fields.entries_of(key, owner.get(key))
    return mapping(entries[name]) if name in entries else None
