"""The engine's reasons in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from .board import Block, Board, LaneCount, Pool
from .model import ReplicaState


def clock(time: datetime) -> str:
    """A time of day, in the time zone that the time carries."""
    return time.strftime("%H:%M:%S")


def blocked(board: Board, count: LaneCount, block: Block, group: str = "") -> str:
    """Why a lane is passed over: `a is in cooldown until 14:05:30, no capacity in us-east-1`."""
    fleet = count.lane.fleet
    if block is Block.MAXIMUM:
        return f"{fleet} is at its maximum of {count.lane.max_replicas}"
    if block is Block.COOLDOWN and count.cooldown is not None:
        text = f"{fleet} is in cooldown until {clock(count.cooldown.until)}"
        return f"{text}, {count.cooldown.cause}" if count.cooldown.cause else text
    why = board.rooms.why(fleet, group)
    return f"{fleet} has no room, {why}" if why else f"{fleet} has no room"


def none_idle(states: Sequence[str]) -> str:
    """Why no host of a fleet is to be had: `none of its 3 hosts is idle: 2 busy, 1 unreachable`.

    Args:
        states: The state of each host.
    """
    counts = Counter(states)
    if not states:
        return "it has no host"
    if len(counts) == 1:
        hosts = "its host is" if len(states) == 1 else f"all {len(states)} hosts are"
        return f"{hosts} {states[0]}"
    told = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    return f"none of its {len(states)} hosts is idle: {told}"


def surplus(number: int, wanted: int) -> str:
    """Why replicas stop that are too many: `7 replicas, 5 desired`."""
    return f"{number} replica{'' if number == 1 else 's'}, {wanted or 'none'} desired"


def passed_over(board: Board, counts: Iterable[LaneCount], group: str) -> tuple[str, bool]:
    """Why lanes take no further replica of a group, and whether room or a cool-down is a reason."""
    parts = []
    lacking = False
    for count in counts:
        block = board.block(count, group)
        if block is not None:
            parts.append(blocked(board, count, block, group))
            lacking = lacking or block is not Block.MAXIMUM
    return "; ".join(parts), lacking


def lane_line(board: Board, pool: Pool, count: LaneCount, *, wanted: int, coming: int) -> str:
    """One line on a lane as it is now.

    Args:
        board: The board before anything was played on it.
        pool: The lane's pool.
        count: The lane.
        wanted: Replicas wanted in the lane's pool that count towards minimums.
        coming: Replicas that start or move here.
    """
    lane = count.lane
    parts = []
    block = _room_block(board, count)
    starting = _starting(board, count)
    if count.workers < lane.min_replicas:
        parts.append(_deficit(board, pool, count, block, wanted=wanted, coming=coming))
    elif count.workers - starting < lane.min_replicas:
        up = count.workers - starting
        parts.append(f"baseline {up} of {lane.min_replicas}: being restored, {starting} starting")
        if coming:
            parts.append(f"{coming} more to come")
    else:
        if lane.min_replicas:
            parts.append(f"baseline {lane.min_replicas} of {lane.min_replicas}")
        if count.above_maximum:
            parts.append(f"{count.count} of at most {lane.max_replicas}")
        elif block is not None:
            parts.append(blocked(board, count, block))
        else:
            more = board.rooms.more(lane.fleet)
            parts.append(
                f"{lane.fleet} has room for {more} more"
                if more is not None
                else f"the room in {lane.fleet} is not known and counts as unlimited"
            )
        if coming:
            parts.append(f"{coming} more to come")
    return "; ".join(parts)


def _deficit(
    board: Board, pool: Pool, count: LaneCount, block: Block | None, *, wanted: int, coming: int
) -> str:
    lane = count.lane
    if block is not None:
        cause = blocked(board, count, block)
    elif coming:
        cause = f"{coming} more to come"
    elif wanted < sum(other.least for other in pool.lanes):
        cause = f"only {wanted} desired"
    elif any(group.name in board.rolling for group in pool.groups):
        cause = "the rolling deployment goes first"
    else:
        cause = "no other lane has a replica to spare"
    starting = _starting(board, count)
    if starting:
        cause = f"being restored, {starting} starting; {cause}"
    return f"baseline {count.workers} of {lane.min_replicas}: {cause}"


def _starting(board: Board, count: LaneCount) -> int:
    """Workers of a lane that don't run yet."""
    return sum(
        replica.state in (ReplicaState.PENDING, ReplicaState.STARTING)
        for group, members in count.members.items()
        if not board.groups[group].router
        for replica in members
    )


def _room_block(board: Board, count: LaneCount) -> Block | None:
    """Why the lane takes no replica of any group; a single group's limit plays no part."""
    return board.block(count, "")
