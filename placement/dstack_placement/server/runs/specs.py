"""Lanes as they stand in dstack's run specs, and what is refused in them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.common import EntityReference
from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.models import (
    ExportedFleetModel,
    FleetModel,
    ImportModel,
    ProjectModel,
)
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.engine import (
    DEFAULT_DRAIN,
    LanesError,
    ServiceSpec,
    read_configuration,
    read_stored,
)


def lanes_of(run_spec: RunSpec, project: str) -> ServiceSpec | None:
    """The lanes of a service that is stored, as far as they can be met.

    None for a service without, which dstack's own code places.

    Args:
        run_spec: The run's spec.
        project: The name of its project.
    """
    if not isinstance(run_spec.configuration, ServiceConfiguration):
        return None
    read = read_stored(_plain(run_spec), project=project)
    return read if read.has_lanes else None


def drain_of(configuration: ServiceConfiguration, group: str) -> timedelta:
    """How long a replica of a group may take to end its requests; nothing for `off`.

    Args:
        configuration: The service's configuration.
        group: The group's name; one that an edit took away has what the service has.
    """
    # The fields are the add-on's own.
    own = [entry.drain for entry in configuration.replica_groups if entry.name == group]
    drain = next((drain for drain in own if drain is not None), configuration.drain)
    if drain is None:
        return DEFAULT_DRAIN
    return timedelta(0) if drain == "off" else timedelta(seconds=drain)


async def refuse_wrong_lanes(
    session: AsyncSession, project: ProjectModel, run_spec: RunSpec
) -> ServiceSpec:
    """Checks the lanes of a spec that somebody plans or applies.

    Raises:
        ServerClientError: They can't be accepted; one line for each reason.
    """
    try:
        return read_configuration(
            _plain(run_spec),
            known=await known_fleets(session, project),
            project=project.name,
        )
    except LanesError as error:
        raise ServerClientError(str(error)) from error


async def known_fleets(session: AsyncSession, project: ProjectModel) -> Collection[str]:
    """The fleets that a run of the project may name: its own and the imported ones."""
    own = await session.execute(
        select(FleetModel.name).where(
            FleetModel.project_id == project.id, FleetModel.deleted.is_(False)
        )
    )
    imported = await session.execute(
        select(ProjectModel.name, FleetModel.name)
        .join(FleetModel, FleetModel.project_id == ProjectModel.id)
        .join(ExportedFleetModel, ExportedFleetModel.fleet_id == FleetModel.id)
        .join(ImportModel, ImportModel.export_id == ExportedFleetModel.export_id)
        .where(ImportModel.project_id == project.id, FleetModel.deleted.is_(False))
    )
    return {*own.scalars(), *(f"{owner}/{name}" for owner, name in imported)}


def _plain(run_spec: RunSpec) -> dict[str, Any]:
    """What the engine reads of a configuration, without a dump of all of it."""
    configuration = run_spec.configuration
    plain: dict[str, Any] = {
        "type": configuration.type,
        "fleets": _references(run_spec.merged_profile.fleets),
    }
    if isinstance(configuration, ServiceConfiguration):
        plain["reclaim"] = configuration.reclaim
        plain["groups"] = [
            {
                "name": group.name,
                "replicas": {"min": group.replicas.min, "max": group.replicas.max},
                "router": group.router,
                "fleets": _references(group.fleets),
            }
            for group in configuration.replica_groups
        ]
    return plain


def _references(fleets: list[EntityReference | str] | None) -> list[Any] | None:
    if fleets is None:
        return None
    return [fleet if isinstance(fleet, str) else fleet.model_dump() for fleet in fleets]
