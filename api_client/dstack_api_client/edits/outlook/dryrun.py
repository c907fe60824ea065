"""What an edit would do to the replicas: which stay, start, stop, move or wait, and what it costs.

The engine tells it at once from a snapshot; a server with the placement add-on tells it from what
only it knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dstack_api_client.analysis.lane_input import NOT_ASKED, Offered
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.offers.prices import PlanOffer, Prices
from dstack_api_client.edits.outlook.fleetless import waited_for
from dstack_api_client.edits.outlook.giving_way import foreseen
from dstack_api_client.edits.outlook.outlooks import DryRun, LaneOutlook, ReplicaOutlook, Source
from dstack_api_client.edits.outlook.spots import barred_fleets, changed_policies
from dstack_api_client.edits.service.checks import too_many
from dstack_api_client.edits.service.service import SERVICE, ServiceEdit
from dstack_api_client.edits.service.situation import managed, situation
from dstack_api_client.errors import NotFoundError, RefusedError, WrongShapeError
from dstack_api_client.model.capabilities import PREVIEW_RECLAIM
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_placement import engine

_PREVIEW = "preview"
#: Why a replica waits for ever: nobody chooses its fleet.
NEVER = "no_fleet_chosen"
#: Why a replica waits until the service's `schedule` has it start.
AT_ITS_TIME = "at_its_time"
_NOT_ROOM = frozenset({NEVER, AT_ITS_TIME})


def dry_run_here(
    edit: ServiceEdit,
    snapshot: Snapshot,
    *,
    rebalance: bool = False,
    offers: Iterable[PlanOffer] = (),
    offered: Offered = NOT_ASKED,
) -> DryRun | None:
    """Asks the engine what an edit would do; fast enough for every key stroke.

    Returns:
        None where the snapshot does not have the service.

    Raises:
        InvalidEditError: The edited lanes can't be accepted.
    """
    _refuse(edit)
    state = situation(edit, snapshot, offered)
    if state is None:
        return None
    foresight = foreseen(edit, snapshot, state)
    plan = engine.preview(foresight.service, now=snapshot.observed_at, rebalance=rebalance)
    ways = (way.line(edit.base.target.name) for way in foresight.ways)
    rows = tuple(map(ReplicaOutlook.of, plan.replicas))
    waited = waited_for(edit, state, snapshot)
    labels = edit.read.labels
    called = labels.get(waited or "", waited)
    why = f"dstack waits for replica 0, of group {called}, to choose the fleet first"
    held, at_its_time = waited is not None, _starts_at_its_time(edit, snapshot)
    if at_its_time:
        held, why = True, "the service starts at the time that its `schedule` sets"
        rows = _held(rows, AT_ITS_TIME, why)
    elif held:
        rows = _held(rows, NEVER, why)
    pools = _pools_here(state)
    moves = _Moves(rows, pools)
    lanes = [
        moves.of(
            LaneOutlook(
                pool=lane.pool,
                lane=lane.lane,
                target=lane.target,
                now=lane.placed,
                after=0 if held else lane.after,
                room=lane.room,
                cooldown_until=lane.until,
                reason=why if held else lane.reason,
            )
        )
        for lane in plan.lanes
    ]
    is_managed = managed(edit)
    # Without lanes the server's own rule is the only one: no group has to be named for it.
    left_out = None if is_managed else engine.Code.NO_LANES
    notes = (*ways, *(note for note in plan.notes if engine.code_of(note) != left_out))
    if at_its_time:  # no minimum is broken before
        lanes = [replace(lane, deficit=0) for lane in lanes]
    outlook = DryRun(Source.ENGINE, tuple(lanes), rows, notes, managed=is_managed, labels=labels)
    return _priced(_with_left(outlook, pools, moves), edit, snapshot, offers)


def _refuse(edit: ServiceEdit) -> None:
    """Refuses an edit of which nobody can tell what it would do.

    Raises:
        InvalidEditError: It has too many replicas, or its lanes can't be accepted.
    """
    why_not = too_many(edit)
    if why_not is not None:
        raise InvalidEditError([why_not])
    try:
        _ = edit.accepted
    except engine.LanesError as error:
        raise InvalidEditError(error.lines) from error


async def dry_run(
    client: Client,
    edit: ServiceEdit,
    snapshot: Snapshot,
    *,
    rebalance: bool = False,
    offers: Iterable[PlanOffer] = (),
    offered: Offered = NOT_ASKED,
) -> DryRun | None:
    """Asks the server what an edit would do, where it can tell; else this client.

    Raises:
        InvalidEditError: The edited lanes can't be accepted.
        ApiError: The server could not be asked.
    """
    _refuse(edit)
    found = None
    if edit.base.id in snapshot.services and not _starts_at_its_time(edit, snapshot):
        found = await _dry_run_there(client, edit, snapshot, rebalance=rebalance, offers=offers)
    if found is not None:
        return found
    return dry_run_here(edit, snapshot, rebalance=rebalance, offers=offers, offered=offered)


async def _dry_run_there(
    client: Client,
    edit: ServiceEdit,
    snapshot: Snapshot,
    *,
    rebalance: bool,
    offers: Iterable[PlanOffer],
) -> DryRun | None:
    """Asks the server what an edit would do; None where it can't tell."""
    if not edit.capabilities.can(_PREVIEW) or not _same_groups(edit):
        return None
    target = edit.base.target
    try:
        answer = await client.placements.preview(
            target.project, target.name, _question(edit, rebalance)
        )
    except RefusedError as error:
        raise InvalidEditError(
            [each.message for each in error.details] or [error.message]
        ) from error
    except (NotFoundError, WrongShapeError):
        # An older add-on has no previews, or takes no ranges; the plan has the last word.
        return None
    if not answer.managed:
        return None
    rows = tuple(
        ReplicaOutlook(
            number=row.replica_num,
            group=row.group,
            new=row.new,
            fleet=snapshot.placed_in(row.fleet),
            action=row.action,
            to=row.to,
            reason=row.reason,
            why=row.why,
        )
        for row in answer.replicas
    )
    pools = _pools_of(edit)
    moves = _Moves(rows, pools)
    lanes = [
        moves.of(
            LaneOutlook(
                pool=lane.pool,
                lane=lane.lane(),
                target=lane.target,
                now=lane.running + lane.pending,
                after=lane.after,
                room=lane.room,
                cooldown_until=lane.cooldown_until,
                reason=lane.reason,
            )
        )
        for lane in answer.lanes
    ]
    labels = edit.read.labels
    outlook = DryRun(Source.SERVER, tuple(lanes), rows, answer.coded_notes(), labels=labels)
    return _priced(_with_left(outlook, pools, moves), edit, snapshot, offers)


