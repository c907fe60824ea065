"""How many more replicas a fleet can take, by dstack's own matching of instances."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from dstack._internal.core.models.instances import InstanceStatus
from dstack._internal.core.models.profiles import CreationPolicy
from dstack._internal.core.models.runs import Job, RunSpec
from dstack._internal.server.models import FleetModel, InstanceModel
from dstack._internal.server.services.runs import plan as dstack_plan

from dstack_placement.engine import Part, Room, none_idle
from dstack_placement.server.fleets import cordons
from dstack_placement.server.fleets.lane_fleets import spec_of


def room_of(
    fleet: FleetModel,
    run_spec: RunSpec,
    samples: Mapping[str, Job],
    kept: int,
    cordoned: cordons.Cordons = cordons.NONE,
) -> Room:
    """Idle capacity that fits, and what the fleet may still create.

    Args:
        fleet: The fleet with its instances.
        run_spec: The run's spec.
        samples: One job of each group.
        kept: Places that are given away and not taken yet.
        cordoned: The cordons: what is under one is not to be had.
    """
    row = cordoned.fleets.get(fleet.id) if cordoned else None
    if row is not None:
        return Room(0, why=cordons.why(row))
    # Any other is not to be had, and to compare one takes long.
    free = [
        instance
        for instance in fleet.instances
        if _may_be_free(instance) and cordoned.of_instance(instance) is None
    ]
    parts = _idle(free, run_spec, samples)
    new: dict[str, int | None] = {}
    whys: dict[str, str] = {}
    for group, job in samples.items():
        new[group], reason = _creatable(fleet, run_spec, job, cordoned)
        if reason:
            whys[group] = f"{reason}, {kept} promised to replicas that start" if kept else reason
    why = next(iter(whys.values()), "")
    takers = {group: 1 for group, more in new.items() if more != 0}
    if takers:  # one number for all that can have any: what `nodes` leaves
        parts.append(Part(next(new[group] for group in takers), takers))
    others = {group: reason for group, reason in whys.items() if reason != why}
    return Room.of_parts(parts, samples, kept=kept, why=why, why_of=others)


def _may_be_free(instance: InstanceModel) -> bool:
    """Whether dstack may find it to be free, for a replica that it fits."""
    if (instance.total_blocks or 1) > 1:
        return free_blocks(instance) > 0
    return instance.status is InstanceStatus.IDLE


def free_blocks(instance: InstanceModel) -> int:
    """The blocks that nothing runs on.

    dstack may count them below none that is busy: on a server that is short of time it has taken
    one job off an instance twice.
    """
    total = instance.total_blocks or 1
    return total - min(max(instance.busy_blocks, 0), total)


def _idle(
    instances: list[InstanceModel], run_spec: RunSpec, samples: Mapping[str, Job]
) -> list[Part]:
    """The instances that hold a replica of any group, in the order in which dstack takes them."""
    found: dict[uuid.UUID, tuple[int, dict[str, int]]] = {}
    for group, job in samples.items():
        offers = dstack_plan.get_instance_offers_from_instances(
            instances=instances, run_spec=run_spec, job=job, exclude_not_available=True
        )
        for instance, offer in offers:
            # A shared instance takes as many replicas as there are idle blocks for.
            is_shared = (instance.total_blocks or 1) > 1
            left = max(free_blocks(instance), 1) if is_shared else 1
            _, takes = found.setdefault(instance.id, (left, {}))
            takes[group] = min(max(offer.blocks, 1), left) if is_shared else 1
    return [Part(left, takes) for left, takes in found.values()]


def _creatable(
    fleet: FleetModel, run_spec: RunSpec, job: Job, cordoned: cordons.Cordons
) -> tuple[int | None, str]:
    """Instances that may still be created, None for no limit; and why there are none."""
    spec = spec_of(fleet)
    if spec.configuration.ssh_config is not None:
        return 0, _of_hosts(fleet, cordoned)
    profile = run_spec.merged_profile
    if profile.creation_policy == CreationPolicy.REUSE or profile.instances is not None:
        return 0, "no idle instance fits, and the service creates none"
    try:
        dstack_plan.get_run_profile_and_requirements_in_fleet(
            job=job, run_spec=run_spec, fleet_spec=spec
        )
    except ValueError:
        return 0, "its resources or policies do not match those of the service"
    return _more_nodes(fleet, cordoned)


def _more_nodes(fleet: FleetModel, cordoned: cordons.Cordons) -> tuple[int | None, str]:
    """How many more a fleet's maximum allows, None for no limit; and why there are none."""
    nodes = spec_of(fleet).configuration.nodes
    if nodes is None or nodes.max is None:
        return None, ""
    states = _states(fleet, cordoned)
    exist = "node exists" if nodes.max == 1 else "nodes exist"
    why = f"{len(states)} of at most {nodes.max} {exist}, none is idle"
    for out in ("unreachable", "cordoned"):
        if lost := states.count(out):
            why += f", {lost} {out}"
    return max(nodes.max - len(states), 0), why


def _of_hosts(fleet: FleetModel, cordoned: cordons.Cordons) -> str:
    states = _states(fleet, cordoned)
    return "no idle host fits a replica" if "idle" in states else none_idle(states)


def _states(fleet: FleetModel, cordoned: cordons.Cordons) -> list[str]:
    return [_state(each, cordoned) for each in fleet.instances if each.status.is_active()]


def _state(instance: InstanceModel, cordoned: cordons.Cordons) -> str:
    """What keeps an instance from taking a replica; its status if nothing else does."""
    if cordoned.of_instance(instance) is not None:
        return "cordoned"
    if instance.unreachable:
        return "unreachable"
    return "unhealthy" if instance.health.is_failure() else instance.status.value
