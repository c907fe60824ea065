"""What becomes of each service when capacity is lost, or more replicas are asked for.

The engine says where replicas go. Services are looked at in the order in which dstack does, those
of the highest priority first, and each takes the room that it uses from those after it; then all
are played on until nothing moves. What a service that ends gives back is not counted: dstack ends
it later than others look for room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from dstack_api_client.analysis.lane_input import stored_lanes_of
from dstack_api_client.analysis.requirements import Requirements
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.retries import RetryEvent, event_of_host, starts_again
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif.loss import Loss
from dstack_api_client.whatif.playing import GivingWay, Play, Played, turn
from dstack_api_client.whatif.room_left import Left
from dstack_placement import engine
from dstack_placement.engine import Action

#: By service and replica group, how many replicas are asked for.
Counts = Mapping[str, Mapping[str, int]]


class Ending(str, Enum):
    """Why a service ends."""

    NO_RETRY = "no-retry"
    """A replica is lost, and `retry` does not cover that."""
    NO_ROOM = "no-room"
    """A replica finds no room, and `retry` does not cover that."""
    NOTHING_LEFT = "nothing-left"
    """No replica is left and no lane takes one; `retry` does not cover that."""


@dataclass(frozen=True, slots=True)
class Start:
    """Replicas of a group that start in a fleet.

    Attributes:
        fleet: Its name; None where dstack chooses one.
        group: The replica group.
        count: How many.
        sure: Whether the fleet is known to have room for them.
    """

    fleet: str | None
    group: str
    count: int
    sure: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A minimum that is held now and not then.

    Attributes:
        pool: Empty for the service's lanes, else the group whose own lane it is.
        fleet: The lane's fleet.
        held: Replicas that are left there.
        minimum: How many there have to be.
    """

    pool: str
    fleet: str
    held: int
    minimum: int


@dataclass(frozen=True)
class Outcome:
    """What becomes of one service.

    Attributes:
        service: As it is now.
        now: Its replicas now, those that stop left out.
        lost: Those of them that are lost.
        stays: Those that stay where they are.
        starts: Those that start elsewhere.
        moves: Those that move to restore a minimum or a maximum.
        waits: How many find no room.
        why: Why the first of them finds none.
        broken: Minimums that are held now and not then.
        ending: Why it ends; None where it goes on.
        reclaims: Replicas of others that give way to its minimums.
        gives: Replicas of its own that give way to the minimums of others.
        unplaced: Replicas of which it is not known on which instance they run.
        price_after: Dollars per hour then; None where a price is not known.
    """

    service: Service
    now: int
    lost: int
    stays: int
    starts: tuple[Start, ...] = ()
    moves: int = 0
    waits: int = 0
    why: str = ""
    broken: tuple[Broken, ...] = ()
    ending: Ending | None = None
    reclaims: tuple[GivingWay, ...] = ()
    gives: tuple[GivingWay, ...] = ()
    unplaced: int = 0
    price_after: float | None = None

    @property
    def fails(self) -> bool:
        """Whether a minimum breaks or the service ends."""
        return self.ending is not None or bool(self.broken)


def what_if(snapshot: Snapshot, loss: Loss, counts: Counts | None = None) -> list[Outcome]:
    """What becomes of the services that a loss or another count concerns, by name.

    Args:
        snapshot: The project as it is, with the placements of its services.
        loss: What is lost.
        counts: By the ids of services, how many replicas are asked for in groups.
    """
    left = Left(snapshot, loss)
    play = Play(snapshot, left)
    found, going = [], []
    for service in sorted(snapshot.services.values(), key=turn):
        asked = (counts or {}).get(service.id, {})
        lost = [each for each in _standing(snapshot, service) if loss.takes(each)]
        if service.gone or not (lost or asked):
            continue
        standing = _standing(snapshot, service)
        unplaced = sum(each.instance_id is None and each.has_place for each in standing)
        stays = len(standing) - len(lost)
        base = Outcome(service, len(standing), len(lost), stays, unplaced=unplaced)
        played = _begin(base, left, lost, asked)
        if isinstance(played, Outcome):
            found.append(played)
            play.ended.add(service.id)
        else:
            going.append(base)
            play.played[service.id] = played
    play.settle()
    found += [_outcome(base, play.played.pop(base.service.id), left) for base in going]
    for played in play.played.values():  # which lose nothing, and give way
        standing = _standing(snapshot, played.service)
        base = Outcome(played.service, len(standing), 0, len(standing))
        found.append(_outcome(base, played, left))
    return sorted(found, key=lambda each: each.service.name)


