"""Replicas that a plan moves or stops while others keep their address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dstack_api_client.edits.outlook.outlooks import DryRun, ReplicaOutlook
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.labels import listed
from dstack_api_client.text import one_line
from dstack_placement.engine import held_addresses

_DOES = {"move": "moves", "stop": "stops"}


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
