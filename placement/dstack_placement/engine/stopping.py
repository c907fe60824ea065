"""Stopping: which replicas go when there are more than desired, or out of date."""

from __future__ import annotations

from datetime import datetime

from .board import Board, LaneCount, Pool, stopping_key
from .model import Replica, ReplicaState, Service


def stopping_order(service: Service, group: str, *, now: datetime) -> list[Replica]:
    """All active replicas of a group, who goes first first.

    The caller stops as many from the front as there are too many. In a rolling deployment those
    that are out of date come first: the ones without traffic, then lane by lane by priority, the
    order in which `place` replaces what they leave behind. Else, as when scaling down:

    1. those without a lane, and those in fleets that are no longer lanes;
    2. those that leave a drained instance, then those that give way to another service from lanes
       above their minimum;
    3. from lanes above their maximum, down to it;
    4. from lanes above their minimum, the lowest priority first;
    5. from what is left, the lowest priority first.

    Inside a lane the server's own order applies: out of date, least progressed, highest number.

    Args:
        service: The service as it is.
        group: The group's name.
        now: The time, for cooldowns.

    Raises:
        LookupError: The group has no lanes.
    """
    board = Board(service, now)
    pool = board.pool_of.get(group)
    if pool is None:
        raise LookupError(f"Group {group} has no lanes.")
    ahead = _out_of_date(board, pool, group)
    total = len(board.active[group])
    rest = take_surplus(board, pool, group, total)
    gone = {replica.key for replica in ahead}
    return ahead + [replica for replica in rest if replica.key not in gone]


def next_out_of_date(board: Board, pool: Pool, group: str) -> Replica | None:
    """The replica that a rolling deployment stops next."""
    return next(iter(_out_of_date(board, pool, group)), None)


def take_surplus(board: Board, pool: Pool, group: str, number: int) -> list[Replica]:
    """Takes replicas of a group off the board by the rules of scaling down.

    Returns:
        Those taken, who goes first first.
    """
    taken: list[Replica] = []
    unplaced = pool.unplaced[group]
    unplaced.sort(key=stopping_key, reverse=True)
    strays = pool.strays[group]
    while len(taken) < number and unplaced:
        taken.append(unplaced.pop())
    while len(taken) < number and strays:
        taken.append(strays.pop())
    while len(taken) < number:
        count = next(iter(drained_lanes(board, pool, group)), None)
        if count is None:
            break
        taken.append(board.drop(count, group))
    while len(taken) < number and (giving := lane_giving_way(pool, group)) is not None:
        taken.append(board.drop(giving, group))
    while len(taken) < number:
        count = lane_to_relieve(board, pool, group)
        if count is None:
            break
        # The lane stays the one to relieve for as long as what made it so does.
        over, spare = count.above_maximum, count.above_minimum
        while len(taken) < number and count.members[group]:
            taken.append(board.drop(count, group))
            if (over and not count.above_maximum) or (spare and not count.above_minimum):
                break
    return taken


def drained_lanes(board: Board, pool: Pool, group: str) -> list[LaneCount]:
    """The lanes from which a worker of a group is to move away, from where it goes first first."""
    if board.groups[group].router:
        return []
    found = [
        count
        for count in reversed(pool.lanes)
        if count.drained and count.members.get(group) and count.members[group][-1].leaves
    ]
    return sorted(found, key=lambda count: (not count.above_maximum, not count.above_minimum))


def lane_to_relieve(board: Board, pool: Pool, group: str) -> LaneCount | None:
    """The lane from which a replica of a group goes first; None where it has none."""
    router = board.groups[group].router
    spare: LaneCount | None = None
    last: LaneCount | None = None
    for count in reversed(pool.lanes):
        if not count.members.get(group):
            continue
        if count.above_maximum:
            return count
        if spare is None and (router or count.above_minimum):
            spare = count
        if last is None:
            last = count
    return spare or last


def lane_giving_way(pool: Pool, group: str) -> LaneCount | None:
    """The lane from which a replica of a group gives way to another service, if there is one.

    A lane at or below its minimum gives nothing.
    """
    for count in pool.lanes:
        members = count.members.get(group)
        if members and members[-1].gives_way_to and count.above_minimum:
            return count
    return None


def kept_until_ready(board: Board, group: str, stopped: list[Replica]) -> Replica | None:
    """Of replicas about to be stopped, the one that stays until its relief is ready.

    It is the last that is ready, when fewer would be ready without it than are wanted: so a
    replica that moves is there until the new one is, and a restart between changes nothing.
    """
    gone = {replica.key for replica in stopped}
    ready = sum(
        replica.state is ReplicaState.READY and replica.key not in gone
        for replica in board.active[group]
    )
    if ready >= board.groups[group].wanted:
        return None
    return next((r for r in reversed(stopped) if r.state is ReplicaState.READY), None)


def _out_of_date(board: Board, pool: Pool, group: str) -> list[Replica]:
    place = {count.lane.fleet: count.place for count in pool.lanes}

    def key(replica: Replica) -> tuple[bool, int, tuple[bool, bool, bool, int, int, str]]:
        # What has no lane, or is in a fleet that is none any more, goes before all lanes.
        lane = -1 if replica.fleet is None else place.get(replica.fleet, -1)
        return (replica.state is ReplicaState.READY, lane, stopping_key(replica))

    return sorted((r for r in board.active[group] if r.out_of_date), key=key)
