"""Moving: one running replica from a lane to another, the new one ready before the old stops."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .board import Board, LaneCount, Pool
from .model import Group, Replica
from .stopping import lane_to_relieve


@dataclass(frozen=True, slots=True)
class Move:
    """One replica that moves.

    Attributes:
        replica: The one that stops when the new one is ready.
        fleet: Where the new one starts.
        why: What it makes good.
    """

    replica: Replica
    fleet: str
    why: str


def next_move(board: Board, groups: Collection[str], *, rebalance: bool = False) -> Move | None:
    """The next move, which is played on the board; None when nothing is to be moved.

    A move is one more replica, placed by the rules of placing, and one less, chosen by the rules
    of scaling down. It is made when it makes good a minimum from what another lane has to spare,
    when it takes a replica out of a lane above its maximum, or out of a fleet that is no lane any
    more. With `rebalance` it is made too where it brings the lanes nearer to their targets.
    Routers stay.

    Args:
        board: The board.
        groups: Groups that may move a replica: they have what they want, and of one deployment.
        rebalance: Whether to move towards the targets too.
    """
    for pool in board.pools:
        for group in pool.groups:
            if group.router or group.name not in groups:
                continue
            move = _move(board, pool, group, rebalance=rebalance)
            if move is not None:
                return move
    return None


def _move(board: Board, pool: Pool, group: Group, *, rebalance: bool) -> Move | None:
    to = _destination(board, pool, group.name)
    if to is None:
        return None
    missing = to.missing
    strays = pool.strays[group.name]
    if strays:
        board.put(to, group.name)
        gone = strays.pop()
        return Move(gone, to.lane.fleet, f"{gone.fleet} is no lane of the service")
    to.workers += 1  # the victim is chosen as it will be once the new one is there
    source = lane_to_relieve(board, pool, group.name)
    to.workers -= 1
    if source is None or source is to:
        return None
    if source.above_maximum:
        most = source.lane.max_replicas
        why = f"{source.lane.fleet} has {source.count} of at most {most}"
    elif missing and source.above_minimum:
        why = f"makes good the baseline of {to.lane.fleet}"
    elif rebalance and (to.place < source.place):
        why = f"{to.lane.fleet} goes before {source.lane.fleet}"
    else:
        return None
    board.put(to, group.name)
    return Move(board.drop(source, group.name), to.lane.fleet, why)


def _destination(board: Board, pool: Pool, group: str) -> LaneCount | None:
    """The lane that one more worker of a group gets."""
    free = None
    for count in pool.lanes:
        if board.block(count, group) is None:
            if count.missing:
                return count
            free = free or count
    return free
