"""Projects of the fleets own (on demand, near) and spot (far), and services on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import projects, snapshots
from tests.builders.projects import ADDON

LANES = [{"name": "own", "min_replicas": 2, "max_replicas": 3, "priority": 9}, {"name": "spot"}]


def spec(retry: Any = None, **more: Any) -> Mapping[str, Any]:
    """The spec of a service with a `retry`."""
    return {"configuration": {"type": "service", "retry": retry, **more}}


def service_on(
    name: str, places: Sequence[str], wish: Mapping[str, Any], **changes: Any
) -> tuple[Service, list[Replica], list[Instance]]:
    """A service, each replica on an instance of its own in a fleet, and these instances."""
    replicas, hosts = [], []
    for number, fleet in enumerate(places):
        instance = f"i-{fleet}-{name}-{number}"
        replicas.append(
            projects.replica(
                number, fleet, service=name, instance_id=instance, spot=fleet == "spot"
            )
        )
        hosts.append(
            snapshots.instance(
                instance.removeprefix("i-"),
                fleet_name=fleet,
                num=len(hosts),
                spot=fleet == "spot",
                price=10.0,
                region="far" if fleet == "spot" else "near",
            )
        )
    limits = projects.group("0", len(places))
    service = projects.service(
        replicas, [limits], name=name, spec=wish, fleet_name=places[0], **changes
    )
    return service, replicas, hosts


def project(
    *services: tuple[Service, list[Replica], list[Instance]],
    idle: Mapping[str, int] | None = None,
    most: Mapping[str, int | None] | None = None,
    **changes: Any,
) -> Snapshot:
    """A project of the fleets own and spot."""
    hosts = [host for _, _, own in services for host in own]
    for fleet, count in (idle or {}).items():
        free = projects.instances(fleet, *["idle"] * count, spot=fleet == "spot")
        hosts += [replace(each, num=50 + each.num, price=10.0) for each in free]
    fleets = []
    for fleet in ("own", "spot"):
        ids = tuple(host.id for host in hosts if host.fleet_name == fleet)
        nodes = len(ids) if most is None else most.get(fleet, len(ids))
        policy = "spot" if fleet == "spot" else "on-demand"
        fleets.append(projects.fleet(fleet, instance_ids=ids, nodes_max=nodes, spot_policy=policy))
    return projects.project(
        *((service, replicas) for service, replicas, _ in services),
        fleets=fleets,
        hosts=hosts,
        capabilities=ADDON,
        **changes,
    )


def with_lanes(
    places: Sequence[str], **changes: Any
) -> tuple[Service, list[Replica], list[Instance]]:
    """The service chat with `LANES`, on some fleets."""
    wish = spec(replicas=len(places), fleets=LANES, spot_policy="auto")
    return service_on("chat", places, wish, has_lanes=True, **changes)


def contended(reclaim: str, *, spot: int, priority: int = 0) -> Snapshot:
    """Vision holds its minimum on own/7; chat has one more in that fleet than its own minimum."""
    lanes = [{"name": "own", "min_replicas": 1, "priority": 9}, "spot"]
    wish = spec(replicas=1, fleets=lanes, spot_policy="auto", reclaim=reclaim)
    vision = service_on("vision", ["own"], wish, has_lanes=True, priority=priority)
    chat = with_lanes(["own", "own", "own"], priority=5)
    found = project(vision, chat, most={"own": 0}, idle={"spot": spot})
    host = found.instances["i-own-vision-0"]
    return replace(found, instances={**found.instances, host.id: replace(host, num=7)})
