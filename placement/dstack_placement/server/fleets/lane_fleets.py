"""The fleets that the lanes of a project's services may name."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.server.models import (
    ExportedFleetModel,
    FleetModel,
    ImportModel,
    InstanceModel,
    ProjectModel,
)
from dstack._internal.server.services.fleets import get_fleet_spec
from dstack._internal.server.services.jobs import get_instances_ids_with_detaching_volumes
from sqlalchemy import bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only, selectinload

from dstack_placement.server.base.kept import Kept

# Made once: it is asked at every look, and making it takes longer than asking it.
_PROJECT: Any = bindparam("project")
_OWN_AND_LENT = (
    select(FleetModel, ProjectModel.name)
    .join(ProjectModel, ProjectModel.id == FleetModel.project_id)
    .where(
        FleetModel.deleted.is_(False),
        or_(
            FleetModel.project_id == _PROJECT,
            FleetModel.id.in_(
                select(ExportedFleetModel.fleet_id)
                .join(ImportModel, ImportModel.export_id == ExportedFleetModel.export_id)
                .where(ImportModel.project_id == _PROJECT)
            ),
        ),
    )
    .execution_options(populate_existing=True)
)
_NAMED = _OWN_AND_LENT.where(FleetModel.name.in_(bindparam("names", expanding=True)))
_SPEC = load_only(FleetModel.name, FleetModel.project_id, FleetModel.spec)
#: What dstack compares with a replica's needs, and what says why there is no room.
_COMPARED = (
    InstanceModel.fleet_id,
    InstanceModel.status,
    InstanceModel.unreachable,
    InstanceModel.health,
    InstanceModel.total_blocks,
    InstanceModel.busy_blocks,
    InstanceModel.price,
    InstanceModel.offer,
    InstanceModel.job_provisioning_data,
)


async def fleets_of_lanes(
    session: AsyncSession,
    project: ProjectModel,
    names: Collection[str] | None = None,
    *,
    with_instances: bool = False,
    for_dstack: bool = False,
) -> dict[str, FleetModel]:
    """The project's own fleets and those lent to it, by the names that lanes have for them.

    Args:
        session: The session to read in.
        project: The project.
        names: Those that are wanted; None for all.
        with_instances: Whether to read all of them and of their instances what tells how much room
            there is; else there is no more than their names and specs.
        for_dstack: Whether to read all of the instances too, as dstack is to assign one.
    """
    asked = _OWN_AND_LENT
    given: dict[str, Any] = {"project": project.id}
    if names is not None:
        asked = _NAMED
        given["names"] = {name.rpartition("/")[2] for name in names}
    if with_instances:
        # What another job frees, and is still detached from its volumes, is not to be had yet.
        detaching = await get_instances_ids_with_detaching_volumes(session)
        # One statement for fleets, one for instances: with dstack's own two, a fleet would be lost
        # that gets its first instance between them.
        instances = selectinload(
            FleetModel.instances.and_(
                InstanceModel.deleted.is_(False), InstanceModel.id.not_in(detaching)
            )
        )
        asked = asked.options(instances if for_dstack else instances.load_only(*_COMPARED))
    else:
        asked = asked.options(_SPEC)
    found = {
        fleet.name if fleet.project_id == project.id else f"{owner}/{fleet.name}": fleet
        for fleet, owner in await session.execute(asked, given)
    }
    return found if names is None else {name: found[name] for name in names if name in found}


#: What a spec takes in memory for each of its characters, about.
_BYTES = 10
_specs: Kept[uuid.UUID, FleetSpec] = Kept(8 * 1024 * 1024)


def spec_of(fleet: FleetModel) -> FleetSpec:
    """The spec of a fleet, which is read once; nobody may change it."""
    spec = _specs.get(fleet.id, fleet.spec)
    if spec is None:
        spec = get_fleet_spec(fleet)
        _specs.put(fleet.id, fleet.spec, spec, _BYTES * len(fleet.spec))
    return spec
