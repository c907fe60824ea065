"""A service as the engine sees it after an edit: its replicas now, under the edited lanes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dstack_api_client.analysis import lane_input
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement import engine


def situation(
    edit: ServiceEdit, snapshot: Snapshot, offered: lane_input.Offered = lane_input.NOT_ASKED
) -> engine.Service | None:
    """What the engine is told about an edit.

    On a server without lanes, and for a service without, the fleet that holds the run's replicas
    is the only lane: that is dstack's own rule.

    Returns:
        None where the snapshot does not have the service.

    Raises:
        LanesError: The edited lanes can't be accepted.
    """
    service = snapshot.services.get(edit.base.id)
    if service is None:
        return None
    after = _lanes(edit, service)
    before = _lanes(edit.begun, service)
    state = lane_input.engine_service(
        snapshot, service, after, needs=edit.read.needs, offered=offered
    )
    placement = snapshot.placements.get(service.id)
    if placement is None:
        return state
    return with_placement(state, snapshot, placement, before, after)


def as_it_is(snapshot: Snapshot, service: Service, *, managed: bool) -> engine.Service:
    """What the engine is told about a service without an edit.

    Args:
        snapshot: Where it is.
        service: The service.
        managed: Whether lanes decide where its replicas go.
    """
    spec = lane_input.stored_lanes_of(service)
    if not managed:
        fleet = service.fleet_name or next((share.fleet for share in service.shares), None)
        spec = lane_input.in_one_fleet(spec, fleet)
    state = lane_input.engine_service(snapshot, service, spec)
    placement = snapshot.placements.get(service.id)
    if placement is None:
        return state
    return with_placement(state, snapshot, placement, spec, spec)


def managed(edit: ServiceEdit) -> bool:
    """Whether lanes decide where the edited service's replicas go.

    Raises:
        LanesError: The edited lanes can't be accepted.
    """
    return edit.can_edit_lanes and edit.accepted.has_lanes


def _lanes(edit: ServiceEdit, service: Service) -> engine.ServiceSpec:
    read = edit.accepted
    if edit.can_edit_lanes and read.has_lanes:
        return read
    fleet = service.fleet_name or next((share.fleet for share in service.shares), None)
    named = edit.lanes()
    if fleet is None and len(named) == 1:  # it has no replicas, and can go nowhere else
        fleet = named[0].fleet
    return lane_input.in_one_fleet(read, fleet)


def with_placement(
    state: engine.Service,
    snapshot: Snapshot,
    placement: Placement,
    before: engine.ServiceSpec,
    after: engine.ServiceSpec,
) -> engine.Service:
    """With what only the server knows: desired counts, places given away, room and cooldowns.

    Args:
        state: The service, by what the API shows.
        snapshot: Where it is.
        placement: What the server says of it.
        before: Its lanes as they are.
        after: Its lanes as they are looked at: those that differ do not cool down any more.
    """
    fleets = {replica.job_id: snapshot.placed_in(replica.fleet) for replica in placement.replicas}
    limits = {group.name: (group.least, group.greatest) for group in after.groups}
    groups = []
    for group in state.groups:
        wanted = placement.desired.get(group.name)
        if wanted is not None:
            least, greatest = limits[group.name]
            wanted = max(wanted, least)
            group = replace(group, wanted=wanted if greatest is None else min(wanted, greatest))
        groups.append(group)
    rooms = dict(state.rooms)
    cooldowns = {}
    old, new = before.pools, after.pools
    for lane in placement.lanes:
        # What the server does not know is not guessed here: its own dry run goes without it too.
        here = rooms.get(lane.fleet, engine.Room())
        endless = lane.room is None and here.endless
        rooms[lane.fleet] = engine.Room(
            lane.room, why=here.why, why_of=here.why_of, endless=endless
        )
        if lane.cooldown_until is not None and old.get(lane.pool) == new.get(lane.pool):
            cooldowns[lane.pool, lane.fleet] = _cooldown(lane.cooldown_until)
    return replace(
        state,
        groups=tuple(groups),
        replicas=tuple(
            replace(replica, fleet=fleets.get(replica.key) or replica.fleet)
            for replica in state.replicas
        ),
        rooms=rooms,
        cooldowns=cooldowns,
    )


def _cooldown(until: datetime) -> engine.Cooldown:
    return engine.Cooldown(1, until, until, "a start failed")
