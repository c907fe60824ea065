"""What a snapshot tells the placement engine about a service with lanes.

A server with the placement add-on answers for itself. Where it has not (yet) answered, the engine
runs here on what the API shows, which is less: which instances fit a replica, how many replicas
the autoscaler wants and which fleets cool down is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import is_
from typing import NamedTuple

from dstack_api_client.analysis.requirements import Requirements, requirements_of
from dstack_api_client.analysis.room_input import room
from dstack_api_client.model.fleet import INSTANCE_GONE, Instance
from dstack_api_client.model.replica import Replica as SnapshotReplica
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement import engine
from dstack_placement.engine import mapping

Offered = Mapping[str, Mapping[str, bool]]
"""By fleet and group, whether the server offers a new instance; as far as it was asked."""
NOT_ASKED: Offered = {}

_STATES = {
    "submitted": engine.ReplicaState.PENDING,
    "provisioning": engine.ReplicaState.STARTING,
    "pulling": engine.ReplicaState.STARTING,
    "running": engine.ReplicaState.RUNNING,
}


def lanes_of(service: Service) -> engine.ServiceSpec:
    """What a service's spec says of lanes.

    Raises:
        LanesError: It can't be read, or breaks a rule of lanes.
    """
    spec = service.spec
    return engine.read_configuration(
        mapping(spec.get("configuration")),
        profile=mapping(spec.get("profile")),
        project=service.project,
    )


def stored_lanes_of(service: Service) -> engine.ServiceSpec:
    """The same as the server places it: what can't be met is a warning."""
    spec = service.spec
    return engine.read_stored(
        mapping(spec.get("configuration")),
        profile=mapping(spec.get("profile")),
        project=service.project,
    )


def in_one_fleet(spec: engine.ServiceSpec, fleet: str | None) -> engine.ServiceSpec:
    """The spec by dstack's own rule: the fleet that holds the run's replicas is the only lane."""
    return replace(
        spec,
        lanes=(engine.Lane(fleet),) if fleet else (),
        groups=tuple(replace(group, lanes=None) for group in spec.groups),
    )


def pools_of(lanes: engine.ServiceSpec) -> dict[str, str | None]:
    """By replica group, whose lanes serve it: `""` the service's, else the group's own."""
    pools = ((group.name, lanes.pool_of(group.name)) for group in lanes.groups)
    return {name: pool[0] if pool is not None else None for name, pool in pools}


def engine_service(
    snapshot: Snapshot,
    service: Service,
    lanes: engine.ServiceSpec,
    *,
    needs: Mapping[str, Requirements] | None = None,
    offered: Offered = NOT_ASKED,
) -> engine.Service:
    """The service as the engine looks at it.

    Args:
        snapshot: Where it is.
        service: The service.
        lanes: What its spec says, by `lanes_of`.
        needs: What its groups ask for after an edit; None for what they do now.
        offered: What the server offers, as far as it was asked.
    """
    between = _between_attempts(snapshot, service)
    if needs is None:
        needs = requirements_of(service.spec)
    return engine.Service(
        lanes=lanes.lanes,
        groups=tuple(
            engine.Group(group.name, _wanted(service, group), group.router, group.lanes)
            for group in lanes.groups
        ),
        replicas=tuple(
            engine.Replica(
                key=replica.submission_id,
                number=replica.key.replica_num,
                group=replica.group,
                state=engine.ReplicaState.PENDING if replica in between else _state(replica),
                fleet=replica.fleet_name,
                out_of_date=replica.deployment_num < service.deployment_num,
            )
            for replica in snapshot.replicas_of(service)
            if replica.active or replica in between
        ),
        rooms={
            name: _ROOMS.of(snapshot, name, asking, offered.get(name))
            for name, asking in sorted(_asking(lanes, needs).items())
        },
    )


def fixed_count(groups: Iterable[Group]) -> int | None:
    """Replicas desired by groups whose number is fixed; None where an autoscaler decides it."""
    total = 0
    for group in groups:
        if group.replicas_min != group.replicas_max:
            return None
        total += group.replicas_min
    return total


def _wanted(service: Service, group: engine.GroupSpec) -> int:
    """The group's replicas, as far as can be told: those there are, within its limits."""
    if service.gone:
        return 0
    active = next((each.active for each in service.groups if each.name == group.name), 0)
    wanted = max(group.least, active)
    return wanted if group.greatest is None else min(wanted, group.greatest)


def _between_attempts(snapshot: Snapshot, service: Service) -> list[SnapshotReplica]:
    """The replicas that failed and that dstack starts again before it scales, as `retry` says.

    It does so before it looks at how many are desired (0.22.5, `process_active_run` in
    `server/background/pipeline_tasks/runs/active.py`), so that they count as those that wait.
    """
    if service.gone:
        return []
    found: list[SnapshotReplica] = []
    for group in service.groups:
        failed = [
            replica
            for replica in snapshot.replicas_of(service)
            if replica.group == group.name and (not replica.active or replica.found_no_place)
        ]
        found += failed[: max(group.replicas_min - group.active, 0)]
    return found


def _state(replica: SnapshotReplica) -> engine.ReplicaState:
    if replica.ready:
        return engine.ReplicaState.READY
    return _STATES.get(replica.status, engine.ReplicaState.STOPPING)


def members(snapshot: Snapshot) -> dict[str, list[Instance]]:
    """By fleet id, the instances that are not going."""
    found: dict[str, list[Instance]] = {}
    for instance in snapshot.instances.values():
        if instance.fleet_id is not None and instance.status not in INSTANCE_GONE:
            found.setdefault(instance.fleet_id, []).append(instance)
    return found


def _asking(
    lanes: engine.ServiceSpec, needs: Mapping[str, Requirements]
) -> dict[str, dict[str, Requirements]]:
    """By fleet, the groups that a lane may place there, with what they ask for."""
    asking: dict[str, dict[str, Requirements]] = {}
    for group in lanes.groups:
        for lane in lanes.lanes if group.lanes is None else group.lanes:
            here = asking.setdefault(lane.fleet, {})
            if group.name in needs:
                here[group.name] = needs[group.name]
    return asking


class _KeptRooms(NamedTuple):
    """What is kept of one snapshot."""

    of: tuple[object, ...]
    present: Mapping[str, list[Instance]]
    rooms: dict[str, tuple[object, engine.Room]]


class _Rooms:
    """The rooms of fleets, gone through again only for another snapshot, or other needs.

    Each key in a form asks for all of them.
    """

    def __init__(self) -> None:
        # One object, which another thread replaces as a whole.
        self._kept: _KeptRooms | None = None

    def of(
        self,
        snapshot: Snapshot,
        name: str,
        needs: Mapping[str, Requirements],
        offered: Mapping[str, bool] | None,
    ) -> engine.Room:
        """The room in a fleet.

        Args:
            snapshot: Where it is.
            name: Its name, as lanes have it.
            needs: By replica group, what one asks for.
            offered: By group whether the server offers a new instance there.
        """
        of = (snapshot.project, snapshot.fleets, snapshot.instances, snapshot.cordons)
        kept = self._kept
        if kept is None or not all(map(is_, kept.of, of)):
            kept = self._kept = _KeptRooms(of, members(snapshot), {})
        asked = (needs, offered)
        found = kept.rooms.get(name)
        if found is None or found[0] != asked:
            fleet = snapshot.fleet_named(name)
            here = kept.present.get(fleet.id, []) if fleet is not None else []
            found = kept.rooms[name] = asked, room(fleet, here, needs, offered, snapshot.cordons)
        return found[1]


_ROOMS = _Rooms()
