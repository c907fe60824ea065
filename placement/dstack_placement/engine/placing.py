"""Placing: which lane a replica without one gets, and why."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from .board import Block, Board, LaneCount, Pool
from .explain import Skipped
from .model import Replica, Service
from .stopping import next_out_of_date


class Reason(str, Enum):
    """Why a replica gets the lane it gets."""

    BASELINE = "baseline"  # restores a minimum
    PRIORITY = "priority"  # the first lane by priority that is below its maximum
    FALLBACK = "fallback"  # a lane before it has no room or cools down
    PENDING = "pending"  # fits nowhere


@dataclass(frozen=True, slots=True)
class Placing:
    """Where one replica goes.

    Attributes:
        replica: The replica.
        fleet: The lane's fleet; None while it fits nowhere.
        reason: Why there.
        why: The same in words, with the cause.
        cause: The cause alone: of one for a minimum, without which of how many it is.
    """

    replica: Replica
    fleet: str | None
    reason: Reason
    why: str
    cause: str


def place(service: Service, key: str, *, now: datetime) -> Placing:
    """Places one replica, as if it were the first of those that wait for a lane.

    What other waiting replicas need for minimums stays free, and what waiting routers get: their
    workers follow them. So replicas that are placed one after the other, in any order, end up where
    they would if they were placed together.

    Args:
        service: The service as it is; the replica is among its replicas and has no fleet.
        key: The replica's key.
        now: The time, for cooldowns.

    Raises:
        LookupError: No replica of the key waits for a lane.
    """
    board = Board(service, now)
    for group, pool in board.pool_of.items():
        for replica in pool.unplaced[group]:
            if replica.key == key:
                return place_waiting(board, new_replicas(board), first=replica)[0]
    raise LookupError(f"No replica {key} waits for a lane.")


def new_replicas(board: Board, *, without_lanes: bool = False) -> list[Replica]:
    """Replicas that are desired and not there yet, with the numbers they would get.

    A group in a rolling deployment gets none: the deployment itself starts what it needs.

    Args:
        board: The board.
        without_lanes: Also those of groups without lanes, which the server's own rule places.
    """
    number = max((replica.number for replica in board.service.replicas), default=-1)
    new = []
    for group in board.service.groups:
        if group.name in board.rolling or not (without_lanes or group.name in board.pool_of):
            continue
        for _ in range(group.wanted - len(board.active[group.name])):
            number += 1
            new.append(Replica(f"new-{number}", number, group.name))
    return new


def place_waiting(
    board: Board, new: list[Replica], *, first: Replica | None = None
) -> list[Placing]:
    """Places all replicas without a lane, and changes the board so.

    Args:
        board: The board.
        new: Replicas to start that are not on the board yet.
        first: Goes before all others.

    Returns:
        One entry per replica, those of minimums first, then routers, then the rest, each by pool;
        just the one of `first` where it is given.
    """
    queues: dict[str, deque[Replica]] = {}
    for pool in board.pools:
        waiting = [replica for group in pool.groups for replica in pool.unplaced[group.name]]
        waiting += [replica for replica in new if board.pool_of[replica.group] is pool]
        waiting.sort(key=lambda replica: (replica is not first, replica.number, replica.key))
        queues[pool.name] = deque(waiting)
        _discount_leaving(board, pool)
    placed: list[Placing] = []
    fallen: dict[str, deque[tuple[str, str]]] = {}
    for pool in board.pools:
        fallen[pool.name] = deque()
        _fill_minimums(board, pool, queues[pool.name], placed, fallen[pool.name])
    if first is not None:
        if placed_first := [placing for placing in placed if placing.replica is first]:
            return placed_first
        if not board.groups[first.group].router:
            _fill_routers(board, queues, placed, fallen)
        pool = board.pool_of[first.group]
        _fill_by_priority(board, pool, deque([first]), placed, fallen[pool.name])
        return placed[-1:]
    _fill_routers(board, queues, placed, fallen)
    for pool in board.pools:
        _fill_by_priority(board, pool, queues[pool.name], placed, fallen[pool.name])
    return placed


def _fill_routers(
    board: Board,
    queues: dict[str, deque[Replica]],
    placed: list[Placing],
    fallen: dict[str, deque[tuple[str, str]]],
) -> None:
    """Takes the routers out of the queues and places them, so that workers can follow them."""
    for pool in board.pools:
        routers: deque[Replica] = deque()
        others: deque[Replica] = deque()
        for replica in queues[pool.name]:
            (routers if board.groups[replica.group].router else others).append(replica)
        queues[pool.name] = others
        _fill_by_priority(board, pool, routers, placed, fallen[pool.name])


def _discount_leaving(board: Board, pool: Pool) -> None:
    """Counts out-of-date workers that a waiting replica is about to relieve as gone already."""
    for group in pool.groups:
        if group.name in board.rolling and not group.router and pool.unplaced[group.name]:
            leaving = next_out_of_date(board, pool, group.name)
            if leaving is not None and leaving.fleet in pool.by_fleet:
                pool.by_fleet[leaving.fleet].leaving += 1


def _fill_minimums(
    board: Board,
    pool: Pool,
    queue: deque[Replica],
    placed: list[Placing],
    fallen: deque[tuple[str, str]],
) -> None:
    """Minimums first, by priority, while replicas last.

    `fallen` gets what could not be filled: why, and the cause.
    """
    for count in pool.lanes:
        passed: list[Replica] = []
        while count.missing and queue:
            replica = queue.popleft()
            if board.groups[replica.group].router:
                passed.append(replica)
                continue
            block = board.block(count, replica.group)
            if block is Block.FULL and board.block(count, "") is None:
                passed.append(replica)  # a single group's limit: another's replica may fit
                continue
            if block is not None:
                queue.appendleft(replica)
                break
            board.put(count, replica)
            least = count.lane.min_replicas
            why = f"baseline {least - count.missing} of {least}"
            placed.append(Placing(replica, count.lane.fleet, Reason.BASELINE, why, ""))
        queue.extendleft(reversed(passed))
        short = min(count.missing, len(queue))
        if short:
            group = next((r.group for r in queue if not board.groups[r.group].router), None)
            full = Skipped(board, group or "")
            full.next_of([count])
            if group is None or not full.lacking:  # a lane at its maximum has what it may have
                continue
            least = count.lane.min_replicas
            for nth in range(least - count.missing + 1, least - count.missing + 1 + short):
                fallen.append((f"baseline {nth} of {least}: {full.cause}", full.cause))


def _fill_by_priority(
    board: Board,
    pool: Pool,
    queue: deque[Replica],
    placed: list[Placing],
    fallen: deque[tuple[str, str]],
) -> None:
    """The rest by priority; lanes that are skipped stay so, as they only get fuller."""
    skipped: dict[str, Skipped] = {}
    usual = "first by priority" if len(pool.lanes) > 1 else "the only fleet"
    for replica in queue:
        group = replica.group
        if group not in skipped:
            skipped[group] = Skipped(board, group)
        before = skipped[group]
        count = before.next_of(pool.lanes)
        cause, lacking = before.cause, before.lacking
        if count is None:
            placed.append(_exceed(board, pool, replica, cause, lacking=lacking))
            continue
        board.put(count, replica)
        reason, why = Reason.PRIORITY, cause or usual
        because = why
        if fallen and not board.groups[group].router:
            reason, (why, because) = Reason.FALLBACK, fallen.popleft()
        elif lacking:
            reason = Reason.FALLBACK
        placed.append(Placing(replica, count.lane.fleet, reason, why, because))


def _exceed(board: Board, pool: Pool, replica: Replica, cause: str, *, lacking: bool) -> Placing:
    """The extra replica of a rolling deployment that fits nowhere.

    It goes one above the maximum of a lane that holds what it relieves; otherwise a deployment on
    lanes whose maximums are all in use could not begin.
    """
    group = replica.group
    if group in board.rolling and len(board.active[group]) > board.groups[group].wanted:
        for count in pool.lanes:
            if _may_exceed(board, count, group):
                board.put(count, replica)
                why = f"{cause}; one above it while the deployment replaces a replica there"
                reason = Reason.FALLBACK if lacking else Reason.PRIORITY
                return Placing(replica, count.lane.fleet, reason, why, why)
    return Placing(replica, None, Reason.PENDING, cause, cause)


def _may_exceed(board: Board, count: LaneCount, group: str) -> bool:
    return (
        count.count == count.lane.max_replicas
        and count.cooldown is None
        and board.rooms.fits(count.lane.fleet, group)
        and any(replica.out_of_date for replica in count.members.get(group, ()))
    )
