"""Projects made by hand, in which services add their replicas up as the real joining does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dstack_api_client.events.stream import Event, Target
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.placement import LanePlacement, Placement, ReplicaPlacement
from dstack_api_client.model.replica import Probe, Replica, ReplicaKey
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import LANE_FIELDS, Lane
from tests.builders import snapshots
from tests.builders.snapshots import NOW

STOCK = Capabilities("0.22.5")
ADDON = Capabilities("0.22.5", True, "1.0", frozenset({"placement", "router"}))
PLACELESS: dict[str, Any] = {
    "hostname": None, "instance_id": None, "fleet_id": None, "fleet_name": None, "price": None,
}  # fmt: skip


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def replica(
    num: int, fleet: str | None = "gpu", status: str = "running", /, **changes: Any
) -> Replica:
    """A replica of the service chat; one that runs is ready unless it is said otherwise."""
    ready = changes.pop("ready", status == "running")
    values: dict[str, Any] = {
        "status": status,
        "status_message": status,
        "ready": ready,
        "probes": (Probe(3 if ready else 1, 3),),
        "submitted_at": ago(hours=1),
        "instance_id": f"i-{fleet}-{num}",
        "fleet_id": f"f-{fleet}",
        "fleet_name": fleet,
        "price": 10.0,
        **(PLACELESS if fleet is None else {}),
    }
    return snapshots.replica(changes.pop("service", "chat"), num, **{**values, **changes})


def group(
    name: str = "0", low: int = 1, high: int | None = None, router: str | None = None
) -> Group:
    return Group(name, low, low if high is None else high, router, 0, 0, 0)


def service(
    replicas: Sequence[Replica], groups: Sequence[Group] | None = None, /, **changes: Any
) -> Service:
    """A service of some replicas, by default as many as it wants."""
    name = changes.pop("name", "chat")
    counting = [each for each in replicas if each.standing]
    counted = tuple(
        replace(
            each,
            active=sum(r.group == each.name for r in counting),
            running=sum(r.group == each.name and r.status == "running" for r in counting),
            ready=sum(r.group == each.name and r.ready for r in counting),
        )
        for each in groups or [group("0", len(counting))]
    )
    number = changes.get("deployment_num", 0)
    limits = [each.replicas_max for each in counted]
    values: dict[str, Any] = {
        "submitted_at": ago(hours=2),
        "at_deployment": sum(each.deployment_num == number for each in counting),
        "active": len(counting),
        "running": sum(each.status == "running" for each in counting),
        "ready": sum(each.ready for each in counting),
        "replicas_min": sum(each.replicas_min for each in counted),
        "replicas_max": None if None in limits else sum(limit or 0 for limit in limits),
        "router": next((each.router for each in counted if each.router), None),
        "groups": counted,
        "fleet_name": None,
        "price": sum(each.price or 0 for each in replicas if each.active),
        "replica_keys": tuple(each.key for each in replicas),
        "spec": {"configuration": {"type": "service", "name": name}},
    }
    return snapshots.service(name, **{**values, **changes})


def with_lanes(lanes: Sequence[Any], low: int, high: int | None = None) -> dict[str, Any]:
    """The spec of a service with lanes."""
    replicas = {"min": low, "max": low if high is None else high}
    return {"configuration": {"type": "service", "fleets": list(lanes), "replicas": replicas}}


def instances(fleet: str, *states: str, **changes: Any) -> list[Instance]:
    """Instances of a fleet, one per status."""
    return [
        snapshots.instance(
            f"{fleet}-{num}",
            **{
                "num": num,
                "fleet_name": fleet,
                "status": status,
                "busy_blocks": int(status == "busy"),
                "price": 98.32,
                **changes,
            },
        )
        for num, status in enumerate(states)
    ]


def fleet(name: str, /, **changes: Any) -> Fleet:
    return snapshots.fleet(name, **{"nodes_min": 0, "nodes_target": 0, "nodes_max": 4, **changes})


def project(
    *services: tuple[Service, Sequence[Replica]],
    fleets: Iterable[Fleet] = (),
    hosts: Iterable[Instance] = (),
    capabilities: Capabilities = STOCK,
    placements: Iterable[Placement] = (),
    routers: Iterable[RouterView] = (),
) -> Snapshot:
    """A snapshot of services with their replicas."""
    base = snapshots.snapshot(
        fleets,
        hosts,
        [each for each, _ in services],
        [one for _, replicas in services for one in replicas],
    )
    return replace(
        base,
        capabilities=capabilities,
        placements={each.run_id: each for each in placements},
        routers={each.run_id: each for each in routers},
    )


def lane(fleet: str, /, **changes: Any) -> LanePlacement:
    base = LanePlacement(
        pool="",
        lane=Lane.of(fleet, {each.name: changes.pop(each.name, None) for each in LANE_FIELDS}),
        target=0,
        running=0,
        ready=0,
        pending=0,
        deficit=0,
        deficit_since=None,
        fallbacks=0,
        room=None,
        cooldown_until=None,
        reason="",
    )
    return replace(base, **changes)


def placement(
    *lanes: LanePlacement,
    desired: Mapping[str, int] | None = None,
    pools: Mapping[str, str | None] | None = None,
    replicas: Iterable[ReplicaPlacement] = (),
    managed: bool = True,
    notes: Iterable[str] = (),
    rebalancing_left: int | None = None,
) -> Placement:
    """The placement of the service chat."""
    return Placement(
        run_id="s-chat",
        managed=managed,
        observed_at=ago(seconds=2),
        desired=dict(desired or {}),
        pools=dict(pools or {"0": ""}),
        lanes=lanes,
        replicas=tuple(replicas),
        notes=tuple(notes),
        rebalancing_since=None if rebalancing_left is None else ago(minutes=1),
        rebalancing_left=rebalancing_left or 0,
    )


def placed(
    num: int, fleet: str | None, reason: str | None = None, why: str | None = None
) -> ReplicaPlacement:
    return ReplicaPlacement(num, "0", f"j-chat-{num}", fleet, reason, why, None)


def router(
    *workers: Worker, status: RouterStatus = RouterStatus.READY, **changes: Any
) -> RouterView:
    """The router of the service chat."""
    base = RouterView(
        "s-chat", "smg", status, Source.SERVER, observed_at=ago(seconds=2),
        ready=sum(each.router_health == "ready" for each in workers),
        expected=len(workers), workers=workers,
    )  # fmt: skip
    return replace(base, **changes)


def worker(num: int, /, sync: Sync = Sync.IN_SYNC, **changes: Any) -> Worker:
    base = Worker(
        f"w-{num}", sync, "ready", "running", replica=ReplicaKey("s-chat", num, 0), group="decode"
    )
    return replace(base, **changes)


def event(message: str, at: Any, kind: str, about: str) -> Event:
    return Event(f"{message} {at} {about}", at, message, None, (Target(kind, about, about),))


def chat(*replicas: Replica, low: int | None = None, **changes: Any) -> Snapshot:
    """The service chat, alone."""
    groups = changes.pop("groups", None)
    if groups is None and low is not None:
        groups = [group("0", low)]
    about = {
        key: changes.pop(key)
        for key in ("placements", "routers", "fleets", "hosts")
        if key in changes
    }
    return project((service(replicas, groups, **changes), replicas), **about)


def fleet_of(*states: str, changes: dict[str, Any] | None = None, **host: Any) -> Snapshot:
    """The fleet gpu, alone."""
    return project(
        fleets=[fleet("gpu", **(changes or {}))], hosts=instances("gpu", *states, **host)
    )


def hosts(*names: str, up: int = 0, failed: int = 0, **changes: Any) -> Snapshot:
    """The SSH fleet lab of some hosts, alone: the first are up, the last could not be set up."""
    nodes = dict.fromkeys(("nodes_min", "nodes_target", "nodes_max"), len(names))
    spec = {"configuration": {"type": "fleet", "ssh_config": {"hosts": list(names)}}}
    lost = [
        snapshots.instance(
            f"lab-failed-{num}", fleet_name="lab", num=up + num, hostname=None, status="terminated",
            termination_reason="provisioning_timeout", finished_at=ago(hours=1),
            termination_message="Failed to add SSH instance in 600s",
        )
        for num in range(failed)
    ]  # fmt: skip
    lab = fleet("lab", kind="ssh", spec=spec, failed=tuple(lost), **{**nodes, **changes})
    there = [
        replace(each, hostname=name)
        for each, name in zip(instances("lab", *["busy"] * up), names, strict=False)
    ]
    return project(fleets=[lab], hosts=there)


def stuck(num: int, status: str, /, **changes: Any) -> Replica:
    """A replica that has had its status for an hour."""
    at = changes.pop("fleet", "gpu" if status != "submitted" else None)
    return replica(num, at, status, **{"ready": False, **changes})
