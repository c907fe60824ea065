"""Short ways to say what a service looks like, and to carry out what the engine says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

from dstack_placement.engine import (
    Action,
    Group,
    Lane,
    Plan,
    Replica,
    ReplicaState,
    Room,
    Service,
    next_actions,
)

NOW = datetime(2026, 1, 1, 14, 4, 30, tzinfo=timezone.utc)
READY, PENDING, STARTING = ReplicaState.READY, ReplicaState.PENDING, ReplicaState.STARTING

#: The lanes of a reserved baseline with spot overflow.
BURST = (Lane("reserved", min_replicas=1, priority=10), Lane("spot"))


def replicas(text: str, *, group: str = "0", first: int = 0) -> tuple[Replica, ...]:
    """Replicas by fleet: `reserved spot/starting spot/ready/old -` (`-` has no fleet)."""
    made = []
    for number, word in enumerate(text.split(), first):
        fleet, *rest = word.split("/")
        state = PENDING if fleet == "-" else READY
        for name in rest:
            if name != "old":
                state = ReplicaState(name)
        where = None if fleet == "-" else fleet
        made.append(Replica(f"r{number}", number, group, state, where, "old" in rest))
    return tuple(made)


def service(
    lanes: tuple[Lane, ...],
    wanted: int,
    now: str = "",
    *,
    room: dict[str, int | Room | None] | None = None,
) -> Service:
    """A service with one group."""
    rooms = {
        fleet: more if isinstance(more, Room) else Room(more)
        for fleet, more in (room or {}).items()
    }
    return Service(lanes, (Group(wanted=wanted),), replicas(now), rooms)


def where(plan: Plan) -> dict[str, str]:
    """What each replica does, in short: `r0: stay`, `new-3: start spot (fallback)`."""
    said = {}
    for row in plan.replicas:
        text = row.action.value
        if row.to is not None:
            text += f" {row.to}"
        if row.reason is not None and row.action is Action.START:
            text += f" ({row.reason.value})"
        said[row.replica.key] = text
    return said


def counts(service: Service) -> Counter[str | None]:
    """Replicas per fleet that are not stopping."""
    return Counter(
        replica.fleet for replica in service.replicas if replica.state is not ReplicaState.STOPPING
    )


def without_moves(plan: Plan) -> Plan:
    """The plan with nothing but its starts and stops."""
    rows = [
        replace(row, action=Action.STAY, to=None) if row.action is Action.MOVE else row
        for row in plan.replicas
    ]
    return replace(plan, replicas=tuple(rows))


def carry_out(service: Service, plan: Plan, *, start: ReplicaState = STARTING) -> Service:
    """The service after the server has done what a plan says; starts take room, stops give none."""
    after: list[Replica] = []
    taken: Counter[str] = Counter()
    number = max((replica.number for replica in service.replicas), default=-1) + 1
    for row in plan.replicas:
        replica = row.replica
        if row.action is Action.STOP:
            continue
        if row.to is None:
            after.append(replica)
            continue
        taken[row.to] += 1
        if row.action is Action.START and not row.new:
            after.append(replace(replica, fleet=row.to, state=start))
            continue
        if row.action is Action.MOVE:
            after.append(replica)
        after.append(Replica(f"r{number}", number, replica.group, start, row.to))
        number += 1
    rooms = {
        fleet: replace(
            room,
            more=None if room.more is None else room.more - taken[fleet],
            more_of={group: more - taken[fleet] for group, more in room.more_of.items()},
        )
        for fleet, room in service.rooms.items()
    }
    return replace(service, replicas=tuple(after), rooms=rooms)


def all_ready(service: Service) -> Service:
    """The service once everything that starts has become ready."""
    ready = [
        replace(replica, state=READY) if replica.fleet is not None else replica
        for replica in service.replicas
        if replica.state is not ReplicaState.STOPPING
    ]
    return replace(service, replicas=tuple(ready))


def settle(
    service: Service,
    *,
    rebalance: bool = False,
    watch: Callable[[Service], None] = lambda service: None,
) -> Service:
    """Carries out what the engine says until it says nothing more; everything starts well."""
    for _ in range(200):
        plan = next_actions(service, now=NOW, rebalance=rebalance)
        moved = carry_out(service, plan)
        watch(moved)
        ready = all_ready(moved)
        watch(ready)
        if ready == service:
            return service
        service = ready
    raise AssertionError("the engine does not come to rest")
