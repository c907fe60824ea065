"""Replicas whose address others are given when they start, and keep though it is gone.

dstack fills in `${{ groups[0].replicas[1].IP_ADDRESS }}` in commands when a replica starts: the
second of the group's replicas by number. The workers of a Dynamo router are given its address too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .specification import ServiceSpec

_ADDRESS = re.compile(r"(?<!\$)\$\{\{\s*groups\[(\d+)\]\.replicas\[(\d+)\]\.IP_ADDRESS\s*\}\}")
_DYNAMO = "dynamo"


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
