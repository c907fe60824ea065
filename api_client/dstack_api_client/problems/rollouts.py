"""Rolling deployments that do not go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.rollout import out_of_date, status_since, waits_for
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import in_text, labels_of, replica_name
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import Service
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.service_replicas import of_pull

#: A rolling deployment replaces one replica at a time: what counts is how long the newest takes.
ROLLOUT_STUCK = timedelta(minutes=15)


def stuck_rollouts(
    service: Service, replicas: Sequence[Replica], time: Moment, since: Since
) -> Iterator[tuple[Problem, set[ReplicaKey]]]:
    """Groups whose rolling deployment does not go on, with the replicas that hold it up."""
    if service.at_deployment >= service.active:
        return
    behind = sorted({r.group for r in replicas if out_of_date(r, service)})
    labels = labels_of(service.groups)
    for group in behind:
        new = [
            replica
            for replica in replicas
            if replica.group == group
            and replica.deployment_num == service.deployment_num
            and not replica.stopping
        ]
        newest = max(new, key=lambda replica: (replica.submitted_at, replica.key), default=None)
        if newest is None:
            began = since.deployments.get((service.id, service.deployment_num))
            why = "no replica of it was started"
        else:
            began = status_since(newest, since)
            why = f"{replica_name(newest)} is not ready: {waits_for(newest)}"
            if newest.ready:
                why = "all replicas of it are ready, and the older ones stay"
        if began is None or not time.past(began, ROLLOUT_STUCK):
            continue
        if newest is not None and newest.pull and of_pull(newest, time, since) != "starting":
            continue  # bytes of its image move, or one look can't tell
        held = {replica.key for replica in new if not replica.ready}
        named = f" of {in_text(labels[group])}" if group in labels else ""
        yield (
            Problem(
                key=f"rollout:{service.id}:{group}",
                kind=Kind.ROLLOUT,
                severity=Severity.WARNING,
                subject=service.name,
                text=f"rollout{named} stuck at {service.at_deployment} of {service.active}: {why}",
                hint="Until it ends, the group is not scaled; apply a spec that starts.",
                since=began,
                service_id=service.id,
                view="rollout",
            ),
            held,
        )
