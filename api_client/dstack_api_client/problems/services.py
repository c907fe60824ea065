"""What is wrong with services, their replicas, baselines and rollouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from dstack_api_client.analysis.distribution import FleetRow, distribution_of
from dstack_api_client.analysis.endings import ends_service, ends_with_host
from dstack_api_client.analysis.health import FAILED_SHOWN
from dstack_api_client.analysis.rollout import out_of_date, status_since, waits_for
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import (
    counted,
    labels_of,
    lane_name,
    lane_row,
    listed,
    replica_name,
    replica_row,
)
from dstack_api_client.model.placement import OTHER_SERVER, LanePlacement, Placement
from dstack_api_client.model.purchases import baselines, purchase_of
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.roles import lacking, roles_of
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.stranded import WAITS_FOR_EVER, stranded
from dstack_api_client.problems.drains import drains_cut
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_placement.engine import Code

#: dstack looks for a place every few seconds; after minutes there is none.
PENDING_LONG = timedelta(minutes=5)
#: Large images and instances of most kinds are there within 10 minutes.
STARTING_LONG = timedelta(minutes=15)
#: A pull that has moved no byte for this long hangs; what is not on screen is read every 5 minutes.
PULL_STUCK = timedelta(minutes=15)
#: Weights of the largest models load within 10 minutes from a volume, not from far away.
UNREADY_LONG = timedelta(minutes=15)
#: One that was ready fails a probe now and then.
UNREADY_AGAIN = timedelta(seconds=30)
#: A replica has 5 minutes to stop by default, and dstack forces it a little later.
STOPPING_LONG = timedelta(minutes=10)
#: One new start may be chance (a spot instance was taken back), two are a pattern, ...
RESTARTS = 2
#: ... and a replica that has stayed up for this long since has come to rest.
RESTARTED_WITHIN = timedelta(minutes=10)
#: A rolling deployment replaces one replica at a time: what counts is how long the newest takes.
ROLLOUT_STUCK = timedelta(minutes=15)
#: Whoever started such a server hears of it meanwhile; one that goes on places more replicas.
OTHER_SERVER_SHOWN = timedelta(hours=1)

#: Why dstack ends a run that nobody stopped.
_FAILURES = frozenset({"job_failed", "retry_limit_exceeded", "server_error", "gateway_error"})
#: What that means, where no replica says more.
_ENDS = {
    "job_failed": "a replica failed",
    "retry_limit_exceeded": "a replica could not be started again within `retry`",
    "server_error": "the server made an error",
    "gateway_error": "the gateway did not take it",
}
#: What only repeats that it failed.
_NO_CAUSE = frozenset({"failed", "terminating", "job failed"})
#: Why dstack ends a replica that is then called failed (`JobTerminationReason.to_status`).
_REPLICA_FAILURES = frozenset(
    {
        "container_exited_with_error",
        "creating_container_error",
        "executor_error",
        "failed_to_start_due_to_no_capacity",
        "gateway_error",
        "instance_access_revoked",
        "instance_unreachable",
        "interrupted_by_no_capacity",
        "log_quota_exceeded",
        "ports_binding_failed",
        "volume_error",
        "waiting_instance_limit_exceeded",
        "waiting_runner_limit_exceeded",
    }
)
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_HINTS = {
    "pending": "dstack goes on looking for a place; see what its fleets may still hold.",
    "stranded": "Give the group of replica 0 a replica, or stop the service and apply its file.",
    "pulling": "One look can't tell whether bytes move: look again.",
    "starting": "dstack gives up on an instance that does not come up, and then tries another.",
    "unready": "dstack sends it no requests, and does not restart it.",
    "restarting": "Its log lines and the message of its last submission tell why it ended.",
    "failed": "dstack starts it again, as its `retry` says.",
    "stopping": "It holds its place until it has stopped.",
}
_ENDS_ALL = "dstack ends the whole service: the spec has no `retry` for that."


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
    snapshot: Snapshot, now: datetime, since: Since, explained: Collection[ReplicaKey]
) -> Services:
    """Finds what is wrong with services.

    Args:
        snapshot: What is.
        now: The time, to tell what takes too long.
        since: What events told.
        explained: Replicas whose trouble has a cause that is told elsewhere.
    """
    found = Services()
    alive = {service.name for service in snapshot.services.values() if not service.finished}
    for service in snapshot.services.values():
        if service.finished:
            if service.status == "failed" and service.name not in alive:
                found.problems += _failed(snapshot, service, now)
            continue
        if service.waits_for_its_time:
            continue
        ending = service.stopping
        if ending and service.termination_reason in _FAILURES:
            found.problems += _failed(snapshot, service, now)
        if not ending:
            found.problems += _placing(snapshot, service)
            found.problems += _other_server(snapshot, service, now, since)
            found.problems += drains_cut(service, now, since)
            found.problems += _baselines(snapshot, service)
        replicas = snapshot.replicas_of(service)
        for stuck in () if ending else _rollouts(service, replicas, now, since):
            found.problems.append(stuck[0])
            found.replicas |= stuck[1]
        left = [
            replica
            for replica in replicas
            if replica.key not in explained
            and replica.key not in found.replicas
            # It may take as long as its drain lets it.
            and snapshot.drain_of(replica) is None
            and (replica.stopping or not ending)
        ]
        sorts = _sorted_out(service, left, now, since)
        waiting = stranded(snapshot, service)
        if waiting:
            sorts = {"stranded": waiting} | {
                what: rest
                for what, members in sorts.items()
                if (rest := [each for each in members if each not in waiting])
            }
        for what, members in sorts.items():
            found.problems += _of_sort(snapshot, service, what, members, since)
            found.replicas.update(replica.key for replica in members)
        if not sorts and _waits(service, now):
            found.problems.append(_waiting(service))
    return found


def _failed(snapshot: Snapshot, service: Service, now: datetime) -> Iterator[Problem]:
    replicas = snapshot.replicas_of(service)
    if service.finished and now - (service.ended_at or service.submitted_at) > FAILED_SHOWN:
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
        hint="It serves nothing until it is applied again; delete it if it is not wanted.",
        since=service.ended_at,
        service_id=service.id,
        view="replicas",
    )


def _waits(service: Service, now: datetime) -> bool:
    return (
        service.jobs_known
        and service.replicas_min > 0
        and service.active == 0
        and service.status in ("pending", "submitted")
        and now - service.submitted_at > PENDING_LONG
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
    snapshot: Snapshot, service: Service, now: datetime, since: Since
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
    placed = {number: at for number, at in found.items() if now - at <= OTHER_SERVER_SHOWN}
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
    return "It is restored as soon as the fleet has room."


def _wanted(placement: Placement, pool: str) -> int | None:
    """Replicas wanted of the groups that share lanes; None where that was not told."""
    counts = [
        count for group, count in placement.desired.items() if placement.pools.get(group) == pool
    ]
    return sum(counts) if counts else None


def _rollouts(
    service: Service, replicas: Sequence[Replica], now: datetime, since: Since
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
        if began is None or now - began <= ROLLOUT_STUCK:
            continue
        if newest is not None and newest.pull and _of_pull(newest, now, since) != "starting":
            continue  # bytes of its image move, or one look can't tell
        held = {replica.key for replica in new if not replica.ready}
        named = f" of {labels[group]}" if group in labels else ""
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


def _sorted_out(
    service: Service,
    replicas: Sequence[Replica],
    now: datetime,
    since: Since,
) -> dict[str, list[Replica]]:
    """The replicas that something is wrong with, by what it is."""
    found: dict[str, list[Replica]] = {}
    for replica in replicas:
        is_well = replica.ready and since.cut_off(replica) is None
        if is_well and replica.restarts < RESTARTS:
            continue
        what = _what(service, replica, now, since)
        if what:
            found.setdefault(what, []).append(replica)
    return found


def _what(service: Service, replica: Replica, now: datetime, since: Since) -> str:
    """What is wrong with a replica: a key of `_HINTS`; empty when nothing is, or not for long."""
    if replica.found_no_place or (replica.sought_before and replica.status == "submitted"):
        # Between the attempts of dstack it is another submission, and the same problem.
        return "pending" if replica.active or service.lacks(replica) else ""
    if not replica.active:
        return "failed" if service.lacks(replica) else ""
    if replica.stopping:
        fails = replica.termination_reason in _REPLICA_FAILURES and not service.stopping
        if fails and service.lacks(replica):
            return "failed"  # while it stops too: nothing else says yet that it is lost
        told = since.job_status.get(replica.submission_id)
        return "stopping" if told is not None and now - told > STOPPING_LONG else ""
    if since.cut_off(replica) is not None:
        return "cut off"
    restarted = replica.restarts >= RESTARTS
    if restarted and now - replica.submitted_at < RESTARTED_WITHIN:
        return "restarting"
    if replica.ready:
        return ""
    lasted = now - status_since(replica, since)
    if replica.status == "running":
        fell = _fell_out(service, replica, now, since)
        return "unready" if lasted > UNREADY_LONG or fell else ""
    if replica.status == "submitted":
        return "pending" if lasted > PENDING_LONG else ""
    if lasted <= STARTING_LONG:
        return ""
    return _of_pull(replica, now, since)


def _fell_out(service: Service, replica: Replica, now: datetime, since: Since) -> bool:
    """Whether it took requests, and is not ready any more; of a worker its router tells more.

    Where it is watched, one probe that fails is none yet; else how long it lasts is not known.
    """
    if any(group.router is not None for group in service.groups) or not since.was_ready(replica):
        return False
    seen = since.unready.get(replica.submission_id)
    return seen is None or now - seen >= UNREADY_AGAIN


def _of_pull(replica: Replica, now: datetime, since: Since) -> str:
    """What is wrong with a replica that has long been starting, as far as its image tells."""
    if replica.pull is None or replica.pull.is_done:
        return "starting"
    if replica.submission_id not in since.pulls:
        return "pulling"
    _, moved_at = since.pulls[replica.submission_id]
    return "starting" if now - moved_at > PULL_STUCK else ""


def _of_sort(
    snapshot: Snapshot, service: Service, what: str, members: Sequence[Replica], since: Since
) -> Iterator[Problem]:
    """A problem of all replicas that have the same, and one of each baseline among them."""
    firm = baselines(service)
    lost = [g for g in service.groups if g.name in firm and g.ready < g.replicas_min]
    for group in lost if what not in ("stopping", "pulling") else ():
        of_group = [replica for replica in members if replica.group == group.name]
        if of_group:
            yield _of_baseline(snapshot, service, group, what, of_group, since)
            members = [replica for replica in members if replica.group != group.name]
    if members:
        yield _of_replicas(snapshot, service, what, list(members), since)


def _of_baseline(
    snapshot: Snapshot,
    service: Service,
    group: Group,
    what: str,
    members: list[Replica],
    since: Since,
) -> Problem:
    """Replicas that are to be there whatever becomes of spot capacity, and are not."""
    problem = _of_replicas(snapshot, service, what, members, since)
    held = f"baseline {group.ready} of {group.replicas_min} ({purchase_of(group)})"
    return replace(
        problem,
        key=f"baseline:{service.id}:{group.name}:{what}",
        kind=Kind.BASELINE,
        severity=Severity.CRITICAL,
        text=f"{held}: {problem.text}",
    )


def _of_replicas(
    snapshot: Snapshot, service: Service, what: str, members: list[Replica], since: Since
) -> Problem:
    """One problem of all replicas of a service that have the same."""
    members = sorted(members, key=lambda replica: replica.key)
    serving = _serves(service)
    routes = any(replica.is_router for replica in members)
    over = _ends_it(snapshot, service, what, members)
    severity = Severity.WARNING if serving and not routes and not over else Severity.CRITICAL
    if what in ("stopping", "pulling"):
        severity = Severity.NOTICE
    if what == "failed":
        ends = [replica.finished_at for replica in members if replica.finished_at is not None]
    elif what == "pending":
        ends = [replica.since for replica in members]
    elif what == "cut off":
        ends = [each for replica in members if (each := since.cut_off(replica)) is not None]
    elif what == "unready":
        ends = [each for r in members if (each := _unready_since(r, since)) is not None]
    else:
        ends = [status_since(replica, since) for replica in members]
    return Problem(
        key=f"replica:{service.id}:{what}",
        kind=Kind.REPLICA,
        severity=severity,
        subject=service.name,
        text=f"{listed(map(replica_name, members))}: {_cause(snapshot, service, what, members)}",
        hint=_hint(service, what, over=over),
        since=min(ends, default=None),
        at_least=what == "pending" and any(replica.since_earlier for replica in members),
        service_id=service.id,
        view="replicas",
        row=replica_row(members[0].key),
    )


def _unready_since(replica: Replica, since: Since) -> datetime | None:
    """Since when a replica that runs is not ready; None where nothing tells.

    It may have been ready before the oldest event that was read.
    """
    if since.was_ready(replica):
        return since.unready.get(replica.submission_id)
    return since.job_status.get(replica.submission_id)


def _ends_it(snapshot: Snapshot, service: Service, what: str, members: Sequence[Replica]) -> bool:
    """Whether dstack ends the service because of what its replicas have."""
    if what == "cut off":
        keys = [replica.key for replica in members]
        return any(ends_with_host(snapshot, service, replica, keys) for replica in members)
    gone = [each for each in members if what in ("failed", "pending") and not each.standing]
    return any(ends_service(snapshot, service, replica) for replica in gone)


def _serves(service: Service) -> bool:
    """Whether requests are answered: a worker of each part that they need is ready."""
    ready = [group for group in service.groups if group.router is None and group.ready]
    needed = roles_of(service.groups)
    return bool(ready) and not lacking(needed, [each.role for each in ready if each.role])


def _hint(service: Service, what: str, *, over: bool) -> str:
    """What comes of replicas, or what can be done."""
    if what == "cut off":
        end = "ends all of it: the spec has no `retry` for that." if over else "starts it again."
        return f"dstack gives it up 2 minutes after it was cut off, and {end}"
    if over:
        return _ENDS_ALL
    if what == "unready" and service.router is not None:
        return "Its router may go on sending it requests; dstack does not restart it."
    return _HINTS[what]


def _cause(snapshot: Snapshot, service: Service, what: str, members: Sequence[Replica]) -> str:
    """The cause that most of the replicas have."""
    placement = snapshot.placements.get(service.id)
    # Of one that was given a fleet, it is why that fleet, and not why it is not there.
    why: Mapping[str, str | None] = (
        {each.job_id: each.why for each in placement.replicas if each.fleet is None}
        if placement is not None
        else {}
    )

    def cause(replica: Replica) -> str:
        if what == "restarting":
            return f"started {replica.restarts + 1} times, and {replica.status} now"
        if what == "pending":
            told = why.get(replica.submission_id) or replica.message_of_search
            return f"no place yet: {told}" if told else "no place yet"
        if what == "failed":
            return f"failed: {replica.message}" if replica.message != "failed" else "failed"
        if what == "stopping":
            return "still stopping"
        if what == "cut off":
            return "the server can't reach it"
        if what == "stranded":
            return WAITS_FOR_EVER
        return f"not ready: {waits_for(replica)}"

    counts = Counter(cause(replica) for replica in members)
    most, number = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return most if number == len(members) else f"{most} ({number} of them)"
