"""Snapshots made by hand, at a time that stands still."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.replica import Link, Probe, Replica, ReplicaKey
from dstack_api_client.model.service import FleetShare, Group, Service
from dstack_api_client.model.snapshot import ServerInfo, Snapshot

NOW = datetime(2026, 3, 14, 14, 2, 31, tzinfo=timezone.utc)


def instance(name: str = "gpu-0", /, **values: object) -> Instance:
    """An instance that is busy with its one block."""
    fleet = str(values.get("fleet_name", "gpu"))
    base = Instance(
        id=f"i-{name}",
        name=name,
        num=0,
        fleet_id=f"f-{fleet}",
        fleet_name=fleet,
        status="busy",
        unreachable=False,
        health="healthy",
        hostname="10.0.0.1",
        backend="aws",
        region="us-east-1",
        availability_zone=None,
        instance_type="p5.48xlarge",
        cpus=192,
        memory_mib=2_097_152,
        disk_mib=102_400,
        gpus=Gpus("H100", 8, 81_920),
        gpu_driver=None,
        spot=False,
        price=98.32,
        total_blocks=1,
        busy_blocks=1,
        created_at=NOW - timedelta(hours=3),
        finished_at=None,
        termination_reason=None,
        termination_message=None,
        idle_since=None,
        jobs=(),
    )
    return replace(base, **values)


def fleet(name: str = "gpu", /, **values: object) -> Fleet:
    """A cloud fleet with one busy instance."""
    base = Fleet(
        id=f"f-{name}",
        name=name,
        project="main",
        status="active",
        status_message=None,
        created_at=NOW - timedelta(days=12),
        kind="cloud",
        nodes_min=1,
        nodes_target=1,
        nodes_max=4,
        spot_policy="on-demand",
        backends=("aws",),
        placement=None,
        reservation=None,
        idle_duration="1h",
        instance_ids=(f"i-{name}-0",),
        states={"busy": 1},
        unhealthy=0,
        gpu_name="H100",
        gpus_busy=8,
        gpus_total=8,
        blocks_busy=1,
        blocks_total=1,
        price=98.32,
        replicas=1,
        other_jobs=0,
        spec={"configuration": {"type": "fleet", "name": name, "nodes": {"min": 1, "max": 4}}},
        spec_digest=name.encode(),
    )
    return replace(base, **values)


def replica(service_name: str = "chat", num: int = 0, /, **values: object) -> Replica:
    """A replica that runs and is ready."""
    base = Replica(
        key=ReplicaKey(f"s-{service_name}", num, 0),
        run_name=service_name,
        run_type="service",
        group="0",
        is_router=False,
        job_name=f"{service_name}-0-{num}",
        submission_id=f"j-{service_name}-{num}",
        submission_num=0,
        deployment_num=0,
        status="running",
        status_message="running",
        submitted_at=NOW - timedelta(minutes=5),
        finished_at=None,
        termination_reason=None,
        termination_message=None,
        exit_status=None,
        error=None,
        probes=(Probe(3, 1),),
        ready=True,
        hostname="10.0.0.1",
        backend="aws",
        region="us-east-1",
        spot=False,
        gpus=Gpus("H100", 8, 81_920),
        price=98.32,
        instance_id="i-gpu-0",
        fleet_id="f-gpu",
        fleet_name="gpu",
        link=Link.EXACT,
    )
    return replace(base, **values)


def service(name: str = "chat", /, **values: object) -> Service:
    """A service with one replica."""
    base = Service(
        id=f"s-{name}",
        name=name,
        project="main",
        user="admin",
        status="running",
        status_message="running",
        error=None,
        priority=0,
        submitted_at=NOW - timedelta(minutes=5),
        deployment_num=0,
        at_deployment=1,
        active=1,
        running=1,
        ready=1,
        replicas_min=1,
        replicas_max=1,
        autoscaled=False,
        router=None,
        groups=(Group("0", 1, 1, None, 1, 1, 1),),
        fleet_name="gpu",
        shares=(FleetShare("gpu", "f-gpu", 1, 1, 0, 0, 1, 98.32),),
        price=98.32,
        url="http://127.0.0.1:3000/proxy/services/main/chat/",
        model=None,
        replica_keys=(ReplicaKey(f"s-{name}", 0, 0),),
        jobs_known=True,
        spec={"configuration": {"type": "service", "name": name, "env": {"TOKEN": "hush"}}},
        spec_digest=name.encode(),
    )
    return replace(base, **values)


def snapshot(
    fleets: Iterable[Fleet] | None = None,
    instances: Iterable[Instance] | None = None,
    services: Iterable[Service] | None = None,
    replicas: Iterable[Replica] | None = None,
) -> Snapshot:
    """A snapshot; by default of one fleet, one instance, one service and one replica."""
    if instances is None:
        instances = [instance(jobs=(ReplicaKey("s-chat", 0, 0),))]
    return Snapshot(
        server=ServerInfo("http://127.0.0.1:3000", "0.22.5"),
        project="main",
        observed_at=NOW,
        fleets={f.id: f for f in ([fleet()] if fleets is None else fleets)},
        instances={i.id: i for i in instances},
        services={s.id: s for s in ([service()] if services is None else services)},
        other_runs={},
        replicas={r.key: r for r in ([replica()] if replicas is None else replicas)},
    )
