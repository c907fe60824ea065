"""The engine's reasons in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .board import Block, Board, LaneCount, Pool
from .causes import Cause, joined
from .lines import Code, Line, code_of
from .model import ReplicaState

_BLOCKS = {
    Block.MAXIMUM: Code.AT_MAXIMUM,
    Block.COOLDOWN: Code.COOLDOWN,
    Block.FULL: Code.FULL,
}


@dataclass(frozen=True, slots=True)
class LaneWhy:
    """Why a lane stands as it does.

    Attributes:
        code: What counts most.
        held: How many of the minimum there are.
        minimum: The lane's minimum.
        causes: The rest.
    """

    code: Code
    held: int = 0
    minimum: int = 0
    causes: tuple[Cause, ...] = ()

    def __str__(self) -> str:
        """All of it on one line."""
        return self._with_minimum(self.cause)

    @property
    def here(self) -> str:
        """The same beside the name of the lane's fleet."""
        return self._with_minimum(self.cause_here)

    @property
    def cause(self) -> str:
        """The line without how many of the minimum there are."""
        return joined(self.causes)

    @property
    def cause_here(self) -> str:
        """The cause beside the name of the lane's fleet."""
        return joined(each.here for each in self.causes)

    def _with_minimum(self, cause: str) -> str:
        if not self.minimum:
            return cause
        short = self.code in (Code.BELOW_MINIMUM, Code.RESTORING, Code.RECLAIMING)
        return f"baseline {self.held} of {self.minimum}{':' if short else ';'} {cause}"


def blocked(board: Board, count: LaneCount, block: Block, group: str = "") -> Cause:
    """Why a lane is skipped: `gpu-a is in cooldown until 14:05:30, no capacity in us-east-1`.

    Args:
        board: The board.
        count: The lane.
        block: What is in the way.
        group: Whose replica it is.
    """
    fleet = count.lane.fleet
    if block is Block.MAXIMUM:
        return Cause(Code.AT_MAXIMUM, fleet, count.lane.max_replicas or 0)
    if block is Block.COOLDOWN and count.cooldown is not None:
        cooldown = count.cooldown
        return Cause(Code.COOLDOWN, fleet, until=cooldown.until, detail=cooldown.cause)
    at_first = board.rooms.at_first(fleet, group)  # others of the plan have taken it
    own = board.rooms.left_by_others(fleet, group)
    why = board.rooms.why(fleet, group)
    if own is not None:
        text = ", ".join(filter(None, ("other groups start there too", why)))
        why = Line(text, code_of(why))
    return Cause(Code.FULL, fleet, at_first if own is None else own, detail=why)


def none_idle(states: Sequence[str]) -> str:
    """Why no host of a fleet is to be had: `none of its 3 hosts is idle: 2 busy, 1 unreachable`.

    Args:
        states: The state of each host.
    """
    counts = Counter(states)
    if not states:
        return "it has no host"
    if len(counts) == 1:
        few = {1: "its host is", 2: "both hosts are"}
        hosts = few.get(len(states)) or f"all {len(states)} hosts are"
        return f"{hosts} {states[0]}"
    told = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    return f"none of its {len(states)} hosts is idle: {told}"


def surplus(number: int, wanted: int) -> str:
    """Why replicas stop that are too many: `7 replicas, 5 desired`."""
    return f"{number} replica{'' if number == 1 else 's'}, {wanted or 'none'} desired"


class Skipped:
    """The lanes that take no further replica of a group, from the first on.

    Args:
        board: The board.
        group: Whose replicas are placed.

    Attributes:
        cause: Why they take none, on one line.
        lacking: Whether room or a cooldown is a reason.
    """

    def __init__(self, board: Board, group: str) -> None:
        self.cause = ""
        self.lacking = False
        self._board, self._group = board, group
        self._passed = 0

    def next_of(self, counts: Sequence[LaneCount]) -> LaneCount | None:
        """The first lane that takes one more; those before it are not asked again.

        Args:
            counts: The lanes, the same at each call.
        """
        found = []
        for count in counts[self._passed :]:
            block = self._board.block(count, self._group)
            if block is None:
                break
            found.append(blocked(self._board, count, block, self._group))
            self.lacking = self.lacking or block is not Block.MAXIMUM
        else:
            count = None
        if found:
            self._passed += len(found)
            self.cause = joined([*filter(None, [self.cause]), *found])
        return count


def passed_over(board: Board, counts: Iterable[LaneCount], group: str) -> str:
    """Why those lanes that take no further replica of a group take none, on one line."""
    blocks = ((count, board.block(count, group)) for count in counts)
    return joined(blocked(board, count, block, group) for count, block in blocks if block)


def lane_why(board: Board, pool: Pool, count: LaneCount, *, wanted: int, coming: int) -> LaneWhy:
    """Why a lane stands as it does now.

    Args:
        board: The board before anything was played on it.
        pool: The lane's pool.
        count: The lane.
        wanted: Replicas desired in the lane's pool that count towards minimums.
        coming: Replicas that start or move here.
    """
    lane = count.lane
    parts: list[Cause] = []
    block = _room_block(board, count)
    starting = _starting(board, count)
    held, code = lane.min_replicas, _BLOCKS[block] if block is not None else Code.HAS_ROOM
    if count.workers < lane.min_replicas:
        held, code = count.workers, Code.BELOW_MINIMUM
        parts += _deficit(board, pool, count, block, wanted=wanted, coming=coming)
    elif count.workers - starting < lane.min_replicas:
        held, code = count.workers - starting, Code.RESTORING
        parts.append(Cause(Code.RESTORING, number=starting))
        if coming:
            parts.append(Cause(Code.MORE_TO_COME, number=coming))
    else:
        if count.above_maximum:
            code = Code.ABOVE_MAXIMUM
            limit = lane.max_replicas or 0
            parts.append(Cause(Code.ABOVE_MAXIMUM, number=count.count, limit=limit))
        elif block is not None:
            parts.append(blocked(board, count, block))
        else:
            more = board.rooms.more(lane.fleet)
            if more is None:
                endless = board.rooms.endless(lane.fleet)
                code = Code.NO_LIMIT if endless else Code.ROOM_NOT_KNOWN
            parts.append(Cause(code, lane.fleet, more or 0))
        if coming:
            parts.append(Cause(Code.MORE_TO_COME, number=coming))
    return LaneWhy(code, held, lane.min_replicas, tuple(parts))


def _deficit(
    board: Board, pool: Pool, count: LaneCount, block: Block | None, *, wanted: int, coming: int
) -> Iterator[Cause]:
    if starting := _starting(board, count):
        yield Cause(Code.RESTORING, number=starting)
    if block is not None:
        yield blocked(board, count, block)
    elif coming:
        yield Cause(Code.MORE_TO_COME, number=coming)
    elif wanted < sum(other.least for other in pool.lanes):
        yield Cause(Code.FEW_DESIRED, number=wanted)
    elif any(group.name in board.rolling for group in pool.groups):
        yield Cause(Code.ROLLOUT)
    else:
        yield Cause(Code.NONE_TO_SPARE)


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
