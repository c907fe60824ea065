"""A service as large as they come: 3,000 replicas, 1,000 of them workers of a router."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

from dstack_api_client.model.replica import Replica
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.model.service import FleetShare, Group
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import routed_service, snapshots
from tests.builders.snapshots import NOW

REPLICAS, WORKERS = 3_000, 1_000
_FLEETS = ("gpu-reserved", "gpu-spot")


def _replica(num: int) -> Replica:
    group = "router" if num == 0 else "decode" if num <= WORKERS else "embed"
    fleet = _FLEETS[num % 2]
    return routed_service.replica(
        num, group, fleet, is_router=num == 0, hostname=f"10.{num // 250}.{num % 250}.9"
    )


def _workers(members: list[Replica]) -> tuple[Worker, ...]:
    """One in a hundred has failed; those stand first."""
    made = []
    for each in members[1 : WORKERS + 1]:
        failed = each.key.replica_num % 100 == 0
        worker = routed_service.worker(each, Sync.IN_SYNC)
        if failed:
            worker = replace(
                worker, router_health="failed", wrong=100, message=routed_service.FAILED
            )
        made.append(worker)
    return tuple(sorted(made, key=lambda worker: -worker.wrong))


@cache
def snapshot() -> Snapshot:
    """The service, its replicas, and its router read through the add-on."""
    members = [_replica(num) for num in range(REPLICAS)]
    half = REPLICAS // 2
    service = snapshots.service(
        routed_service.NAME,
        submitted_at=NOW - timedelta(days=2),
        deployment_num=7,
        at_deployment=REPLICAS,
        active=REPLICAS,
        running=REPLICAS,
        ready=REPLICAS,
        replicas_min=REPLICAS,
        replicas_max=REPLICAS,
        router="smg",
        groups=(
            Group("router", 1, 1, "smg", 1, 1, 1),
            Group("decode", WORKERS, WORKERS, None, WORKERS, WORKERS, WORKERS),
            Group("embed", 1_999, 1_999, None, 1_999, 1_999, 1_999),
        ),
        fleet_name=None,
        shares=tuple(
            FleetShare(name, f"f-{name}", half, half, 0, 0, half, half * 24.84) for name in _FLEETS
        ),
        replica_keys=tuple(each.key for each in members),
    )
    shot = snapshots.snapshot(
        fleets=routed_service.fleets(), instances=(), services=[service], replicas=members
    )
    workers = _workers(members)
    view = RouterView(
        run_id=routed_service.RUN,
        kind="smg",
        status=RouterStatus.READY,
        source=Source.SERVER,
        observed_at=NOW - timedelta(seconds=2),
        last_sync_at=NOW - timedelta(seconds=4),
        ready=sum(worker.router_health == "ready" for worker in workers),
        expected=WORKERS,
        workers=workers,
    )
    return replace(
        shot,
        capabilities=routed_service.ADDON,
        placements={
            routed_service.RUN: replace(
                routed_service.placement(members),
                desired={group.name: group.active for group in service.groups},
            )
        },
        routers={routed_service.RUN: view},
    )
