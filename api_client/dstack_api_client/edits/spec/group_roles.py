"""What the replica groups of an edited service do, and what they are called for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dstack_api_client.edits.spec import fields
from dstack_api_client.join.runs import groups_of, service_spec
from dstack_api_client.model.labels import labels_of
from dstack_api_client.model.service import Group
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_placement.engine import ServiceSpec

#: Where replica groups stand; under `replicas` on dstack 0.20.
GROUPS = ("groups", "replicas")


def roles_in(spec: Mapping[str, Any]) -> dict[str, str]:
    """By group, as the commands or names of a spec tell; nothing of groups that don't tell."""
    return {group.name: group.role for group in groups_in(spec) if group.role is not None}


def labels_in(*specs: Mapping[str, Any]) -> dict[str, str]:
    """What the groups of specs are called, by name; of one that several have, as the last does."""
    return {name: label for spec in specs for name, label in labels_of(groups_in(spec)).items()}


def label_of(path: fields.Path, labels: Mapping[str, str]) -> str:
    """The name of a field for people, groups by what they are called: `groups 1 prefill replicas`.

    Args:
        path: Where the field is in the spec.
        labels: What the groups are called, by name.
    """
    if len(path) >= 3 and path[1] in GROUPS:
        path = (*path[:2], labels.get(path[2], path[2]), *path[3:])
    return one_line(fields.name_of(path))


def groups_in(spec: Mapping[str, Any], lanes: ServiceSpec | None = None) -> Sequence[Group]:
    """The replica groups of a spec; none where it can't be read.

    Args:
        spec: The whole spec.
        lanes: What it says of groups and lanes, where that was read already.
    """
    try:
        read = msgspec.convert(spec, wire.RunSpec, strict=False)
    except msgspec.ValidationError:  # somebody types it just now, or it is of another version
        return ()
    return groups_of(read, lanes or service_spec(read))
