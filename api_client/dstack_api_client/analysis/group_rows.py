"""A service without lanes by its replica groups: what each should have and has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.analysis.reach import serving
from dstack_api_client.model.labels import listed, replica_name
from dstack_api_client.model.purchases import baselines, differ
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot


@dataclass(frozen=True)
class GroupRow:
    """What one replica group holds, against what it should.

    Attributes:
        group: The group, with its limits and how it is bought.
        fleets: The fleets that its replicas are in, most of them first.
        fleet_id: The first of these; None without any.
        running: Replicas that run.
        ready: Of those, the ones that are ready.
        serving: Of these, those that can be reached.
        pending: Replicas that are to run and don't yet.
        stopping: Replicas that are going.
        price: Dollars per hour of these replicas.
        is_baseline: Whether it is to be there whatever becomes of spot capacity.
        lacks: Replicas that its minimum lacks; those that start are lacking until they run.
        since: Since when the longest of them waits, as far as its last two submissions tell.
        reason: What it waits for, one line; empty for nothing.
    """

    group: Group
    fleets: tuple[str, ...]
    fleet_id: str | None
    running: int
    ready: int
    serving: int
    pending: int
    stopping: int
    price: float
    is_baseline: bool
    lacks: int
    since: datetime | None
    reason: str


def group_rows(snapshot: Snapshot, service: Service) -> tuple[GroupRow, ...]:
    """The groups of a service in its order; none where all are bought alike.

    Args:
        snapshot: Where the service is.
        service: The service.
    """
    if not differ(service.groups):
        return ()
    firm = baselines(service)
    every = snapshot.replicas_of(service)
    rows = []
    for group in service.groups:
        of_group = [replica for replica in every if replica.group == group.name]
        here = [each for each in of_group if each.active and not each.found_no_place]
        # Between two attempts to find a place: the one has failed, or is about to.
        between = [replica for replica in of_group if replica.found_no_place]
        missing = max(group.replicas_min - len(here), 0)
        waiting = between[:missing]
        rows.append(_row(snapshot, service, group, here, waiting, is_baseline=group.name in firm))
    return tuple(rows)


def _row(
    snapshot: Snapshot,
    service: Service,
    group: Group,
    replicas: Sequence[Replica],
    between: Sequence[Replica],
    *,
    is_baseline: bool,
) -> GroupRow:
    fleets = Counter((r.fleet_name, r.fleet_id) for r in replicas if r.fleet_name is not None)
    ordered = sorted(fleets, key=lambda fleet: (-fleets[fleet], fleet[0] or ""))
    running = [replica for replica in replicas if replica.status == "running"]
    starting = [replica for replica in replicas if replica.starting]
    waiting = [] if service.gone else [*starting, *between]
    lacks = 0 if service.gone else max(group.replicas_min - len(running), 0)
    return GroupRow(
        group=group,
        fleets=tuple(name for name, _ in ordered if name is not None),
        fleet_id=ordered[0][1] if ordered else None,
        running=len(running),
        ready=sum(replica.ready for replica in running),
        serving=serving(snapshot, running),
        pending=len(waiting),
        stopping=len(replicas) - len(running) - len(starting),
        price=sum((replica.price or 0.0 for replica in replicas), 0.0),
        is_baseline=is_baseline,
        lacks=lacks,
        since=min((replica.since for replica in waiting), default=None),
        reason=_reason(waiting),
    )


def _reason(waiting: Sequence[Replica]) -> str:
    """What replicas wait for, each cause once with the replicas that it holds back."""
    causes: dict[str, list[str]] = {}
    for replica in waiting:
        causes.setdefault(waits_as(replica), []).append(replica_name(replica))
    if len(causes) == 1:
        return next(iter(causes))
    return "; ".join(f"{listed(names)}: {cause}" for cause, names in causes.items())


def waits_as(replica: Replica) -> str:
    """Why a replica does not run yet, in a few words."""
    if replica.has_place and replica.active:
        return replica.message or replica.status
    told = replica.message_of_search
    return f"no place yet: {told}" if told else "no place yet"
