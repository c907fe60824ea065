"""Replicas that wait for ever, as nothing chooses the fleet of their run.

dstack gives a run one fleet, which replica 0 chooses, and takes it away when the last replica stops
(0.22.5, `_should_wait_for_run_fleet_assignment` in
`server/background/pipeline_tasks/jobs_submitted.py`). Until replica 0 starts again, which it does
only with its own group, all others wait.
"""

from __future__ import annotations

from dstack_api_client.model.replica import SCALED_DOWN, Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot

WAITS_FOR_EVER = "waits for ever: replica 0, which chooses the fleet in dstack, has been stopped"


def has_no_chooser(snapshot: Snapshot, service: Service) -> bool:
    """Whether a service has no fleet, and no replica from which dstack takes or makes one."""
    if service.fleet_name is not None:
        return False
    return not any(
        replica.key.replica_num == 0
        or (replica.active and (replica.fleet_name is not None or replica.status != "submitted"))
        for replica in snapshot.replicas_of(service)
        if not replica.stopping or _is_tried_again(replica)
    )


def _is_tried_again(replica: Replica) -> bool:
    """Whether one that stops does so since it failed; without a `retry` the run would stop too."""
    return replica.termination_reason not in (None, SCALED_DOWN)


def stranded(snapshot: Snapshot, service: Service) -> list[Replica]:
    """The replicas of a service that wait until its replica 0 starts again."""
    if service.gone or service.has_lanes:
        return []
    if not service.jobs_known or not has_no_chooser(snapshot, service):
        return []
    replicas = snapshot.replicas_of(service)
    return [replica for replica in replicas if replica.status == "submitted"]
