"""What the replica groups of an edited service do: prefill, decode, encode, or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dstack_api_client.join.runs import groups_of, service_spec
from dstack_api_client.transport import wire


def roles_in(spec: Mapping[str, Any]) -> dict[str, str]:
    """By group, as the commands or names of a spec tell; nothing of groups that don't tell."""
    try:
        read = msgspec.convert(spec, wire.RunSpec, strict=False)
    except msgspec.ValidationError:  # somebody types it just now, or it is of another version
        return {}
    groups = groups_of(read, service_spec(read))
    return {group.name: group.role for group in groups if group.role is not None}
