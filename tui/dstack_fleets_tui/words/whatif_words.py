"""What a loss, or more replicas, would do to services, in words: for screens and for commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dstack_api_client.model.labels import counted, group_label, labels_of
from dstack_api_client.model.service import Service
from dstack_api_client.whatif import Ending, GivingWay, Loss, Outcome, Start

_ENDS = {
    Ending.NO_RETRY: "it ends, since a replica is lost and its `retry` does not cover that",
    Ending.NO_ROOM: "it ends, since a replica finds no room and its `retry` does not cover that",
    Ending.NOTHING_LEFT: "it ends, since no replica is left and none of its lanes has room",
}


def lost(loss: Loss, outcomes: Sequence[Outcome]) -> str:
    """`Without gpu-spot: 2 instances and 3 replicas are lost.`; empty where nothing is lost."""
    if not loss.names:
        return ""
    replicas = counted(sum(each.lost for each in outcomes), "replica")
    instances = counted(len(loss.instances), "instance")
    return f"Without {', '.join(loss.names)}: {instances} and {replicas} are lost."


def outcome(found: Outcome) -> str:
    """What becomes of a service in a word or two."""
    if found.ending is not None:
        return "ends"
    if found.broken:
        return "minimum broken"
    if found.waits:
        return "waits"
    return "gives way" if found.gives else "holds"


def starts(found: Outcome) -> str:
    """`4 in gpu-spot (decode)`: where replicas start; empty where none does."""
    return ", ".join(_start(found.service, each) for each in found.starts)


def _start(service: Service, start: Start) -> str:
    where = f"{start.count} in {start.fleet or 'a fleet that dstack chooses'}"
    label = labels_of(service.groups).get(start.group)
    return f"{where} ({label})" if label else where


def said(found: Outcome) -> list[str]:
    """What there is to say of a service beside its row, a sentence each."""
    lines = []
    if found.ending is not None:
        lines.append(f"{_ENDS[found.ending]}.")
    for each in found.broken:
        lane = f"{_pool(found.service, each.pool)}{each.fleet}"
        lines.append(f"{lane} holds {each.held} of its minimum of {each.minimum}.")
    if found.waits:
        them = counted(found.waits, "replica")
        lines.append(f"{them} wait{'s' if found.waits == 1 else ''}: {found.why or 'no room'}.")
    unsure = sorted({each.fleet for each in found.starts if each.fleet and not each.sure})
    if unsure:
        lines.append(f"the room in {', '.join(unsure)} is not known.")
    lines += _giving_way(found)
    moves = found.moves - len(found.gives)
    if moves:
        them = counted(moves, "replica")
        lines.append(f"{them} move{'s' if moves == 1 else ''} to keep its minimums.")
    if found.unplaced:
        them = counted(found.unplaced, "replica")
        lines.append(
            f"on which instance {them} run{'s' if found.unplaced == 1 else ''} is not known."
        )
    return lines


def _giving_way(found: Outcome) -> Iterator[str]:
    """Who gives way to a service, and to whom it gives way itself."""
    for (service, fleet, to), ways in _grouped(found.reclaims, "service").items():
        them, s = _replicas(ways, f" of {service}")
        yield f"{them} give{s} way to its minimum in {fleet} and move{s} to {to}."
    for (short, fleet, to), ways in _grouped(found.gives, "short").items():
        them, s = _replicas(ways)
        yield f"{them} give{s} way to {short} in {fleet} and move{s} to {to}."


def _grouped(
    ways: Iterable[GivingWay], whom: str
) -> Mapping[tuple[str, str, str], list[GivingWay]]:
    found: dict[tuple[str, str, str], list[GivingWay]] = {}
    for way in ways:
        found.setdefault((getattr(way, whom), way.fleet, way.to), []).append(way)
    return found


def _replicas(ways: Sequence[GivingWay], of: str = "") -> tuple[str, str]:
    """Who gives way, and the ending of what it does."""
    if len(ways) == 1:
        return f"replica {ways[0].number}{of}", "s"
    return f"{len(ways)} replicas{of}", ""


def _pool(service: Service, pool: str) -> str:
    role = next((group.role for group in service.groups if group.name == pool), None)
    return f"{group_label(pool, role)}/" if pool else ""
