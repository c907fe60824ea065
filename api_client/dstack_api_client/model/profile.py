"""What a profile sets for a fleet or a run, where the configuration says nothing.

dstack's CLI sends the profile beside the configuration, and the server merges the two, field by
field (0.22.5, `ProfileParams` in `core/models/profiles.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_api_client.model.configuration import as_yaml, readable
from dstack_placement.engine import mapping

#: The fields that a profile may set.
FIELDS = (
    "backends",
    "regions",
    "availability_zones",
    "instance_types",
    "reservation",
    "spot_policy",
    "retry",
    "max_duration",
    "stop_duration",
    "max_price",
    "creation_policy",
    "idle_duration",
    "utilization_policy",
    "startup_order",
    "stop_criteria",
    "schedule",
    "fleets",
    "instances",
    "tags",
    "backend_options",
)
#: Stands behind a value that comes from the profile.
MARK = " (profile)"
_TITLE = "From the profile, in force where nothing else is said above:"


def of_profile(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the profile that are in force, as received.

    Args:
        spec: The spec of a fleet or a run.
    """
    profile, configuration = mapping(spec.get("profile")), mapping(spec.get("configuration"))
    return {
        name: profile[name]
        for name in FIELDS
        if profile.get(name) is not None and configuration.get(name) is None
    }


def in_profile(spec: Mapping[str, Any], name: str) -> Any:
    """What the profile says of a field; None where it says nothing, or may not."""
    return mapping(spec.get("profile")).get(name) if name in FIELDS else None


def spec_yaml(spec: Mapping[str, Any]) -> str:
    """The configuration as YAML, and below it as remarks what the profile adds; secrets masked."""
    text = as_yaml(mapping(spec.get("configuration")))
    added = readable(of_profile(spec))
    if not added:
        return text
    return text + "".join(f"# {line}\n" for line in (_TITLE, *as_yaml(added).splitlines()))
