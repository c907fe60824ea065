"""How the replicas of a service are spread over fleets and replica groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import NamedTuple

from dstack_api_client.analysis.fleet_rows import Cell, Distribution, FleetRow
from dstack_api_client.analysis.group_rows import GroupRow, group_rows
from dstack_api_client.analysis.lane_input import (
    engine_service,
    fixed_count,
    lanes_of,
    pools_of,
)
from dstack_api_client.analysis.reach import out_of_reach
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.labels import counted, labels_of, listed, replica_name
from dstack_api_client.model.placement import LanePlacement, Placement, ReplicaPlacement
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.stranded import WAITS_FOR_EVER, stranded
from dstack_placement import engine


def distribution_of(snapshot: Snapshot, service: Service) -> Distribution:
    """Spreads a service out over its fleets.

    The lanes' targets come from the server's placement add-on; where it has not answered, from the
    engine on what the snapshot shows; a service without lanes has one fleet, and no targets but
    the number of replicas it is set to.

    Args:
        snapshot: Where the service is.
        service: The service.
    """
    found = _distribution_of(snapshot, service)
    if service.gone:
        return _without_starts(found, service)
    known = service.id in snapshot.placements
    if not snapshot.placement_failure or not (known or service.has_lanes):
        return found
    note = _AS_BEFORE if known else _AS_ESTIMATED
    return replace(found, notes=(*found.notes, f"{note} {snapshot.placement_failure}"))


def _without_starts(found: Distribution, service: Service) -> Distribution:
    """What is left of a service that has ended or is ending: nothing starts, whatever lanes say."""
    return replace(
        found,
        rows=tuple(
            replace(
                row,
                target=None if row.target is None else 0,
                deficit=0,
                deficit_since=None,
                cooldown_until=None,
                reason="",
                code="",
                cause="",
                why=None,
            )
            for row in found.rows
        ),
        wanted=0,
        notes=(_ENDED if service.finished else _ENDING,),
    )


def _distribution_of(snapshot: Snapshot, service: Service) -> Distribution:
    placement = snapshot.placements.get(service.id)
    if placement is not None and placement.managed:
        return _placed(snapshot, service, placement)
    try:
        lanes = lanes_of(service)
    except engine.LanesError as error:
        return _one_fleet(snapshot, service, placement, error.lines)
    if placement is None and lanes.has_lanes:
        return _previewed(snapshot, service, lanes)
    return _one_fleet(snapshot, service, placement)


class _At(NamedTuple):
    """Where replicas are: lanes of which group, and which fleet."""

    pool: str
    fleet: str | None


@dataclass
class _Held:
    """What is held in one place."""

    fleet_id: str | None = None
    price: float = 0.0
    counts: dict[str, list[int]] = field(default_factory=dict)
    """By group, in the order of a `Cell`."""
    replicas: list[Replica] = field(default_factory=list)

    def add(self, replica: Replica, snapshot: Snapshot) -> None:
        self.fleet_id = self.fleet_id or replica.fleet_id
        self.price += replica.price or 0.0
        self.replicas.append(replica)
        counts = self.counts.get(replica.group)
        if counts is None:
            counts = self.counts[replica.group] = [0, 0, 0, 0, 0]
        if replica.status == "running":
            counts[0] += 1
            if replica.ready:
                counts[1] += 1
                counts[4] += not out_of_reach(snapshot, replica)
        else:
            # One that found no place is about to be sought another.
            counts[2 if replica.starting or replica.found_no_place else 3] += 1

    def row(self, at: _At, service: Service, fleet_id: str | None) -> FleetRow:
        """A row of what is held, with nothing on what should be."""
        order = [group.name for group in service.groups]
        named = [name for name in order if name in self.counts]
        named += [name for name in self.counts if name not in order]
        cells = {name: Cell(*self.counts[name]) for name in named}
        return FleetRow(
            pool=at.pool,
            fleet=at.fleet,
            fleet_id=self.fleet_id or fleet_id,
            lane=None,
            target=None,
            running=sum(cell.running for cell in cells.values()),
            ready=sum(cell.ready for cell in cells.values()),
            pending=sum(cell.pending for cell in cells.values()),
            stopping=sum(cell.stopping for cell in cells.values()),
            groups=cells,
            price=self.price,
            serving=sum(cell.serving for cell in cells.values()),
        )


class _Board:
    """All that a service holds, row by row."""

    def __init__(
        self,
        snapshot: Snapshot,
        service: Service,
        pools: Mapping[str, str | None],
        assigned: Mapping[str, str],
    ) -> None:
        self._service = service
        self._ids = {fleet.name: fleet.id for fleet in snapshot.fleets.values()}
        self.left: dict[_At, _Held] = {}
        places: dict[tuple[str, str | None], _Held] = {}
        for replica in snapshot.active_in(service):
            fleet = assigned.get(replica.submission_id) or replica.fleet_name
            place = (pools.get(replica.group) or engine.SHARED, fleet)
            held = places.get(place)
            if held is None:
                held = places[place] = self.left[_At(*place)] = _Held()
            held.add(replica, snapshot)

    def take(self, at: _At) -> FleetRow:
        """The row of one place, which is then no longer left."""
        held = self.left.pop(at, None) or _Held()
        return held.row(at, self._service, self._ids.get(at.fleet or ""))

    def rest(self) -> list[tuple[FleetRow, list[Replica]]]:
        """The rows that are left, most replicas first, those without a place last."""
        rows = [(self.take(at), held.replicas) for at, held in list(self.left.items())]
        return sorted(rows, key=lambda left: _most_first(left[0]))


def _most_first(row: FleetRow) -> tuple[bool, int, str, str]:
    return (row.fleet is None, -row.running - row.pending, row.fleet or "", row.pool)


def _placed(snapshot: Snapshot, service: Service, placement: Placement) -> Distribution:
    """With lanes, as the add-on tells."""
    given = snapshot.lanes_given(service.id)
    board = _Board(snapshot, service, placement.pools, given)
    rows = []
    for lane in placement.lanes:
        fallen = _fallen(placement, lane)
        row = replace(
            board.take(_At(lane.pool, lane.fleet)),
            lane=lane.lane,
            target=lane.target,
            deficit=lane.deficit,
            deficit_since=lane.deficit_since,
            fallbacks=lane.fallbacks,
            cooldown_until=lane.cooldown_until,
            reason=lane.reason,
            code=lane.code,
            cause=lane.cause,
            why=lane.why,
            fallback_causes=tuple(dict.fromkeys(each.why or "" for each in fallen)),
            causes_fallen=tuple(dict.fromkeys(each.cause or each.why or "" for each in fallen)),
        )
        rows.append(row)
    why = {each.job_id: each.why for each in placement.replicas if each.why}
    rows += _without_lane(board, placement.pools, why)
    return _summed(
        service,
        rows,
        managed=True,
        observed_at=placement.observed_at,
        wanted=sum(placement.desired.values()) if placement.desired else None,
        notes=(*_under_way(service, placement), *placement.notes),
    )


def _under_way(service: Service, placement: Placement) -> tuple[str, ...]:
    told = placement.rebalancing
    if placement.rebalancing_since is None:
        return ()
    begun = f"{placement.rebalancing_since.astimezone(timezone.utc):%H:%M:%S} UTC"
    ends = f"`dstack-fleets-tui rebalance {service.name} --cancel` ends it"
    return (f"{told[:1].upper()}{told[1:]}. It began at {begun}; {ends}.",)


def _fallen(placement: Placement, lane: LanePlacement) -> list[ReplicaPlacement]:
    """The replicas in a lane that fell back, as far as it is told why."""
    return [
        each
        for each in placement.replicas
        if each.reason == "fallback"
        and each.why
        and each.fleet == lane.fleet
        and (placement.pools.get(each.group) or engine.SHARED) == lane.pool
    ]


def _previewed(snapshot: Snapshot, service: Service, lanes: engine.ServiceSpec) -> Distribution:
    """With lanes, as the engine finds them on the snapshot."""
    pools = pools_of(lanes)
    plan = engine.preview(engine_service(snapshot, service, lanes), now=snapshot.observed_at)
    board = _Board(snapshot, service, pools, {})
    rows = [
        replace(
            board.take(_At(lane.pool, lane.fleet)),
            lane=lane.lane,
            target=lane.target,
            deficit=lane.deficit,
            reason=lane.reason,
            code=lane.why.code.value,
            cause=lane.why.cause,
            why=lane.why,
        )
        for lane in plan.lanes
    ]
    rows += _without_lane(board, pools, {})
    wanted = fixed_count(service.groups)
    notes = [_WORKED_OUT]
    if wanted is None:
        notes.append(_AUTOSCALED)
    return _summed(
        service,
        rows,
        managed=True,
        observed_at=snapshot.observed_at,
        wanted=wanted,
        notes=(*notes, *map(str, plan.notes)),
    )


def _without_lane(
    board: _Board, pools: Mapping[str, str | None], why: Mapping[str, str | None]
) -> list[FleetRow]:
    """Rows of what is in no lane, with the reason."""
    rows = []
    for row, replicas in board.rest():
        if row.fleet is None:
            reason = _waiting(replicas, why)
        elif all(pools.get(group) is None for group in row.groups):
            reason = _OWN_RULE
        else:
            reason = "no lane any more: its replicas move to the lanes"
        rows.append(replace(row, reason=reason))
    return rows


def _waiting(
    replicas: Iterable[Replica], why: Mapping[str, str | None], *, named: bool = False
) -> str:
    """Why replicas have no fleet, each cause once with the replicas it holds back.

    Args:
        replicas: The replicas.
        why: By submission, what holds one back, where that is not the server's message.
        named: Whether the replicas are named where all have the same cause too.
    """
    held: dict[str, list[str]] = {}
    for replica in replicas:
        told = replica.message_of_search or "waits for a place"
        cause = why.get(replica.submission_id) or told
        held.setdefault(cause, []).append(replica_name(replica))
    if len(held) == 1 and not named:
        return next(iter(held))
    return "; ".join(f"{listed(names)}: {cause}" for cause, names in held.items())


def _without_place(snapshot: Snapshot, service: Service) -> list[Replica]:
    """The replicas that look for a place, those between two attempts among them."""
    return [
        replica
        for replica in snapshot.replicas_of(service)
        if not replica.has_place
        and replica.fleet_name is None
        and (replica.active or service.lacks(replica))
    ]


_OWN_RULE = "placed by the server's own rule"
_WORKED_OUT = (
    "Targets are worked out here from the spec and the fleets: the server's own have not been read."
    " Cooldowns, and since when a minimum is not met, are not known."
)
_AUTOSCALED = "The server does not report how many replicas its autoscaler wants now."
_NO_ADDON = (
    "This server has no placement add-on: one fleet holds all replicas of a service, without"
    " minimum, maximum or priority."
)
_GROUPS_NO_ADDON = (
    "This server has no placement add-on: one fleet holds all replicas of a service. Each replica"
    " group has its own minimum and maximum."
)
_NOT_ASKED = "It is not known whether this server has the placement add-on."
_AS_BEFORE = "What the placement add-on says is as it was read before."
_AS_ESTIMATED = "The placement add-on could not be read: targets are estimated here."
_ENDING = "The service is ending: its replicas stop, and none is started."
_ENDED = "The service has ended."
_NO_LANES = (
    "No lane of this service has a minimum, a maximum or a priority: the server's own rule keeps"
    " all replicas in one fleet."
)

_GROUPS_NO_LANES = (
    "This service has no lanes: the server's own rule keeps all replicas in one fleet. Each replica"
    " group has its own minimum and maximum."
)


def _one_fleet(
    snapshot: Snapshot,
    service: Service,
    placement: Placement | None,
    trouble: Iterable[str] = (),
) -> Distribution:
    """Without lanes: the fleet that the server chose for the whole run."""
    capabilities = snapshot.capabilities
    board = _Board(snapshot, service, {}, {})
    wanted = fixed_count(service.groups)
    if placement is not None and placement.desired:
        wanted = sum(placement.desired.values())
    rows = []
    if service.fleet_name is not None and not service.finished:
        rows.append(board.take(_At(engine.SHARED, service.fleet_name)))
    why = {each.submission_id: WAITS_FOR_EVER for each in stranded(snapshot, service)}
    rows += [
        replace(row, reason=_waiting(replicas, why) if row.fleet is None else _OWN_RULE)
        for row, replicas in board.rest()
    ]
    waiting = _without_place(snapshot, service)
    named = [row for row in rows if row.fleet is not None]
    if len(named) == 1:  # else it is not told how they share what is wanted
        rows[rows.index(named[0])] = replace(
            named[0], target=wanted, reason=_of_one_fleet(named[0], wanted, waiting, why)
        )
    by_group = group_rows(snapshot, service)
    if capabilities.has_addon or capabilities.lanes:
        notes = [_GROUPS_NO_LANES if by_group else _NO_LANES]
    elif capabilities == UNKNOWN or capabilities.unread:
        notes = [_NOT_ASKED]
    else:
        notes = [_GROUPS_NO_ADDON if by_group else _NO_ADDON]
    if wanted is None:
        notes.append(_AUTOSCALED)
    notes += [f"The lanes in the spec can't be read: {line}" for line in trouble]
    return _summed(
        service,
        rows,
        managed=False,
        observed_at=placement.observed_at if placement is not None else snapshot.observed_at,
        wanted=wanted,
        notes=notes,
        by_group=by_group,
    )


def _of_one_fleet(
    row: FleetRow,
    wanted: int | None,
    waiting: Sequence[Replica],
    why: Mapping[str, str | None],
) -> str:
    """What can be said of the one fleet of a service without lanes.

    Args:
        row: What it holds.
        wanted: Replicas desired; None where the server does not say.
        waiting: Replicas without a place.
        why: By submission, what holds one back, where that is not the server's message.
    """
    more = 0 if wanted is None else row.running + row.pending - wanted
    without = len(waiting) if wanted is None else max(-more, len(waiting))
    if without:
        text = f"one fleet is to hold all replicas; {counted(without, 'replica')} without a place"
        return f"{text}: {_waiting(waiting, why, named=True)}" if waiting else text
    text = "one fleet holds all replicas"
    return f"{text}; {counted(more, 'replica')} more than desired" if more > 0 else text


def _summed(
    service: Service,
    rows: Iterable[FleetRow],
    *,
    managed: bool,
    observed_at: datetime,
    wanted: int | None,
    notes: Iterable[str],
    by_group: tuple[GroupRow, ...] = (),
) -> Distribution:
    rows = tuple(rows)
    return Distribution(
        run_id=service.id,
        managed=managed,
        observed_at=observed_at,
        rows=rows,
        wanted=wanted,
        running=sum(row.running for row in rows),
        ready=sum(row.ready for row in rows),
        pending=sum(row.pending for row in rows),
        price=sum((row.price for row in rows), 0.0),
        groups=tuple(group.name for group in service.groups),
        serving=sum(row.serving for row in rows),
        notes=tuple(notes),
        labels=labels_of(service.groups),
        by_group=by_group,
    )
