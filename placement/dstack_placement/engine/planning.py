"""The plan for a service: what each replica does, how each lane stands, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from .board import Board, Pool, stopping_key
from .explain import LaneWhy, lane_why, passed_over, surplus
from .lane import Lane
from .lines import Code, Line
from .model import SHARED, Replica, ReplicaState, Service
from .moving import next_move
from .placing import Placing, Reason, new_replicas, place_waiting
from .stopping import kept_until_ready, take_surplus
from .targets import targets


class Action(str, Enum):
    """What a replica does."""

    STAY = "stay"
    START = "start"
    STOP = "stop"
    MOVE = "move"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What one replica does.

    Attributes:
        replica: The replica as it is; one that does not exist yet has a key `new-NUMBER`.
        action: What it does. A replica that moves stops once a new one in `to` is ready.
        to: The fleet it starts in or moves to; None for all else, and in a group without lanes.
        reason: Why there, for one that starts or is pending.
        why: The reason in words.
        cause: The cause alone, for one that starts or is pending (`Placing.cause`).
        new: Whether the replica is still to be made.
    """

    replica: Replica
    action: Action
    to: str | None = None
    reason: Reason | None = None
    why: str = ""
    cause: str = ""
    new: bool = False


@dataclass(frozen=True, slots=True)
class LanePlan:
    """How one lane stands, before the plan is carried out.

    Attributes:
        pool: `""` for the service's lanes, else the group whose own lane it is.
        lane: The lane.
        target: Replicas here when nothing holds back.
        placed: Replicas here that are not stopping, routers included.
        states: How many of the replicas here are in each state, those that stop included.
        deficit: How many are short of the minimum.
        room: How many more the fleet takes; None is not known and counts as unlimited.
        until: Until when the lane is skipped after a failed start; None when it is not.
        why: Why it stands so.
        after: Replicas here once the plan is carried out.
    """

    pool: str
    lane: Lane
    target: int
    placed: int
    states: dict[ReplicaState, int]
    deficit: int
    room: int | None
    until: datetime | None
    why: LaneWhy
    after: int

    @property
    def fleet(self) -> str:
        """The lane's fleet."""
        return self.lane.fleet

    @property
    def reason(self) -> str:
        """One line on all of it."""
        return str(self.why)


@dataclass(frozen=True, slots=True)
class Plan:
    """The engine's answer.

    Attributes:
        replicas: All replicas that are not stopping, and those to start, by group and number.
        lanes: All lanes, in the order of filling.
        notes: What a reader should know besides, a line each.
    """

    replicas: tuple[ReplicaPlan, ...]
    lanes: tuple[LanePlan, ...]
    notes: tuple[Line, ...] = ()

    def doing(self, action: Action) -> list[ReplicaPlan]:
        """The replicas that do one thing."""
        return [row for row in self.replicas if row.action is action]


def next_actions(service: Service, *, now: datetime, rebalance: bool = False) -> Plan:
    """What to do now.

    It has at most one move, and none while anything else is to be done, or a replica starts or
    stops: a move ends with a stop once the new replica is ready. Carried out and asked for again,
    it comes to rest.

    Args:
        service: The service as it is.
        now: The time, for cooldowns.
        rebalance: Whether to move replicas towards the targets too.
    """
    return _plan(service, now, rebalance=rebalance, all_moves=False)


def depends_on_rooms(service: Service) -> bool:
    """Whether `next_actions` does anything else, or says so of a minimum, with other rooms.

    It does while a replica waits, is to be made or gives way, while a lane is below its minimum or
    above its maximum, while a worker is in a fleet that is not a lane, and while one leaves a
    drained instance. So does any rebalancing.

    Args:
        service: The service as it is; its rooms play no part.
    """
    pools = {
        group.name: (SHARED if group.lanes is None else group.name, lanes)
        for group in service.groups
        if (lanes := service.lanes if group.lanes is None else group.lanes)
    }
    routers = {group.name for group in service.groups if group.router}
    active: Counter[str] = Counter()
    placed: Counter[tuple[str, str]] = Counter()
    workers: Counter[tuple[str, str]] = Counter()
    for replica in service.replicas:
        if replica.state is ReplicaState.STOPPING or replica.group not in pools:
            continue
        leaves = replica.leaves and replica.group not in routers
        if replica.fleet is None or replica.gives_way_to or leaves:
            return True
        active[replica.group] += 1
        at = (pools[replica.group][0], replica.fleet)
        placed[at] += 1
        if replica.group not in routers:
            workers[at] += 1
    if any(active[group.name] < group.wanted for group in service.groups if group.name in pools):
        return True
    lanes_at = {(name, lane.fleet): lane for name, lanes in pools.values() for lane in lanes}
    return not lanes_at.keys() >= workers.keys() or any(
        workers[at] < lane.min_replicas
        or (lane.max_replicas is not None and placed[at] > lane.max_replicas)
        for at, lane in lanes_at.items()
    )