def _same_groups(edit: ServiceEdit) -> bool:
    """Whether the edit has the groups that the server has: it previews no others."""
    before = edit.begun.groups
    return [(g.name, g.named) for g in before] == [(g.name, g.named) for g in edit.groups]


def _question(edit: ServiceEdit, rebalance: bool) -> dict[str, Any]:
    question: dict[str, Any] = {
        "run_name": edit.base.target.name,
        "rebalance": rebalance,
        "include_replicas": True,
    }
    begun = edit.begun
    if edit.lanes() != begun.lanes():
        question["fleets"] = edit.configuration.get("fleets") or []
    owners = {group.name: group for group in begun.groups}
    changed = {}
    for group in edit.groups:
        if group.named and edit.lanes(group.name) != begun.lanes(group.name):
            entries = [edit.raw_lane(group.name, lane.fleet) for lane in edit.lanes(group.name)]
            changed[group.name] = entries or None
    if changed:
        question["group_fleets"] = changed
    counts = {
        group.name: {"min": group.least, "max": group.greatest}
        for group in edit.groups
        if (before := owners[group.name]).least != group.least or before.greatest != group.greatest
    }
    if counts:
        question["replicas"] = counts
    if edit.reclaim is not begun.reclaim and edit.capabilities.can(PREVIEW_RECLAIM):
        question["reclaim"] = edit.reclaim.value
    return question


def with_landings(
    outlook: DryRun,
    landings: Mapping[tuple[str, int], str],
    edit: ServiceEdit,
    snapshot: Snapshot,
    offers: Iterable[PlanOffer],
) -> DryRun:
    """With replicas that a rolling deployment replaces in another lane, as moves to it.

    Args:
        outlook: What the edit would do without it.
        landings: The lanes, by the group and the number of what is replaced.
        edit: The edit.
        snapshot: What is known of the project.
        offers: What the server offers.
    """
    found = {
        at: to
        for row in outlook.replicas
        if row.action == "stay" and (to := landings.get(at := (row.group, row.number)))
    }
    if not found:
        return outlook
    rows = tuple(
        replace(
            row, action="move", to=to, why="the rolling deployment starts the one that replaces it"
        )
        if (to := found.get((row.group, row.number)))
        else row
        for row in outlook.replicas
    )
    pools = _pools_of(edit)
    moves = _Moves(rows, pools)
    change: Counter[tuple[str, str | None]] = Counter()
    for row in outlook.replicas:
        if to := found.get((row.group, row.number)):
            pool = pools.get(row.group, SERVICE)
            change[pool, to] += 1
            change[pool, row.fleet] -= 1
    lanes = tuple(
        moves.of(replace(lane, after=lane.after + change[lane.pool, lane.fleet]))
        for lane in outlook.lanes
    )
    return _with_prices(replace(outlook, replicas=rows, lanes=lanes), edit, snapshot, offers)


def without_room(rows: Iterable[ReplicaOutlook]) -> list[ReplicaOutlook]:
    """Those that wait for room, and for nothing else."""
    return [row for row in rows if row.action == "pending" and row.reason not in _NOT_ROOM]


