"""What is wrong with services, and with all that they are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.fleet_rows import FleetRow
from dstack_api_client.analysis.health import FAILED_SHOWN
from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import counted, labels_of, lane_name, lane_row, listed
from dstack_api_client.model.placement import OTHER_SERVER, LanePlacement, Placement
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.stranded import stranded
from dstack_api_client.problems.addresses import lost_peers
from dstack_api_client.problems.drains import drains_cut
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.rollouts import stuck_rollouts
from dstack_api_client.problems.service_replicas import PENDING_LONG, of_sort, sorted_out
from dstack_placement.engine import Code

#: Whoever started such a server hears of it meanwhile; one that goes on places more replicas.
OTHER_SERVER_SHOWN = timedelta(hours=1)

#: Why dstack ends a run that nobody stopped.
#: What that means, where no replica says more.
_ENDS = {
    "job_failed": "a replica failed",
    "retry_limit_exceeded": "a replica could not be started again within `retry`",
    "server_error": "the server made an error",
    "gateway_error": "the gateway did not take it",
}
#: What only repeats that it failed.
_NO_CAUSE = frozenset({"failed", "terminating", "job failed"})
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


@dataclass
class Services:
    """What was found.

    Attributes:
        problems: Of services.
        replicas: Replicas that one of them is about.
    """

    problems: list[Problem] = field(default_factory=list)
    replicas: set[ReplicaKey] = field(default_factory=set)


def of_services(
    snapshot: Snapshot, time: Moment, since: Since, explained: Collection[ReplicaKey]
) -> Services:
    """Finds what is wrong with services.

    Args:
        snapshot: What is.
        time: The time, to tell what takes too long.
        since: What events told.
        explained: Replicas whose trouble has a cause that is told elsewhere.
    """
    found = Services()
    alive = {service.name for service in snapshot.services.values() if not service.finished}
    for service in snapshot.services.values():
        if service.finished:
            if service.status == "failed" and service.name not in alive:
                found.problems += _failed(snapshot, service, time)
            continue
        if service.waits_for_its_time:
            continue
        ending = service.stopping
        if service.failing:
            found.problems += _failed(snapshot, service, time)
        if not ending:
            found.problems += _placing(snapshot, service)
            found.problems += _other_server(snapshot, service, time, since)
            found.problems += drains_cut(service, time, since)
            found.problems += _baselines(snapshot, service)
            found.problems += lost_peers(snapshot, service, since)
        replicas = snapshot.replicas_of(service)
        for stuck in () if ending else stuck_rollouts(service, replicas, time, since):
            found.problems.append(stuck[0])
            found.replicas |= stuck[1]
        left = [
            replica
            for replica in replicas
            if replica.key not in explained
            and replica.key not in found.replicas
            # It may take as long as its drain lets it.
            and not (replica.stopping and snapshot.drain_of(replica) is not None)
            and (replica.stopping or not ending)
        ]
        sorts = sorted_out(service, left, time, since)
        waiting = stranded(snapshot, service)
        if waiting:
            sorts = {"stranded": waiting} | {
                what: rest
                for what, members in sorts.items()
                if (rest := [each for each in members if each not in waiting])
            }
        for what, members in sorts.items():
            found.problems += of_sort(snapshot, service, what, members, since)
            found.replicas.update(replica.key for replica in members)
        if not sorts and _waits(service, time):
            found.problems.append(_waiting(service))
    return found


def _failed(snapshot: Snapshot, service: Service, time: Moment) -> Iterator[Problem]:
    replicas = snapshot.replicas_of(service)
    if service.finished and time.past(service.ended_at or service.submitted_at, FAILED_SHOWN):
        return
    last = max(
        replicas, key=lambda replica: (replica.finished_at or _LONG_AGO, replica.key), default=None
    )
    told = (
        service.error or "",
        last.message if last is not None else "",
        service.status_message,
        _ENDS.get(service.termination_reason or "", ""),
    )
    causes = [each for each in told if each and each not in _NO_CAUSE]
    text = ": ".join(dict.fromkeys(causes[:2] if service.error else causes[:1]))
    says = "failed" if service.finished else "is being ended after a failure"
    yield Problem(
        key=f"service:{service.id}",
        kind=Kind.SERVICE,
        severity=Severity.CRITICAL,
        subject=service.name,
        text=f"{says}: {text}" if text else says,
        hint="It serves nothing until it is applied again; delete it if you do not need it.",
        since=service.ended_at,
        service_id=service.id,
        view="replicas",
    )


def _waits(service: Service, time: Moment) -> bool:
    return (
        service.jobs_known
        and service.replicas_min > 0
        and service.active == 0
        and service.status in ("pending", "submitted")
        and time.past(service.submitted_at, PENDING_LONG)
    )


def _waiting(service: Service) -> Problem:
    return Problem(
        key=f"service:{service.id}",
        kind=Kind.SERVICE,
        severity=Severity.CRITICAL,
        subject=service.name,
        text=f"{service.status}: none of at least {counted(service.replicas_min, 'replica')}",
        hint="dstack starts it again at longer and longer intervals, up to 10 minutes.",
        service_id=service.id,
        view="replicas",
    )


def _placing(snapshot: Snapshot, service: Service) -> Iterator[Problem]:
    placement = snapshot.placements.get(service.id)
    if placement is not None and placement.fault:
        yield Problem(
            key=f"placement:{service.id}",
            kind=Kind.SERVICE,
            severity=Severity.WARNING,
            subject=service.name,
            text=f"placement: {placement.fault}",
            hint="dstack's own rule places its replicas meanwhile; see the server's log.",
            since=placement.fault_since,
            service_id=service.id,
            view="distribution",
        )


def _other_server(
    snapshot: Snapshot, service: Service, time: Moment, since: Since
) -> Iterator[Problem]:
    """Replicas that a server without the add-on has placed not long ago.

    Those that have been moved away since are known from events: that server may still be there.
    """
    placement = snapshot.placements.get(service.id)
    found = {number: at for (run, number), at in since.other_server.items() if run == service.id}
    found |= {
        replica.replica_num: replica.since
        for replica in (placement.replicas if placement is not None else ())
        if replica.reason == OTHER_SERVER and replica.since is not None
    }
    placed = {number: at for number, at in found.items() if not time.past(at, OTHER_SERVER_SHOWN)}
    if not placed:
        return
    numbers = listed(map(str, sorted(placed)))
    replicas = f"replica {numbers} was" if len(placed) == 1 else f"replicas {numbers} were"
    yield Problem(
        key=f"other-server:{service.id}",
        kind=Kind.SERVICE,
        severity=Severity.WARNING,
        subject=service.name,
        text=f"{replicas} placed by a server without the placement add-on",
        hint="Stop the `dstack server` that works on the same database, and start"
        " `dstack-fleets server` in its place.",
        since=min(placed.values()),
        service_id=service.id,
        view="distribution",
    )


def _baselines(snapshot: Snapshot, service: Service) -> Iterator[Problem]:
    placement, labels = snapshot.placements.get(service.id), labels_of(service.groups)
    lanes: Iterable[LanePlacement | FleetRow] = ()
    if placement is not None:
        lanes = placement.lanes
    elif service.has_lanes:
        lanes = distribution_of(snapshot, service).rows
    for lane in lanes:
        if lane.deficit and lane.lane is not None:
            minimum = lane.lane.min_replicas
            held = minimum - lane.deficit
            name = lane_name(lane.pool, lane.fleet or "", labels)
            text = f"{name}: baseline {held} of {minimum}"
            wanted = _wanted(placement, lane.pool) if placement is not None else None
            fewer = wanted is not None and wanted <= held
            yield Problem(
                key=f"baseline:{service.id}:{lane.pool}:{lane.fleet}",
                kind=Kind.BASELINE,
                severity=Severity.WARNING if fewer else Severity.CRITICAL,
                subject=service.name,
                text=text + (f": {lane.cause}" if lane.cause else ""),
                hint=_hint_of_minimum(lane, fewer=fewer),
                since=lane.deficit_since,
                service_id=service.id,
                view="distribution",
                row=lane_row(lane.pool, lane.fleet),
            )


def _hint_of_minimum(lane: LanePlacement | FleetRow, *, fewer: bool) -> str:
    """What becomes of a lane that is below its minimum."""
    if fewer:
        return "Fewer replicas are desired than the minimums add up to."
    if lane.code == Code.RECLAIMING:
        return "It is restored once the replica that gives way has moved."
    if isinstance(lane, LanePlacement) and lane.room and lane.cooldown_until is None:
        # Replicas are moved one at a time, and not while another starts.
        return "The fleet has room: it is restored once no replica of the service starts or stops."
    return "It is restored as soon as the fleet has room."


def _wanted(placement: Placement, pool: str) -> int | None:
    """Replicas desired of the groups that share lanes; None where that was not told."""
    counts = [
        count for group, count in placement.desired.items() if placement.pools.get(group) == pool
    ]
    return sum(counts) if counts else None
