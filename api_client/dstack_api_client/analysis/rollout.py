"""How far a rolling deployment of a service has come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.analysis.reach import serving
from dstack_api_client.analysis.since import Event, Since, since_of
from dstack_api_client.model.engines import ROUTER
from dstack_api_client.model.labels import counted, group_label, group_name, replica_name
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot

#: Replicas beyond those wanted that the server starts while it rolls a group out.
SURGE = 1


@dataclass(frozen=True)
class Deployment:
    """The replicas at one deployment number of a service."""

    number: int
    running: int
    serving: int
    """Of those, the ones that are ready and can be reached."""
    pending: int
    stopping: int
    since: datetime | None
    """When its first replica that is still there was submitted."""


@dataclass(frozen=True)
class Holdup:
    """One thing that a rollout waits for."""

    text: str
    replica: ReplicaKey | None
    since: datetime | None


@dataclass(frozen=True)
class Rollout:
    """The deployments of a service side by side.

    Attributes:
        run_id: The service.
        number: The latest deployment.
        deployments: The latest first; one when nothing is being rolled out.
        at_latest: Replicas at the latest deployment that count.
        total: Replicas that count.
        under_way: Whether replicas of an older deployment are left.
        since: When the latest deployment began, where known.
        finished_at: When the last of the replicas that it has now became ready, where known.
        holdups: What it waits for, the longest first.
        source: What `since` and `finished_at` were taken from; empty where nothing tells.
    """

    run_id: str
    number: int
    deployments: tuple[Deployment, ...]
    at_latest: int
    total: int
    under_way: bool
    since: datetime | None
    finished_at: datetime | None
    holdups: tuple[Holdup, ...]
    source: str = ""


EVENTS = "the server's events"
SUBMISSIONS = "when its replicas were submitted"


def rollout_of(
    snapshot: Snapshot,
    service: Service,
    events: Collection[Event] = (),
    *,
    since: Since | None = None,
) -> Rollout:
    """Tells how far the latest deployment of a service has come, and what holds it up.

    Args:
        snapshot: Where the service is.
        service: The service.
        events: Events of the service, as many as are known.
        since: What events told, where that is known already; `events` are then not looked at.
    """
    since = since_of(events) if since is None else since
    number = service.deployment_num
    replicas = snapshot.replicas_of(service)
    active = [replica for replica in replicas if replica.active]
    counting = [replica for replica in active if replica.standing]
    latest = [replica for replica in counting if replica.deployment_num == number]
    old = [replica for replica in active if replica.deployment_num != number]
    under_way = bool(old) and not service.gone
    began, source = _began(service, latest, since, under_way=under_way)
    return Rollout(
        run_id=service.id,
        number=number,
        deployments=_deployments(snapshot, number, active),
        at_latest=len(latest),
        total=len(counting),
        under_way=under_way,
        since=began,
        finished_at=None if old else _finished(latest, began, since),
        holdups=_holdups(service, replicas, since, began) if under_way else (),
        source=source,
    )


def waits_for(replica: Replica) -> str:
    """Why a replica is not ready, in a few words: `probe 1 has 2 of 3 successes in a row`."""
    if replica.status == "running":
        short = [
            f"probe {place} has {probe.streak} of {probe.ready_after} successes in a row"
            for place, probe in enumerate(replica.probes, 1)
            if not probe.passed
        ]
        if replica.unreached:
            return "it runs, and dstack sends it no requests yet"
        return f"it runs, and {', '.join(short)}" if short else "it runs"
    return f"{replica.status}: {replica.message}" if replica.message else replica.status


def status_since(replica: Replica, since: Since) -> datetime:
    """Since when a replica has its status; where no event tells, when it was submitted."""
    return since.job_status.get(replica.submission_id, replica.submitted_at)


def out_of_date(replica: Replica, service: Service) -> bool:
    """Whether a replica is of an older deployment and still to be replaced."""
    return replica.standing and replica.deployment_num < service.deployment_num


def _deployments(
    snapshot: Snapshot, number: int, active: Sequence[Replica]
) -> tuple[Deployment, ...]:
    found = []
    for each in sorted({number, *(replica.deployment_num for replica in active)}, reverse=True):
        here = [replica for replica in active if replica.deployment_num == each]
        found.append(
            Deployment(
                number=each,
                running=sum(replica.status == "running" for replica in here),
                serving=serving(snapshot, here),
                pending=sum(replica.starting for replica in here),
                stopping=sum(replica.stopping for replica in here),
                since=min((replica.submitted_at for replica in here), default=None),
            )
        )
    return tuple(found)


def _began(
    service: Service, latest: Sequence[Replica], since: Since, *, under_way: bool
) -> tuple[datetime | None, str]:
    told = since.deployments.get((service.id, service.deployment_num))
    if told is not None:
        return told, EVENTS
    if service.deployment_num == 0:
        return service.submitted_at, SUBMISSIONS
    # An edit that restarts nothing renumbers replicas that are older than it, so that only while
    # replicas are being replaced those at the latest number are of its time.
    if under_way and latest:
        return min(replica.submitted_at for replica in latest), SUBMISSIONS
    return None, ""


def _finished(latest: Sequence[Replica], began: datetime | None, since: Since) -> datetime | None:
    """When the last replica became ready, where an event tells of each that had to."""
    if began is None or not latest or not all(replica.ready for replica in latest):
        return None
    moments = []
    for replica in latest:
        ready = since.ready.get(replica.submission_id)
        if ready is None:
            if replica.submitted_at < began:  # it was there before, and only got a new number
                continue
            return None
        moments.append(max(ready, began))
    return max(moments, default=began)


def _holdups(
    service: Service, replicas: Sequence[Replica], since: Since, began: datetime | None
) -> tuple[Holdup, ...]:
    found = []
    for replica in replicas:
        if replica.deployment_num == service.deployment_num:
            if not replica.ready and not replica.stopping:
                text = f"{replica_name(replica)} is not ready: {waits_for(replica)}"
                found.append(Holdup(text, replica.key, status_since(replica, since)))
        elif replica.stopping:
            text = f"{replica_name(replica)} of deployment {replica.deployment_num} is stopping"
            told = since.job_status.get(replica.submission_id)
            found.append(Holdup(text, replica.key, told))
    for group in service.groups:
        here = [replica for replica in replicas if replica.group == group.name]
        if not any(out_of_date(replica, service) for replica in here):
            continue
        if not any(replica.deployment_num == service.deployment_num for replica in here):
            text = f"{_of(group)}no replica of deployment {service.deployment_num} was started yet"
            found.append(Holdup(text, None, began))
        frozen = _frozen(group)
        if frozen:
            found.append(Holdup(frozen, None, began))
    return tuple(sorted(found, key=_longest_first))


def _frozen(group: Group) -> str:
    """What an edit of the count waits for: dstack scales no group that it is rolling out."""
    limit = group.replicas_max
    if group.active < group.replicas_min:
        wanted = f"at least {group.replicas_min}"
    elif limit is not None and group.active > limit + SURGE:
        wanted = f"at most {limit}"
    else:
        return ""
    return (
        f"{_of(group)}{counted(group.active, 'replica')} where {wanted} are desired: the group is"
        " not scaled until the rollout ends"
    )


def _of(group: Group) -> str:
    label = group_label(group.name, ROUTER if group.router else group.role)
    return f"{label}: " if group_name(label) else ""


def _longest_first(holdup: Holdup) -> tuple[bool, float, str]:
    since = holdup.since
    return (since is None, since.timestamp() if since else 0.0, holdup.text)
