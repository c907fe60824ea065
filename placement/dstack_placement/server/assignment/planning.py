"""Lanes in dstack's plans and in-place updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.core.services.diff import ModelFieldDiff
from dstack._internal.server.models import FleetModel
from dstack._internal.server.services.runs import plan as dstack_plan

from dstack_placement.engine import ServiceSpec
from dstack_placement.server.base.faults import faults
from dstack_placement.server.runs import specs


def has_lanes(run_spec: RunSpec) -> bool:
    """Whether a spec is of a service with lanes."""
    return _lanes(run_spec) is not None


def check_can_update(
    original: Callable[..., Any], current_run_spec: RunSpec, new_run_spec: RunSpec
) -> Any:
    """As dstack's own check, on specs between which the add-on's own fields may differ.

    They are the service's `drain` and `reclaim`, and `fleets` when one of the specs has lanes.
    """
    current, new = current_run_spec.configuration, new_run_spec.configuration
    alike, fields = new_run_spec, []
    with faults.guarded("comparing lanes", None, new_run_spec.run_name):
        fields = _changed(current_run_spec, new_run_spec)
        if fields:
            alike = _with_the_same(fields, current_run_spec, new_run_spec)
    diff = original(current_run_spec, alike)
    for field in fields:
        diff["configuration"][field] = ModelFieldDiff(
            old=getattr(current, field), new=getattr(new, field)
        )
    return diff


def _changed(current_run_spec: RunSpec, new_run_spec: RunSpec) -> list[str]:
    """The fields that may differ and do."""
    current, new = current_run_spec.configuration, new_run_spec.configuration
    if not isinstance(current, ServiceConfiguration) or not isinstance(new, ServiceConfiguration):
        return []
    fields = ["drain", "reclaim"]
    if current.fleets != new.fleets and (has_lanes(current_run_spec) or has_lanes(new_run_spec)):
        fields.append("fleets")
    return [field for field in fields if getattr(current, field) != getattr(new, field)]


def _with_the_same(
    fields: Sequence[str], current_run_spec: RunSpec, new_run_spec: RunSpec
) -> RunSpec:
    """The new spec with some fields of the current one."""
    data, current = new_run_spec.model_dump(), current_run_spec.model_dump()
    for field in fields:
        # What is not set may not be there.
        data["configuration"][field] = current["configuration"].get(field)
    return RunSpec.model_validate(data)


def with_all_fleets(run_spec: RunSpec) -> RunSpec:
    """The spec with the fleets of all groups, where a group has lanes of its own."""
    lanes = _lanes(run_spec)
    if lanes is None or any(lanes.pool_of(group.name) is None for group in lanes.groups):
        # A group without lanes may use any fleet.
        return run_spec
    names = {lane.fleet for pool in lanes.pools.values() for lane in pool}
    profile = run_spec.merged_profile.model_copy(update={"fleets": sorted(names)})
    return run_spec.model_copy(update={"merged_profile": profile})


async def offers_of_lanes(original: Callable[..., Any], asked: dict[str, Any]) -> Any:
    """As dstack's own search for a fleet, over the lanes of the job's group."""
    lanes = _lanes(asked["run_spec"])
    pool = lanes.pool_of(asked["job"].job_spec.replica_group) if lanes else None
    if pool is None:
        return await original(**asked)
    found, instances, backends = None, [], []
    for lane in sorted(pool[1], key=lambda lane: -lane.priority):
        name = lane.fleet.split("/")[-1]
        # Two imported fleets may share a name; what is shown of both is right for the lane.
        models = [fleet for fleet in asked["fleet_models"] if fleet.name == name]
        fleet, of_instances, of_backends = await original(**{**asked, "fleet_models": models})
        found = found or fleet
        if fleet is None and not asked["exclude_not_available"]:
            # dstack passes a full fleet over. That it is full shows by its busy instances.
            with faults.guarded("listing a full fleet", None, asked["run_spec"].run_name):
                of_instances = _instances_of(models, asked)
        instances += of_instances
        backends += of_backends
    return found, instances, backends


def _instances_of(fleets: list[FleetModel], asked: dict[str, Any]) -> list[Any]:
    return [
        offer
        for fleet in fleets
        for offer in dstack_plan.get_instance_offers_in_fleet(
            fleet_model=fleet,
            run_spec=asked["run_spec"],
            job=asked["job"],
            volumes=asked["volumes"],
        )
    ]


def _lanes(run_spec: RunSpec) -> ServiceSpec | None:
    # The project only matters for telling `project/name` from `name`, which plays no part here.
    with faults.guarded("reading lanes", None, run_spec.run_name):
        return specs.lanes_of(run_spec, "")
    return None
