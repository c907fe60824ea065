"""Replicas whose address others are given when they start, and keep though it is gone.

dstack fills in `${{ groups[0].replicas[1].IP_ADDRESS }}` in commands when a replica starts: the
second of the group's replicas by number. The workers of a Dynamo router are given its address too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.edits.outlook.dryrun import DryRun, ReplicaOutlook
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.labels import listed
from dstack_api_client.text import one_line
from dstack_placement.engine import ServiceSpec

_ADDRESS = re.compile(r"(?<!\$)\$\{\{\s*groups\[(\d+)\]\.replicas\[(\d+)\]\.IP_ADDRESS\s*\}\}")
_DYNAMO = "dynamo"
_DOES = {"move": "moves", "stop": "stops"}


@dataclass(frozen=True, slots=True)
class HeldAddress:
    """The address of one replica of a group.

    Attributes:
        group: The group's name.
        slot: Which of its replicas by number, from 0.
        holders: The groups whose replicas are given it.
    """

    group: str
    slot: int
    holders: tuple[str, ...]


def held_addresses(configuration: Mapping[str, Any]) -> tuple[HeldAddress, ...]:
    """The addresses that replicas of a service are given of one another."""
    groups = ServiceSpec.read(configuration).groups
    names = [group.name for group in groups]
    found: dict[tuple[str, int], list[str]] = {}
    for group in groups:
        name, entry = group.name, group.entry if group.named else configuration
        for number, slot in _references(entry.get("commands")):
            if number < len(names):
                found.setdefault((names[number], slot), []).append(name)
        router = entry.get("router")
        if isinstance(router, Mapping) and router.get("type") == _DYNAMO:
            found.setdefault((name, 0), []).extend(each for each in names if each != name)
    return tuple(
        HeldAddress(group, slot, tuple(dict.fromkeys(holders)))
        for (group, slot), holders in found.items()
    )


def _references(commands: Any) -> Iterator[tuple[int, int]]:
    """Numbers of the groups and the slots that commands name."""
    for command in commands if isinstance(commands, list) else ():
        for found in _ADDRESS.finditer(str(command)):
            yield int(found[1]), int(found[2])


def lost_addresses(edit: ServiceEdit, outlook: DryRun) -> Iterator[str]:
    """A line for each replica that goes while others go on with its address.

    Args:
        edit: The edit, or one that changes nothing.
        outlook: What it would do, with the `surges` of its rolling deployments.
    """
    labels = edit.base.read.labels
    rolled = {row.group for row in outlook.surges}
    for held in held_addresses(edit.base.configuration):
        rows = sorted(
            (row for row in outlook.replicas if row.group == held.group and not row.new),
            key=lambda row: row.number,
        )
        row = rows[held.slot] if held.slot < len(rows) else None
        if row is None:
            continue
        does = "is replaced" if held.group in rolled else _DOES.get(row.action)
        left = [
            labels.get(name, name) for name in held.holders if _goes_on(outlook.replicas, name, row)
        ]
        group = labels.get(held.group, held.group)
        if does is not None and left:
            yield (
                f"Replica {row.number} ({one_line(group)}) {does}, and the replicas of"
                f" {one_line(listed(left))} keep its old address until they are replaced: what"
                " they send there fails."
            )


def _goes_on(rows: Iterable[ReplicaOutlook], group: str, gone: ReplicaOutlook) -> bool:
    """Whether a group has replicas that were given the address and do not stop."""
    return any(
        row.group == group and not row.new and row is not gone and row.action != "stop"
        for row in rows
    )
