"""The workers that dstack expects in the list of a service's router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dstack_api_client.model.engines import Engine, engine_of
from dstack_api_client.model.placement import Drain
from dstack_api_client.model.replica import STARTING, Replica, ReplicaKey
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import ServiceSpec


@dataclass(frozen=True, slots=True)
class Expected:
    """A worker replica that has not ended."""

    key: ReplicaKey
    job_id: str
    group: str
    fleet: str | None
    address: str | None
    """`host:port` at which the router dials it."""
    job_status: str
    running_since: datetime | None
    """None when it does not run, or where this is not known."""
    probes_passed: bool | None
    """None without probes."""
    role: str | None
    scheme: str
    engine: Engine
    starting_since: datetime | None = None
    """Since when the replica waits for a place, or since when it has the one in which it starts."""
    drain: Drain | None = None
    """What it does if it is to stop and ends its open requests first."""
    starting_longer: bool = False
    """Whether it may be for longer than that."""

    @property
    def running(self) -> bool:
        """Whether it is to be in the list."""
        return self.job_status == "running"

    @property
    def starting(self) -> bool:
        """Whether it is to be in the list once it runs."""
        return self.job_status in STARTING


def router_of(snapshot: Snapshot, service: Service) -> Replica | None:
    """The replica that routes: one that runs before any other, then the newest."""
    routers = [replica for replica in snapshot.replicas_of(service) if replica.is_router]
    return max(
        routers,
        key=lambda r: (r.status == "running", r.active, r.deployment_num, r.key.replica_num),
        default=None,
    )


def workers_of(
    snapshot: Snapshot,
    service: Service,
    engines: Mapping[str, Engine],
    running_since: Mapping[str, datetime],
) -> list[Expected]:
    """The worker replicas of a service that have not ended.

    Args:
        snapshot: Where the service is.
        service: The service.
        engines: What `engines_of` found in its spec.
        running_since: When submissions of jobs began to run, as far as known.
    """
    unknown = Engine(None, grpc=False, asks_key=False, role=None)
    given = snapshot.lanes_given(service.id)
    found = []
    for replica in snapshot.active_in(service):
        # Only the first job of a replica is a worker.
        if replica.is_router or replica.key.job_num:
            continue
        engine = engines.get(replica.group, unknown)
        found.append(
            Expected(
                key=replica.key,
                job_id=replica.submission_id,
                group=replica.group,
                fleet=replica.fleet_name or given.get(replica.submission_id),
                address=replica.address,
                job_status=replica.status,
                running_since=running_since.get(replica.submission_id)
                if replica.status == "running"
                else None,
                probes_passed=replica.ready if replica.probes else None,
                role=replica.role or engine.role,
                scheme="grpc" if engine.grpc else "http",
                engine=engine,
                starting_since=replica.since,
                starting_longer=replica.since_earlier,
                drain=snapshot.drain_of(replica),
            )
        )
    return found


def engines_of(spec: Mapping[str, Any]) -> dict[str, Engine]:
    """What the commands of each replica group say of its engine.

    Args:
        spec: A run's spec as received.
    """
    read = ServiceSpec.of(spec)
    configuration = spec.get("configuration")
    if not isinstance(configuration, Mapping):
        return {}
    return {group.name: _engine({**configuration, **group.entry}) for group in read.groups}


def _engine(configuration: Mapping[str, Any]) -> Engine:
    return engine_of(
        configuration.get("commands"), configuration.get("entrypoint"), configuration.get("image")
    )