def _standing(snapshot: Snapshot, service: Service) -> list[Replica]:
    return [each for each in snapshot.active_in(service) if each.standing]


def _begin(
    base: Outcome, left: Left, lost: Sequence[Replica], asked: Mapping[str, int]
) -> Played | Outcome:
    """What is lost starts again where there is room at once; else what becomes of the service."""
    service = base.service
    keys = [each.submission_id for each in left.whole.active_in(service) if left.loss.takes(each)]
    played = Played(left, service, asked, keys)
    if not played.managed and any(not starts_again(service, event_of_host(each)) for each in lost):
        return replace(base, stays=0, ending=Ending.NO_RETRY, price_after=0.0)
    if not played.managed and lost and len(lost) == base.now:
        return _as_new(base, left, lost, played.needs)
    plan = played.plan()
    waiting = plan.doing(Action.PENDING)
    starts = bool(plan.doing(Action.START))
    if waiting and not _goes_on(service, base, managed=played.managed, starts=starts):
        ending = Ending.NOTHING_LEFT if played.managed else Ending.NO_ROOM
        return replace(
            base, stays=0, waits=len(waiting), why=waiting[0].why, ending=ending, price_after=0.0
        )
    played.carry_out(plan)
    return played


def _outcome(base: Outcome, played: Played, left: Left) -> Outcome:
    """What has become of a service once all is over."""
    now = left.whole.observed_at
    seen = played.seen
    plan = engine.preview(seen, now=now)
    before = {
        (lane.pool, lane.fleet): lane.placed for lane in engine.preview(played.begun, now=now).lanes
    }
    waiting = plan.doing(Action.PENDING)
    here = [row.replica for row in plan.replicas if row.replica.fleet is not None]
    homes = {each.key: home for each in here if (home := played.homes.get(each.key)) is not None}
    return replace(
        base,
        stays=len(homes),
        starts=_starts([each for each in here if each.key not in homes], seen),
        moves=sum(each.fleet != homes.get(each.key, each.fleet) for each in here),
        waits=len(waiting),
        why=waiting[0].why if waiting else "",
        broken=tuple(
            Broken(lane.pool, lane.fleet, lane.placed, lane.lane.min_replicas)
            for lane in plan.lanes
            if lane.placed < min(lane.lane.min_replicas, before.get((lane.pool, lane.fleet), 0))
        ),
        reclaims=tuple(played.reclaims),
        gives=tuple(played.gives),
        price_after=played.price,
    )


def _goes_on(service: Service, base: Outcome, *, managed: bool, starts: bool) -> bool:
    """Whether a service lives with a replica that finds no room.

    With lanes the add-on keeps it while another replica lives or a lane takes one; else it is up
    to `retry`, for as long as that lasts.
    """
    if managed and (base.stays or starts):
        return True
    return starts_again(service, RetryEvent.NO_CAPACITY)


def _as_new(
    base: Outcome, left: Left, lost: Sequence[Replica], needs: Mapping[str, Requirements]
) -> Outcome:
    """A service without lanes of which no replica is left: dstack chooses its fleet as at first.

    `_build_run_update_map` of dstack 0.22.5 makes such a run pending and takes its fleet away.
    """
    service = base.service
    named = [lane.fleet for lane in stored_lanes_of(service).lanes]
    names = named or [fleet.name for fleet in left.snapshot.fleets.values()]
    rooms = left.rooms(dict.fromkeys(names, engine.Room()), needs)
    if all(each.more == 0 for each in rooms.values()):
        retries = starts_again(service, RetryEvent.NO_CAPACITY)
        whys = (f"{name} has no room, {each.why}" for name, each in rooms.items() if each.why)
        why = next(whys, "")
        ending = None if retries else Ending.NO_ROOM
        return replace(base, waits=len(lost), why=why, ending=ending, price_after=0.0)
    counts = Counter(each.group for each in lost)
    starts = tuple(Start(None, group, count, sure=False) for group, count in counts.items())
    return replace(base, starts=starts)


def _starts(replicas: Iterable[engine.Replica], state: engine.Service) -> tuple[Start, ...]:
    counts = Counter((each.fleet, each.group) for each in replicas)
    return tuple(
        Start(fleet, group, count, sure=_is_known(state, fleet))
        for (fleet, group), count in counts.items()
    )


def _is_known(state: engine.Service, fleet: str | None) -> bool:
    known = state.rooms.get(fleet) if fleet is not None else None
    return known is not None and known.more is not None
