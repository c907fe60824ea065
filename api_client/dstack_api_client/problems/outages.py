"""Services that serve nothing while no other problem says why: what they have still starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dstack_api_client.analysis.health import Health, HealthState
from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.rollout import waits_for
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import listed, replica_name, replica_row
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.service_replicas import fell_just_now

_AGAIN = "dstack has started it again; it serves once a replica is ready."

_CUT = "instance_unreachable"


def outages(
    snapshot: Snapshot,
    time: Moment,
    since: Since,
    healths: Mapping[str, Health],
    found: Iterable[Problem],
) -> Iterator[Problem]:
    """Finds the services that are down of which nothing tells yet.

    A replica that was lost once and loads again counts as a problem of its own only later: until
    then this one says that requests fail. Where every replica is ready, the service's router is
    asked why none gets a request, and is given time first.

    Args:
        snapshot: What is.
        time: The time, to tell what takes too long.
        since: What events told.
        healths: How services are, by `service_healths`.
        found: The problems that were found; those that only cost money tell of no outage.
    """
    told: set[str | None] = set()
    for problem in found:
        if problem.severity is not Severity.NOTICE:
            told |= {problem.service_id, *problem.run_ids}
    for service_id, health in healths.items():
        service = snapshot.services[service_id]
        if health.state is not HealthState.DOWN or service_id in told or service.gone:
            continue
        standing = [each for each in snapshot.replicas_of(service) if each.standing]
        waiting = [each for each in standing if not each.ready]
        if (waiting or not standing) and not any(fell_just_now(r, time, since) for r in waiting):
            yield _outage(service, standing, waiting)


def _outage(service: Service, standing: list[Replica], waiting: list[Replica]) -> Problem:
    lost = [each.lost_at for each in waiting if each.lost_at is not None]
    # Once all are lost nothing is served: before the last of them was, something may have been.
    since = max(lost) if lost and len(lost) == len(standing) else None
    # Its host may have been out of reach for minutes before dstack gave it up.
    earlier = any(r.before is not None and r.before.termination_reason == _CUT for r in waiting)
    return Problem(
        key=f"outage:{service.id}",
        kind=Kind.SERVICE,
        severity=Severity.CRITICAL,
        subject=service.name,
        text=f"no replica takes requests ({_state(waiting)})",
        hint=_AGAIN if lost else "It serves once a replica is ready.",
        since=since,
        at_least=since is not None and earlier,
        service_id=service.id,
        view="replicas",
        row=replica_row(waiting[0].key) if waiting else None,
    )


def _state(waiting: list[Replica]) -> str:
    """What is known of the replicas that are to take them: those that have the same together."""
    by_state: dict[str, list[Replica]] = {}
    for replica in sorted(waiting, key=lambda each: each.key):
        by_state.setdefault(waits_for(replica), []).append(replica)
    if not by_state:
        return "there is none"
    return "; ".join(
        f"{listed(map(replica_name, members))}: {state}" for state, members in by_state.items()
    )