def preview(service: Service, *, now: datetime, rebalance: bool = False) -> Plan:
    """All that would happen, one step after the other, if every start succeeded.

    Args:
        service: The service, as `edited` makes it for changed lanes or counts.
        now: The time, for cooldowns.
        rebalance: Whether to move replicas towards the targets too.
    """
    return _plan(service, now, rebalance=rebalance, all_moves=True)


def _plan(service: Service, now: datetime, *, rebalance: bool, all_moves: bool) -> Plan:
    board = Board(service, now)
    before = Board(service, now)
    rows: dict[str, ReplicaPlan] = {
        replica.key: ReplicaPlan(replica, Action.STAY)
        for replicas in board.active.values()
        for replica in replicas
    }
    for replica in board.removed:
        why = f"group {replica.group} is not in the service any more"
        rows[replica.key] = ReplicaPlan(replica, Action.STOP, why=why)

    busy = _stop_surplus(board, rows, to_the_end=all_moves) or bool(board.removed or board.rolling)
    busy = busy or any(_is_under_way(replica) for replica in service.replicas)
    new = new_replicas(board, without_lanes=all_moves)
    made = {replica.key for replica in new}
    if all_moves:
        _without_lanes(board, rows, new)
    excluded = set(board.rolling)
    for placing in place_waiting(board, [each for each in new if each.group in board.pool_of]):
        rows[placing.replica.key] = _placed_row(placing, new=placing.replica.key in made)
        if placing.fleet is None:
            excluded.add(placing.replica.group)
        else:
            busy = True
    if all_moves or not busy:
        _move(board, rows, excluded, rebalance=rebalance, all_moves=all_moves)
    if all_moves:
        _explain_drained(board, rows)
    return Plan(
        replicas=tuple(sorted(rows.values(), key=_row_key(service))),
        lanes=tuple(_lane_plans(before, service, now, rows.values())),
        notes=tuple(_notes(before)),
    )


def _is_under_way(replica: Replica) -> bool:
    """Whether it starts or stops. One that runs, and gets no traffic yet, may stay so for long."""
    given = replica.state is ReplicaState.PENDING and replica.fleet is not None
    return given or replica.state in (ReplicaState.STARTING, ReplicaState.STOPPING)


def _stop_surplus(board: Board, rows: dict[str, ReplicaPlan], *, to_the_end: bool) -> bool:
    """Stops what is too many; one may stay until its relief is ready, unless `to_the_end`.

    Returns:
        Whether there was any.
    """
    any_surplus = False
    staying: list[tuple[Pool, Replica]] = []
    for pool in board.pools:
        # Those with the least choice of lanes choose first, and the others spare what they need.
        for group in sorted(pool.groups, key=lambda group: pool.spread(group.name)):
            number = len(board.active[group.name])
            if number <= group.wanted or group.name in board.rolling:
                continue
            any_surplus = True
            stopped = take_surplus(board, pool, group.name, number - group.wanted)
            kept = kept_until_ready(board, group.name, stopped)
            for replica in stopped:
                action, why = Action.STOP, surplus(number, group.wanted)
                if replica is kept:
                    why = "stops when as many as desired are ready"
                    action = Action.STOP if to_the_end else Action.STAY
                    staying.append((pool, replica))
                rows[replica.key] = ReplicaPlan(replica, action, why=why)
    if not to_the_end:
        for pool, replica in staying:
            # Until then nothing else takes its place below a maximum.
            count = pool.by_fleet.get(replica.fleet or "")
            if count is not None:
                board.count_in(count, replica)
    return any_surplus


def _without_lanes(board: Board, rows: dict[str, ReplicaPlan], new: list[Replica]) -> None:
    """What starts and stops in groups without lanes, by the server's own rule."""
    for group in board.service.groups:
        if group.name in board.pool_of or group.name in board.rolling:
            continue
        active = board.active[group.name]
        why = surplus(len(active), group.wanted)
        for replica in sorted(active, key=stopping_key)[: max(len(active) - group.wanted, 0)]:
            rows[replica.key] = ReplicaPlan(replica, Action.STOP, why=why)
    for replica in new:
        if replica.group not in board.pool_of:
            why = "the server chooses its fleet"
            rows[replica.key] = ReplicaPlan(replica, Action.START, why=why, new=True)


def _placed_row(placing: Placing, *, new: bool) -> ReplicaPlan:
    action = Action.PENDING if placing.fleet is None else Action.START
    return ReplicaPlan(
        placing.replica, action, placing.fleet, placing.reason, placing.why, placing.cause, new=new
    )


