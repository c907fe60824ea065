"""Moving: one running replica from a lane to another, the new one ready before the old stops."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from .board import Board, LaneCount, Pool
from .model import Group, Replica
from .stopping import drained_lanes, lane_giving_way, lane_to_relieve


@dataclass(frozen=True, slots=True)
class Move:
    """One replica that moves.

    Attributes:
        replica: The one that stops when the new one is ready. Where it has been started or moved
            on the board before, its fleet is the one it has there.
        fleet: Where the new one starts.
        why: What it restores.
    """

    replica: Replica
    fleet: str
    why: str


def next_move(board: Board, groups: Collection[str], *, rebalance: bool = False) -> Move | None:
    """The next move, which is played on the board; None when nothing is to be moved.

    A move is one more replica, placed by the rules of placing, and one less, chosen by the rules
    of scaling down. It is made when it restores a minimum from what another lane has to spare,
    when it takes a replica out of a lane above its maximum, or out of a fleet that is no longer a
    lane, and where it gives way to the minimum of another service. With `rebalance` it is made too
    where it brings the lanes nearer to their targets. Routers stay. Before all else, replicas move
    away from instances that are drained, placed as if they were gone already: into their own lane
    where its fleet has room elsewhere.

    Args:
        board: The board.
        groups: Groups that may move a replica: they have what they want, and of one deployment.
        rebalance: Whether to move towards the targets too.
    """
    for pool in board.pools:
        for group in pool.groups:
            if group.router or group.name not in groups:
                continue
            move = (
                _leave(board, pool, group)
                or _give_way(board, pool, group)
                or _move(board, pool, group, rebalance=rebalance)
            )
            if move is not None:
                return move
    return None


def _leave(board: Board, pool: Pool, group: Group) -> Move | None:
    for count in drained_lanes(board, pool, group.name):
        gone = board.drop(count, group.name)
        to = _destination(board, pool, group.name)
        if to is not None:
            board.put(to, replace(gone, fleet=to.lane.fleet, leaves=False, gives_way_to=""))
            return Move(gone, to.lane.fleet, "its instance is drained")
        board.count_in(count, gone)
    return None


def _give_way(board: Board, pool: Pool, group: Group) -> Move | None:
    giving = lane_giving_way(pool, group.name)
    if giving is None or pool.strays[group.name]:
        return None
    to = _destination(board, pool, group.name, apart_from=giving)
    if to is None:
        return None
    gone = board.drop(giving, group.name)
    board.put(to, replace(gone, fleet=to.lane.fleet, gives_way_to="", leaves=False))
    why = f"gives way to {gone.gives_way_to}, which is below its minimum in {giving.lane.fleet}"
    return Move(gone, to.lane.fleet, why)


def _move(board: Board, pool: Pool, group: Group, *, rebalance: bool) -> Move | None:
    to = _destination(board, pool, group.name)
    if to is None:
        return None
    strays = pool.strays[group.name]
    if strays:
        gone = strays.pop()
        board.put(to, replace(gone, fleet=to.lane.fleet, gives_way_to=""))
        return Move(gone, to.lane.fleet, f"{gone.fleet} is not a lane of the service")
    # Who goes is chosen as it will be chosen then, once the new replica is there.
    missing = to.workers < to.least
    newest = Replica("", 0, group.name)
    members = to.members.setdefault(group.name, [])
    members.append(newest)
    to.workers += 1
    source = lane_to_relieve(board, pool, group.name)
    to.workers -= 1
    members.pop()
    if source is None or source is to:
        return None
    if source.above_maximum:
        why = f"{source.lane.fleet} has {source.count} of at most {source.lane.max_replicas}"
    elif missing and source.above_minimum:
        why = f"restores the minimum of {to.lane.fleet}"
    elif rebalance:  # who goes first is never in a lane of higher priority
        why = f"{to.lane.fleet} goes before {source.lane.fleet}"
    else:
        return None
    gone = board.drop(source, group.name)
    board.put(to, replace(gone, fleet=to.lane.fleet))
    return Move(gone, to.lane.fleet, why)


def _destination(
    board: Board, pool: Pool, group: str, *, apart_from: LaneCount | None = None
) -> LaneCount | None:
    """The lane that one more worker of a group gets."""
    free = None
    for count in pool.lanes:
        if count is apart_from:
            continue
        missing = count.workers < count.least
        if (missing or free is None) and board.block(count, group) is None:
            if missing:
                return count
            free = count
    return free
