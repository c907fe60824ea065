"""The spec that a preview tries: a run's own, with the lanes and counts that are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.configurations import ReplicaGroup, ServiceConfiguration
from dstack._internal.core.models.resources import Range
from dstack._internal.core.models.runs import RunSpec
from pydantic import ValidationError

from dstack_placement.server.answers import answers

#: dstack wants a scaling rule beside a range; which one plays no part in a preview.
_ANY_RULE = {"metric": "rps", "target": 1}


def tried_spec(spec: RunSpec, asked: answers.PreviewRequest) -> RunSpec:
    """The spec with what is asked for in it; the one that was given is not changed.

    Raises:
        ServerClientError: The run is not a service, a group does not exist, a count is negative, or
            the lanes can't be read.
    """
    if not isinstance(spec.configuration, ServiceConfiguration):
        raise ServerClientError("The run is not a service. Name one.")
    data = spec.model_dump()
    configuration = data["configuration"]
    if asked.fleets is not None:
        configuration["fleets"] = asked.fleets
    groups = {group["name"]: group for group in configuration.get("groups") or []}
    names = {group.name for group in spec.configuration.replica_groups}
    unknown = sorted(({*asked.group_fleets} - {*groups}) | ({*asked.replicas} - names))
    if unknown:
        raise ServerClientError(
            f"The run has no group {', '.join(unknown)}. Use one of: {', '.join(sorted(names))}."
        )
    for name, fleets in asked.group_fleets.items():
        groups[name]["fleets"] = fleets
    for group in spec.configuration.replica_groups:
        count = asked.replicas.get(str(group.name))
        if count is not None:
            _put_count(groups.get(group.name, configuration), count, group)
    try:
        return RunSpec.model_validate(data)
    except ValidationError as error:
        raise ServerClientError(f"The lanes can't be read: {error.errors()[0]['msg']}.") from error


def tried_counts(
    spec: RunSpec, asked: answers.PreviewRequest, desired: Mapping[str, int]
) -> dict[str, int]:
    """The replicas desired by group where the counts are to be tried; in a range as few changes.

    Args:
        spec: The run's own spec.
        asked: What is asked for.
        desired: What dstack wants now, by group; empty until it has decided.
    """
    stored = {group.name: group.replicas for group in _groups(spec.configuration)}
    counts = {}
    for name, count in asked.replicas.items():
        least = count.min or 0
        wanted = max(desired.get(name, stored[name].min or 0), least)
        counts[name] = wanted if count.max is None else min(wanted, count.max)
    return counts


def _put_count(owner: dict[str, Any], count: Range[int], group: ReplicaGroup) -> None:
    if (count.min or 0) < 0:
        raise ServerClientError(
            f"The count of group {group.name} is negative ({count.min}). Write 0 or more."
        )
    replicas = _judged_by(count, group.replicas)
    owner["replicas"] = replicas.model_dump()
    if replicas.min == replicas.max:
        owner["scaling"] = None
    elif owner.get("scaling") is None:
        owner["scaling"] = _ANY_RULE


def _judged_by(count: Range[int], stored: Range[int]) -> Range[int]:
    """The range that the lanes are checked against.

    A single count on a service that scales is one that the autoscaler may choose: the range stays,
    and is widened when the count is outside of it.
    """
    if count.min != count.max or stored.min == stored.max or count.min is None:
        return count
    greatest = None if stored.max is None else max(stored.max, count.min)
    return Range[int](min=min(stored.min or 0, count.min), max=greatest)


def _groups(configuration: object) -> list[ReplicaGroup]:
    assert isinstance(configuration, ServiceConfiguration)
    return configuration.replica_groups