def _move(
    board: Board,
    rows: dict[str, ReplicaPlan],
    excluded: Collection[str],
    *,
    rebalance: bool,
    all_moves: bool,
) -> None:
    groups = {name for name in board.pool_of if name not in excluded}
    while (move := next_move(board, groups, rebalance=rebalance)) is not None:
        row = rows[move.replica.key]
        if row.to is None:
            row = ReplicaPlan(move.replica, Action.MOVE, move.fleet, why=move.why)
        else:  # what starts or moves already ends up elsewhere
            row = replace(row, to=move.fleet, why=move.why, cause=move.why)
        rows[move.replica.key] = row
        if not all_moves:
            return


def _explain_drained(board: Board, rows: dict[str, ReplicaPlan]) -> None:
    """Says of those that are to leave a drained instance, and stay, why they do."""
    for key, row in rows.items():
        replica = row.replica
        if row.action is not Action.STAY or not replica.leaves or row.why:
            continue
        pool = board.pool_of.get(replica.group)
        if pool is None:
            why = "its group has no lanes"
        elif board.groups[replica.group].router:
            why = "a router stays where it is"
        elif replica.group in board.rolling:
            why = "the rolling deployment goes first"
        else:
            blocked = passed_over(board, pool.lanes, replica.group)
            why = blocked or "others start or stop first"
        rows[key] = replace(row, why=why)


def _row_key(service: Service) -> Callable[[ReplicaPlan], tuple[int, str, int, str]]:
    place = {group.name: number for number, group in enumerate(service.groups)}

    def key(row: ReplicaPlan) -> tuple[int, str, int, str]:
        replica = row.replica
        return (place.get(replica.group, len(place)), replica.group, replica.number, replica.key)

    return key


def _lane_plans(
    board: Board, service: Service, now: datetime, rows: Collection[ReplicaPlan]
) -> list[LanePlan]:
    states: dict[tuple[str, str], Counter[ReplicaState]] = {}
    for replica in service.replicas:
        pool = board.pool_of.get(replica.group)
        if pool is not None and replica.fleet is not None:
            states.setdefault((pool.name, replica.fleet), Counter())[replica.state] += 1
    coming: Counter[tuple[str, str]] = Counter()
    going: Counter[tuple[str, str]] = Counter()
    for row in rows:
        pool = board.pool_of.get(row.replica.group)
        if pool is None:
            continue
        if row.to is not None:
            coming[pool.name, row.to] += 1
        if row.action in (Action.STOP, Action.MOVE) and row.replica.fleet is not None:
            going[pool.name, row.replica.fleet] += 1
    plans = []
    for pool in board.pools:
        workers = sum(group.wanted for group in pool.groups if not group.router)
        for count, target in zip(pool.lanes, pool_targets(board, pool), strict=True):
            lane = count.lane
            at = (pool.name, lane.fleet)
            plans.append(
                LanePlan(
                    pool=pool.name,
                    lane=lane,
                    target=target,
                    placed=count.count,
                    states=dict(states.get(at, {})),
                    deficit=count.missing,
                    room=board.rooms.more(lane.fleet),
                    until=count.cooldown.until if count.cooldown is not None else None,
                    why=lane_why(board, pool, count, wanted=workers, coming=coming[at]),
                    after=count.count + coming[at] - going[at],
                )
            )
    return plans


def pool_targets(board: Board, pool: Pool) -> list[int]:
    """The targets of a pool's lanes, on what they have and can take now.

    A lane that cools down can have what it has. Fleets that several pools share are counted in
    each, and the limits of single groups play no part.
    """
    capacity = []
    for count in pool.lanes:
        more = 0 if count.cooldown is not None else board.rooms.more(count.lane.fleet)
        capacity.append(None if more is None else count.count - count.drained + more)
    return targets(
        [count.lane for count in pool.lanes],
        capacity,
        workers=sum(group.wanted for group in pool.groups if not group.router),
        routers=sum(group.wanted for group in pool.groups if group.router),
    )


def _notes(board: Board) -> list[Line]:
    notes = []
    fleets = dict.fromkeys(count.lane.fleet for pool in board.pools for count in pool.lanes)
    rooms = board.rooms
    unknown = [each for each in fleets if rooms.more(each) is None and not rooms.endless(each)]
    if unknown:
        names = ", ".join(unknown)
        text = f"The room in {names} is not known and counts as unlimited."
        notes.append(Line(text, Code.ROOM_UNKNOWN))
    notes += [
        Line(
            f"Group {name} is in a rolling deployment: until it ends, the group is neither scaled"
            " nor moved.",
            Code.ROLLOUT,
        )
        for name in board.groups
        if name in board.rolling
    ]
    notes += [
        Line(f"Group {name} has no lanes: the server's own rule places it.", Code.NO_LANES)
        for name in board.groups
        if name not in board.pool_of
    ]
    return notes
