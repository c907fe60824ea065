"""Finds lanes whose workers the service's router can't reach, so that none goes there in silence.

Such a lane is skipped for workers while their group has another one. When it has none, they
are placed all the same: what dstack knows of networks is not all there is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dstack._internal.core.models.backends.base import BackendType
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.models import (
    BackendModel,
    FleetModel,
    InstanceModel,
    JobModel,
)
from dstack._internal.server.services.requirements.combine import combine_fleet_and_run_profiles
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from dstack_placement.engine import ReplicaState, Service, ServiceSpec, place
from dstack_placement.server.fleets.lane_fleets import spec_of
from dstack_placement.server.networks.networks import Place, Site
from dstack_placement.server.networks.unreachable import (
    UnreachableLane,
    is_one_network,
    lanes_out_of_reach,
)


async def unreachable_lanes(
    session: AsyncSession,
    run_spec: RunSpec,
    lanes: ServiceSpec,
    service: Service,
    fleets: Mapping[str, FleetModel],
    now: datetime,
) -> dict[tuple[str, str], UnreachableLane]:
    """The lanes that are known not to share a network with the service's router.

    Args:
        session: The session to read in.
        run_spec: The run's spec.
        lanes: Its lanes.
        service: The state of the run, before these lanes are known.
        fleets: The fleets of the lanes.
        now: The time of the look.
    """
    router = next((group.name for group in lanes.groups if group.router), None)
    if router is None or is_one_network():
        return {}
    sites = await _sites(session, run_spec, fleets)
    placed = lanes.pool_of(router) is not None
    found = await _router_site(session, service, router, sites, now if placed else None)
    return lanes_out_of_reach(lanes, *found, sites) if found is not None else {}


async def _router_site(
    session: AsyncSession,
    service: Service,
    group: str,
    sites: Mapping[str, Site],
    now: datetime | None,
) -> tuple[str, Site] | None:
    """Where the router is or will be; None when that is not known.

    Args:
        session: The session to read in.
        service: The state of the run.
        group: The router's group.
        sites: The fleets of the lanes.
        now: The time, to tell which lane it will get; None where it has no lanes.
    """
    own = [
        replica
        for replica in service.replicas
        if replica.group == group and replica.state is not ReplicaState.STOPPING
    ]
    if not own:
        return None
    router = max(own, key=lambda replica: (replica.state.progress, replica.number))
    if router.fleet is None:
        fleet = place(service, router.key, now=now).fleet if now is not None else None
        return (fleet, sites[fleet]) if fleet is not None and fleet in sites else None
    found = await session.execute(
        select(InstanceModel, FleetModel.name)
        .join(JobModel, JobModel.instance_id == InstanceModel.id)
        .join(FleetModel, FleetModel.id == InstanceModel.fleet_id)
        .where(JobModel.id == uuid.UUID(router.key))
        .options(
            load_only(
                InstanceModel.backend,
                InstanceModel.region,
                InstanceModel.fleet_id,
                InstanceModel.project_id,
                InstanceModel.job_provisioning_data,
            )
        )
    )
    row = found.one_or_none()
    if row is not None and row[0].backend is not None:
        return (router.fleet if router.fleet in sites else row[1]), _site_of_instance(row[0])
    return (router.fleet, sites[router.fleet]) if router.fleet in sites else None


def _site_of_instance(instance: InstanceModel) -> Site:
    data = json.loads(instance.job_provisioning_data or "{}")
    return Site(
        fleet=str(instance.fleet_id),
        project=str(instance.project_id),
        ssh=instance.backend is BackendType.REMOTE,
        places=_places([instance]),
        network=data.get("instance_network"),
        addresses=_addresses([instance]),
    )


async def _sites(
    session: AsyncSession, run_spec: RunSpec, fleets: Mapping[str, FleetModel]
) -> dict[str, Site]:
    backends = await session.execute(
        select(BackendModel.project_id, BackendModel.type).where(
            BackendModel.project_id.in_({fleet.project_id for fleet in fleets.values()})
        )
    )
    configured: dict[uuid.UUID, list[BackendType]] = {}
    for project_id, backend in backends:
        configured.setdefault(project_id, []).append(backend)
    instances = await session.execute(
        select(
            InstanceModel.fleet_id,
            InstanceModel.status,
            InstanceModel.backend,
            InstanceModel.region,
            InstanceModel.job_provisioning_data,
        ).where(
            InstanceModel.fleet_id.in_({fleet.id for fleet in fleets.values()}),
            InstanceModel.deleted.is_(False),
        )
    )
    active: dict[uuid.UUID, list[Any]] = {}
    for instance in instances:
        if instance.status.is_active():
            active.setdefault(instance.fleet_id, []).append(instance)
    return {
        name: _site_of_fleet(
            fleet, active.get(fleet.id, []), run_spec, configured.get(fleet.project_id, [])
        )
        for name, fleet in fleets.items()
    }


def _site_of_fleet(
    fleet: FleetModel,
    active: Sequence[Any],
    run_spec: RunSpec,
    configured: Iterable[BackendType],
) -> Site:
    spec = spec_of(fleet)
    addresses = _addresses(active)
    ssh = spec.configuration.ssh_config
    if ssh is not None:
        written = {host.internal_ip for host in ssh.hosts if not isinstance(host, str)}
        return Site(
            fleet=str(fleet.id),
            project=str(fleet.project_id),
            ssh=True,
            network=ssh.network,
            addresses=addresses | {address for address in written if address is not None},
        )
    places = set(_places(active))
    profile = combine_fleet_and_run_profiles(spec.merged_profile, run_spec.merged_profile)
    if profile is not None:
        backends = configured if profile.backends is None else profile.backends
        places |= {
            Place(backend.value, region)
            for backend in backends
            for region in profile.regions or [None]
        }
    return Site(
        fleet=str(fleet.id),
        project=str(fleet.project_id),
        places=frozenset(places),
        addresses=addresses,
    )


def _places(instances: Iterable[InstanceModel]) -> frozenset[Place]:
    return frozenset(
        Place(instance.backend.value, instance.region)
        for instance in instances
        if instance.backend is not None and instance.backend is not BackendType.REMOTE
    )


def _addresses(instances: Iterable[InstanceModel]) -> frozenset[str]:
    found = (json.loads(instance.job_provisioning_data or "{}") for instance in instances)
    return frozenset(str(data["internal_ip"]) for data in found if data.get("internal_ip"))
