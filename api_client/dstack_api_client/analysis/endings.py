"""Whether a replica that fails takes its whole service with it.

dstack ends a run as soon as one of its replicas has failed in a way that its `retry` is not for
(0.22.5, `_apply_replica_analysis` in `server/background/pipeline_tasks/runs/active.py`). The
placement add-on starts one again that lost its capacity, while another one lives.
"""

from __future__ import annotations

from collections.abc import Collection

from dstack_api_client.analysis.lane_input import stored_lanes_of
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.retries import event_of, event_of_host, starts_again
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot

#: Ends for which the fleet or the cloud is the cause, as the add-on has them (`_LOST_CAPACITY` in
#: `server/active_run/running.py`).
_LOST_CAPACITY = frozenset(
    {
        "failed_to_start_due_to_no_capacity",
        "interrupted_by_no_capacity",
        "instance_unreachable",
        "waiting_instance_limit_exceeded",
        "waiting_runner_limit_exceeded",
    }
)


def lanes_decide(snapshot: Snapshot, service: Service) -> bool:
    """Whether lanes decide where a service's replicas go; else dstack's own rule does."""
    placement = snapshot.placements.get(service.id)
    told = placement.managed if placement is not None else service.has_lanes
    return told and stored_lanes_of(service).has_lanes


def ends_service(snapshot: Snapshot, service: Service, replica: Replica) -> bool:
    """Whether dstack ends a service as one of its replicas failed."""
    if starts_again(service, event_of(replica)):
        return False
    kept = replica.termination_reason in _LOST_CAPACITY and lanes_decide(snapshot, service)
    return not (kept and _others_live(snapshot, service, {replica.key}))


def ends_with_host(
    snapshot: Snapshot, service: Service, replica: Replica, lost: Collection[ReplicaKey]
) -> bool:
    """Whether dstack ends a service once it gives up the host of one of its replicas.

    Args:
        snapshot: Where they are.
        service: The service.
        replica: The replica.
        lost: Those that are lost together.
    """
    if starts_again(service, event_of_host(replica)):
        return False
    return not (lanes_decide(snapshot, service) and _others_live(snapshot, service, lost))


def _others_live(snapshot: Snapshot, service: Service, lost: Collection[ReplicaKey]) -> bool:
    return any(
        each.instance_id is not None and each.key not in lost and not each.stopping
        for each in snapshot.active_in(service)
    )
