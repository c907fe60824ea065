"""What is wrong with the replicas of services: those that have the same are one problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dstack_api_client.analysis.endings import ends_service, ends_with_host
from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.reach import serving
from dstack_api_client.analysis.rollout import status_since, waits_for
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import listed, replica_name, replica_row
from dstack_api_client.model.purchases import baselines, purchase_of
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.roles import lacking, roles_of
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.stranded import WAITS_FOR_EVER
from dstack_api_client.problems.model import Kind, Problem, Severity

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
_HINTS = {
    "pending": "dstack goes on looking for a place; see what its fleets may still hold.",
    "stranded": "Give the group of replica 0 a replica, or stop the service and apply its file.",
    "pulling": "A single read can't show whether bytes move: refresh to compare.",
    "starting": "dstack gives up on an instance that does not come up, and then tries another.",
    "unready": "dstack sends it no requests, and does not restart it.",
    "restarting": "Its log lines and the message of its last submission tell why it ended.",
    "failed": "dstack starts it again, as its `retry` says.",
    "stopping": "It holds its place until it has stopped.",
}
_ENDS_ALL = "dstack ends the whole service: the spec has no `retry` for that."


def sorted_out(
    service: Service,
    replicas: Sequence[Replica],
    time: Moment,
    since: Since,
) -> dict[str, list[Replica]]:
    """The replicas that something is wrong with, by what it is."""
    found: dict[str, list[Replica]] = {}
    for replica in replicas:
        is_well = replica.ready and not replica.cut_off
        if is_well and replica.restarts < RESTARTS:
            continue
        what = _what(service, replica, time, since)
        if what:
            found.setdefault(what, []).append(replica)
    return found


def _what(service: Service, replica: Replica, time: Moment, since: Since) -> str:
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
        return "stopping" if told is not None and time.past(told, STOPPING_LONG) else ""
    if replica.cut_off:
        return "cut off"
    restarted = replica.restarts >= RESTARTS
    if restarted and not time.reached(replica.submitted_at, RESTARTED_WITHIN):
        return "restarting"
    if replica.ready:
        return ""
    began = status_since(replica, since)
    if replica.status == "running":
        fell = _fell_out(service, replica, time, since)
        return "unready" if fell or time.past(began, UNREADY_LONG) else ""
    if replica.status == "submitted":
        return "pending" if time.past(began, PENDING_LONG) else ""
    return of_pull(replica, time, since) if time.past(began, STARTING_LONG) else ""


def _fell_out(service: Service, replica: Replica, time: Moment, since: Since) -> bool:
    """Whether it took requests, and is not ready any more; of a worker its router tells more."""
    if any(group.router is not None for group in service.groups) or not since.was_ready(replica):
        return False
    return not fell_just_now(replica, time, since)


def fell_just_now(replica: Replica, time: Moment, since: Since) -> bool:
    """Whether a replica that took requests may only have failed one probe.

    Where it is not watched, how long it has lasted is not known.

    Args:
        replica: One that is not ready.
        time: The time.
        since: What events told.
    """
    seen = since.unready.get(replica.submission_id) if since.was_ready(replica) else None
    return seen is not None and not time.reached(seen, UNREADY_AGAIN)


def of_pull(replica: Replica, time: Moment, since: Since) -> str:
    """What is wrong with a replica that has long been starting, as far as its image tells."""
    if replica.pull is None or replica.pull.is_done:
        return "starting"
    if replica.submission_id not in since.pulls:
        return "pulling"
    _, moved_at = since.pulls[replica.submission_id]
    return "starting" if time.past(moved_at, PULL_STUCK) else ""


def of_sort(
    snapshot: Snapshot, service: Service, what: str, members: Sequence[Replica], since: Since
) -> Iterator[Problem]:
    """A problem of all replicas that have the same, and one of each baseline among them."""
    firm = baselines(service)
    held = _serving(snapshot, service)
    lost = [g for g in service.groups if g.name in firm and held[g.name] < g.replicas_min]
    for group in lost if what not in ("stopping", "pulling") else ():
        of_group = [replica for replica in members if replica.group == group.name]
        if of_group:
            problem = _of_replicas(snapshot, service, what, of_group, since)
            yield _of_baseline(problem, service, group, what, held[group.name])
            members = [replica for replica in members if replica.group != group.name]
    if members:
        yield _of_replicas(snapshot, service, what, list(members), since)


def _of_baseline(problem: Problem, service: Service, group: Group, what: str, has: int) -> Problem:
    """Replicas that are to be there whatever becomes of spot capacity, and are not."""
    held = f"baseline {has} of {group.replicas_min} ({purchase_of(group)})"
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
    answers = _answers(snapshot, service)
    routes = any(replica.is_router for replica in members)
    over = _ends_it(snapshot, service, what, members)
    severity = Severity.WARNING if answers and not routes and not over else Severity.CRITICAL
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
        text=f"{listed(map(replica_name, members))}: {_cause(snapshot, what, members)}",
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


def _serving(snapshot: Snapshot, service: Service) -> Counter[str]:
    """By group, how many of its replicas are ready and can be reached."""
    every = snapshot.replicas_of(service)
    return Counter(each.group for each in every if serving(snapshot, [each]))


def _answers(snapshot: Snapshot, service: Service) -> bool:
    """Whether requests are answered: a worker of each part that they need takes them."""
    held = _serving(snapshot, service)
    taking = [group for group in service.groups if group.router is None and held[group.name]]
    needed = roles_of(service.groups)
    return bool(taking) and not lacking(needed, [each.role for each in taking if each.role])


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


_NO_PLACE = "no place yet"


def _cause(snapshot: Snapshot, what: str, members: Sequence[Replica]) -> str:
    """The cause that most of the replicas have."""

    def cause(replica: Replica) -> str:
        if what == "restarting":
            return f"started {replica.restarts + 1} times, and {replica.status} now"
        if what == "pending":
            told = snapshot.why_no_place(replica)
            return f"{_NO_PLACE}: {told}" if told else _NO_PLACE
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
    if len(counts) > 1:
        counts.pop(_NO_PLACE, None)  # it says nothing that the others don't
    most, number = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return most if number == len(members) else f"{most} ({number} of them)"