def _starts_at_its_time(edit: ServiceEdit, snapshot: Snapshot) -> bool:
    service = snapshot.services.get(edit.base.id)
    return service is not None and service.waits_for_its_time


def _held(rows: tuple[ReplicaOutlook, ...], reason: str, why: str) -> tuple[ReplicaOutlook, ...]:
    """With what would start, which something other than a lack of room holds."""
    return tuple(
        replace(row, action="pending", to=None, reason=reason, why=why)
        if row.action in ("start", "pending")
        else row
        for row in rows
    )


def _pools_of(edit: ServiceEdit) -> Mapping[str, str]:
    return {g.name: g.name if g.own_lanes else SERVICE for g in edit.groups}


def _pools_here(state: engine.Service) -> Mapping[str, str]:
    return {g.name: g.name if g.lanes is not None else SERVICE for g in state.groups}


class _Moves:
    """How many replicas start, stop and move in each fleet of each pool.

    Args:
        rows: What the replicas do.
        pools: By group, the pool whose lanes serve it.
    """

    def __init__(self, rows: Iterable[ReplicaOutlook], pools: Mapping[str, str]) -> None:
        self._counts: Counter[tuple[str, str, tuple[str, str | None]]] = Counter()
        for row in rows:
            if row.action == "stay":
                continue
            pool = pools.get(row.group, SERVICE)
            if row.action in ("start", "move"):
                self._counts["to", row.action, (pool, row.to)] += 1
            if row.action in ("stop", "move"):
                self._counts["from", row.action, (pool, row.fleet)] += 1

    def of(self, lane: LaneOutlook) -> LaneOutlook:
        """The lane with what its replicas do counted."""
        at = (lane.pool, lane.fleet)
        return replace(
            lane,
            start=self._counts["to", "start", at],
            stop=self._counts["from", "stop", at],
            enter=self._counts["to", "move", at],
            leave=self._counts["from", "move", at],
            deficit=max(lane.lane.min_replicas - lane.after, 0),
        )


def _with_left(outlook: DryRun, pools: Mapping[str, str], moves: _Moves) -> DryRun:
    """With the fleets that are not lanes (any more) and still have replicas."""
    known = {(lane.pool, lane.fleet) for lane in outlook.lanes}
    left: dict[tuple[str, str], list[ReplicaOutlook]] = {}
    for row in outlook.replicas:
        at = (pools.get(row.group, SERVICE), row.fleet or "")
        if row.fleet is not None and at not in known:
            left.setdefault(at, []).append(row)
    lanes = list(outlook.lanes)
    for (pool, fleet), rows in left.items():
        stay = sum(row.action == "stay" for row in rows)
        lane = LaneOutlook(
            pool=pool,
            lane=engine.Lane(fleet),
            target=0,
            now=len(rows),
            after=stay,
            reason=f"{fleet} is not a lane",
        )
        lanes.append(moves.of(lane))
    return replace(outlook, lanes=tuple(lanes))


def _priced(
    outlook: DryRun, edit: ServiceEdit, snapshot: Snapshot, offers: Iterable[PlanOffer]
) -> DryRun:
    """With notes on spot policies, and prices."""
    notes = (*barred_fleets(edit, snapshot), *changed_policies(edit), *outlook.notes)
    return _with_prices(replace(outlook, notes=notes), edit, snapshot, offers)


def _with_prices(
    outlook: DryRun, edit: ServiceEdit, snapshot: Snapshot, offers: Iterable[PlanOffer]
) -> DryRun:
    """With the price of each replica that comes, goes, or is replaced by one of another kind."""
    service = snapshot.services[edit.base.id]
    before, needs = edit.base.read.needs, edit.read.needs
    replaced = {name for name, need in needs.items() if before.get(name, need) != need}
    prices = Prices(service, snapshot, needs, replaced, tuple(offers))
    change, unpriced = 0.0, []
    for row in outlook.replicas:
        comes, goes = _moves_of(row, replaced)
        each = 0.0
        if comes:
            place = row.to or row.fleet
            found = prices.in_fleet(place, row.group) if place else prices.offered(row.group)
            if found is None:
                unpriced.append(place or "the fleet that the server chooses")
                continue
            each += found
        if goes:
            each -= prices.of_replica(row.group, row.number) or 0.0
        change += each
    return replace(
        outlook,
        price_now=service.price,
        price_after=None if unpriced else service.price + change,
        unpriced=tuple(dict.fromkeys(unpriced)),
    )


def _moves_of(row: ReplicaOutlook, replaced: Iterable[str]) -> tuple[bool, bool]:
    """Whether a replica's place is taken by a new one, and whether what runs now goes."""
    if row.action == "stay":
        swapped = row.group in replaced and not row.new and row.fleet is not None
        return swapped, swapped
    return row.action in ("start", "move"), row.action in ("stop", "move")
