"""Which replicas the server reaches, and which of the ready ones therefore take requests.

dstack calls a replica ready by its last probes, and goes on to do so while nobody can reach it.
"""

from __future__ import annotations

from collections.abc import Iterable

from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot


def out_of_reach(snapshot: Snapshot, replica: Replica) -> bool:
    """Whether the server can't reach a replica or its instance."""
    if replica.cut_off:
        return True
    instance = snapshot.instances.get(replica.instance_id or "")
    return instance is not None and instance.unreachable


def serving(snapshot: Snapshot, replicas: Iterable[Replica]) -> int:
    """How many replicas are ready and can be reached; their router is not asked."""
    return sum(each.ready and not out_of_reach(snapshot, each) for each in replicas)


def serving_of(snapshot: Snapshot, service: Service) -> int:
    """How many of a service's ready replicas can be reached."""
    replicas = snapshot.replicas_of(service)
    return service.ready - sum(each.ready and out_of_reach(snapshot, each) for each in replicas)
