"""What is wrong with the replicas of one service, told beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.labels import listed, replica_name, replica_row
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.fleets import HEALTH_HINT, unreachable_hint
from dstack_api_client.problems.losses import breaks_something
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.services import of_services

#: The views of a service whose problems are about its replicas.
_VIEWS = ("replicas", "rollout")


def of_replicas_in(
    snapshot: Snapshot, service: Service, time: Moment, since: Since
) -> tuple[Problem, ...]:
    """Finds what is wrong with the replicas of a service, the worst first.

    What the whole project is told of an instance, its fleet and all that runs there, is told here
    of the replicas of the service that are on it.

    Args:
        snapshot: What is.
        service: The service.
        time: The time, to tell what takes too long.
        since: What events told.
    """
    on: dict[tuple[str, str | None], list[tuple[Instance, Replica]]] = {}
    for key in service.replica_keys:
        replica = snapshot.replicas.get(key)
        instance = snapshot.instances.get((replica and replica.instance_id) or "")
        if replica is None or not replica.active or instance is None:
            continue
        what = "unreachable" if instance.state == "unreachable" else instance.health
        if what in ("unreachable", "failure"):
            on.setdefault((what, instance.fleet_id), []).append((instance, replica))
    of_instances = [
        _on_instances(snapshot, service, what, here, since) for (what, _), here in on.items()
    ]
    explained = {
        replica.key
        for (what, _), here in on.items()
        for _, replica in here
        if what == "unreachable"
    }
    alone = replace(snapshot, services={service.id: service})
    found = of_services(alone, time, since, explained).problems
    of_service = [problem for problem in found if problem.view in _VIEWS]
    return tuple(sorted((*of_instances, *of_service), key=lambda problem: -problem.severity))


def _on_instances(
    snapshot: Snapshot,
    service: Service,
    what: str,
    here: Sequence[tuple[Instance, Replica]],
    since: Since,
) -> Problem:
    """One problem of all replicas on instances of a fleet that have the same."""
    instances = list(dict.fromkeys(instance for instance, _ in here))
    replicas = [replica for _, replica in here]
    fleet = snapshot.fleets.get(instances[0].fleet_id or "")
    names = listed(
        each.name if each.fleet_name is None else f"{each.fleet_name}/{each.num}"
        for each in instances
    )
    is_lost = what == "unreachable"
    told = since.unreachable if is_lost else since.health
    verb = "are" if len(instances) > 1 else "is"
    state = f"{verb} unreachable" if is_lost else f"{verb} unhealthy"
    loud = is_lost and breaks_something(snapshot, replicas, given_up=True)
    return Problem(
        key=f"on {what}:{service.id}:{instances[0].fleet_id}",
        kind=Kind.INSTANCE,
        severity=Severity.CRITICAL if loud else Severity.WARNING,
        subject=service.name,
        text=f"{listed(map(replica_name, replicas))}: on {names}, which {state}",
        hint=unreachable_hint(snapshot, fleet, instances) if is_lost else HEALTH_HINT,
        since=min((told[each.id] for each in instances if each.id in told), default=None),
        service_id=service.id,
        view="replicas",
        row=replica_row(replicas[0].key),
    )
