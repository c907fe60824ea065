"""What is wrong between a router and its workers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.rollout import status_since
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.engines import ROLES
from dstack_api_client.model.labels import in_status, listed, replica_name, replica_row, share_of
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.roles import consequence, named, roles_of
from dstack_api_client.model.router import PASSING, RouterStatus, RouterView, Sync, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem, Severity

#: A router listens within seconds after its job runs, and a large model loads for minutes before
#: its worker does: until then what looks wrong is just a start.
ROUTER_STARTS, WORKER_STARTS = timedelta(minutes=1), timedelta(minutes=5)

_STATUS = {
    RouterStatus.DOWN: (Severity.CRITICAL, "the router does not answer"),
    RouterStatus.NOT_READY: (Severity.CRITICAL, "the router has no worker that it calls ready"),
    RouterStatus.REFUSES: (Severity.WARNING, "the router refuses dstack"),
}
_FAILED, _PROBES, _LET_GO = "failed", "probes failing", "let go"
#: What is wrong with workers, the worst first.
_STATES = (
    (_FAILED, Severity.CRITICAL, "failed for the router, and running for dstack"),
    (Sync.MISSING.value, Severity.WARNING, "not in the router's list"),
    (Sync.DRIFT.value, Severity.WARNING, "listed with another address than theirs"),
    ("not ready", Severity.WARNING, "not ready for the router"),
    (_PROBES, Severity.WARNING, "ready for the router while dstack's probes fail"),
    (Sync.STALE.value, Severity.WARNING, "listed, and no longer there"),
    (Sync.DUPLICATE.value, Severity.WARNING, "listed more than once"),
    (_LET_GO, Severity.NOTICE, "dropped by the router though they run"),
    (Sync.FOREIGN.value, Severity.NOTICE, "listed, and no replica of this service"),
)
#: Of these the replica's own state is the consequence.
_SPEAKS_FOR_REPLICA = frozenset({_FAILED, _PROBES})


def unread(snapshot: Snapshot, run_ids: Collection[str] | None = None) -> tuple[str, ...]:
    """What problems can't be known of because something was not read, and why it was not.

    Args:
        snapshot: What is.
        run_ids: Just the routers of these services; without it all, and records of the server.
            What concerns the placement of all is there in either case.

    Returns:
        Sentences; of several services the same is said once.
    """
    why: dict[str, list[str]] = {}
    for run_id, view in snapshot.routers.items():
        service = snapshot.services.get(run_id)
        wanted = view.status is RouterStatus.UNKNOWN and (run_ids is None or run_id in run_ids)
        if wanted and service is not None and _works(service):
            why.setdefault(view.message, []).append(service.name)
    routers = (
        f"Router{'s' if len(names) > 1 else ''} not read: {listed(sorted(names))}. {message}"
        for message, names in why.items()
    )
    failure = snapshot.placement_failure
    placement = (f"Placement not read. {failure}",) if failure else ()
    return (*routers, *placement, *(snapshot.unreadable if run_ids is None else ()))


def _works(service: Service) -> bool:
    return not service.gone


class Routers:
    """What is wrong between routers and their workers.

    Args:
        snapshot: What is.
        time: The time, to tell a start from a fault.
        since: What events told.

    Attributes:
        told: Replicas whose trouble is told here: failed workers, and a router that is down.
    """

    def __init__(self, snapshot: Snapshot, time: Moment, since: Since) -> None:
        self._snapshot = snapshot
        self._time = time
        self._since = since
        self._found: list[tuple[Service, RouterView, dict[str, list[Worker]], bool]] = []
        told: set[ReplicaKey] = set()
        for run_id, view in snapshot.routers.items():
            service = snapshot.services.get(run_id)
            if service is None or not _works(service):
                continue
            found = self._alike(view)
            counts = self._counts(service, view, found)
            self._found.append((service, view, found, counts))
            if counts and view.status is RouterStatus.DOWN:
                told.update(replica.key for replica in self._routers(service))
            told.update(
                worker.replica
                for state in _SPEAKS_FOR_REPLICA
                for worker in found.get(state, ())
                if worker.replica is not None
            )
        self.told = frozenset(told)

    def problems(self, explained: Collection[ReplicaKey]) -> Iterator[Problem]:
        """The problems.

        Args:
            explained: Replicas whose trouble has a cause that is told elsewhere.
        """
        for service, view, alike, counts in self._found:
            found = {
                state: left
                for state, workers in alike.items()
                if (left := [worker for worker in workers if worker.replica not in explained])
            }
            lost = self._lost(service, view)
            if lost:
                yield self._without(service, view, lost)
                counts = counts and view.status is not RouterStatus.NOT_READY
            if counts and not self._is_explained(
                service, view, bool(alike), bool(found), explained
            ):
                yield _problem(service, view, found)
            if not (counts and view.status in (RouterStatus.DOWN, RouterStatus.NOT_READY)):
                yield from self._of_workers(service, view, found)

    def _lost(self, service: Service, view: RouterView) -> dict[str, list[Replica]]:
        """The parts that no worker plays, with their replicas; not those that just start."""
        found = {}
        for role in view.lacking:
            replicas = self._of_role(service, role)
            active = [replica for replica in replicas if replica.standing]
            if not active and not service.jobs_known:
                continue
            if not active:
                starts = not self._time.past(service.submitted_at, ROUTER_STARTS)
            else:
                starts = not any(map(self._had_time, active))
            if not starts:
                found[role] = replicas
        return found

    def _had_time(self, replica: Replica) -> bool:
        """Whether a worker should serve by now: one that is started again did before."""
        return replica.submission_num > 0 or self._lasted(replica, WORKER_STARTS)

    def _of_role(self, service: Service, role: str) -> list[Replica]:
        groups = {group.name for group in service.groups if group.role == role}
        found = self._snapshot.replicas_of(service)
        return [replica for replica in found if replica.group in groups]

    def _without(
        self, service: Service, view: RouterView, lost: dict[str, list[Replica]]
    ) -> Problem:
        """Parts without a worker: the others may be ready, and requests fail."""
        replicas = [replica for of_role in lost.values() for replica in of_role]
        run = any(replica.status == "running" for replica in replicas)
        fails = consequence(lost, roles_of(service.groups))
        known = [_stopped_serving(replica, self._since) for replica in replicas]
        read = view.status in (RouterStatus.READY, RouterStatus.NOT_READY)
        others = f"{share_of(view.ready, view.expected, 'worker')} ready. " if read else ""
        return Problem(
            key=f"roles:{service.id}",
            kind=Kind.ROUTER,
            severity=Severity.CRITICAL,
            subject=service.name,
            text=f"{named(lost)} is {'ready' if run else 'left'}: {fails}",
            hint=others + _what_of(self._snapshot, replicas),
            since=None if None in known else max(filter(None, known), default=None),
            at_least=any(replica.since_earlier for replica in replicas),
            continuous=True,
            service_id=service.id,
            view="router" if run else "replicas",
            row=replica_row(replicas[0].key) if replicas else None,
        )

    def _is_explained(
        self,
        service: Service,
        view: RouterView,
        some: bool,
        left: bool,
        explained: Collection[ReplicaKey],
    ) -> bool:
        """Whether what is wrong with a router comes of what is told elsewhere, such as its host.

        Args:
            service: The service.
            view: Its router.
            some: Whether something is wrong with workers.
            left: Whether something is that is not told elsewhere.
            explained: Replicas whose trouble is.
        """
        if view.status is RouterStatus.DOWN:
            return any(replica.key in explained for replica in self._routers(service))
        return view.status is RouterStatus.NOT_READY and some and not left

    def _of_workers(
        self, service: Service, view: RouterView, found: dict[str, list[Worker]]
    ) -> Iterator[Problem]:
        for state, severity, what in _STATES:
            workers = found.get(state)
            if workers:
                if state == _PROBES and (alone := _alone(view, workers)):
                    severity, what = Severity.CRITICAL, f"{what}, and {alone}"
                known = [w.since for w in workers if w.since is not None and not w.at_least]
                yield Problem(
                    key=f"worker:{service.id}:{state}",
                    kind=Kind.WORKER,
                    severity=severity,
                    subject=service.name,
                    text=f"{_names(self._snapshot, workers)}: {what}",
                    hint=workers[0].message,
                    since=min(known, default=None),
                    service_id=service.id,
                    view="router",
                    row=workers[0].key,
                    at_least=bool(known) and any(worker.at_least for worker in workers),
                )

    def _counts(self, service: Service, view: RouterView, found: dict[str, list[Worker]]) -> bool:
        """Whether the router as a whole is a problem, not just starting."""
        if view.status not in _STATUS:
            return False
        if view.status is RouterStatus.DOWN:
            return self._is_down(service)
        if view.status is RouterStatus.NOT_READY:
            return view.expected > 0 and (
                bool(found) or any(self._has_run(worker) for worker in view.workers)
            )
        return True

    def _is_down(self, service: Service) -> bool:
        routers = self._routers(service)
        active = [replica for replica in routers if replica.active]
        if not active and not service.jobs_known:
            return False
        if not active:
            return self._time.past(service.submitted_at, ROUTER_STARTS)
        return any(
            # One that was started again passed requests before; a first start takes its time.
            replica.submission_num > 0
            or (replica.status == "running" and self._lasted(replica, ROUTER_STARTS))
            for replica in active
        )

    def _routers(self, service: Service) -> list[Replica]:
        """The replicas of a service that route."""
        found = self._snapshot.replicas_of(service)
        return [replica for replica in found if replica.is_router]

    def _lasted(self, replica: Replica, limit: timedelta) -> bool:
        """Whether a replica has had its status for longer than a limit."""
        return self._time.past(status_since(replica, self._since), limit)

    def _has_run(self, worker: Worker) -> bool:
        """Whether a worker's replica has run for long enough to serve."""
        replica = self._snapshot.replicas.get(worker.replica) if worker.replica else None
        return (
            replica is not None
            and replica.status == "running"
            and self._lasted(replica, WORKER_STARTS)
        )

    def _alike(self, view: RouterView) -> dict[str, list[Worker]]:
        """Workers that something is wrong with, by what it is."""
        found: dict[str, list[Worker]] = {}
        for worker in view.workers:
            if worker.wrong < PASSING:
                continue
            state = _state(worker)
            starts = worker.probes_passed is not True and not self._has_run(worker)
            if starts and state in (Sync.MISSING.value, _PROBES):
                continue
            found.setdefault(state, []).append(worker)
        return found


def _problem(service: Service, view: RouterView, found: dict[str, list[Worker]]) -> Problem:
    """What is wrong with the router as a whole, with what its workers are that explains it."""
    severity, text = _STATUS[view.status]
    counts = [f"{len(found[state])} {state}" for state, _, _ in _STATES if state in found]
    if view.status is RouterStatus.NOT_READY and view.ready:
        text = f"the router is not ready, though {share_of(view.ready, view.expected, 'worker')}"
    elif view.status is RouterStatus.NOT_READY:
        text += f": 0 of {view.expected}"
    if view.status is RouterStatus.NOT_READY:
        text += f" ({', '.join(counts)})" if counts else ""
    return Problem(
        key=f"router:{service.id}",
        kind=Kind.ROUTER,
        severity=severity,
        subject=service.name,
        text=text,
        hint=view.message,
        service_id=service.id,
        view="router",
    )


def _stopped_serving(replica: Replica, since: Since) -> datetime | None:
    """When a replica that serves nothing last did, or was to; None where nothing tells."""
    if not replica.has_place:
        return replica.since
    if since.was_ready(replica) and replica.status == "running":
        return since.unready.get(replica.submission_id)  # no event says when it ended
    if replica.standing:
        return replica.lost_at or status_since(replica, since)
    return status_since(replica, since)


def _what_of(snapshot: Snapshot, replicas: list[Replica]) -> str:
    """What the replicas of a part do instead of serving."""
    if not replicas:
        return "It has no replica."
    said = []
    for replica in replicas:
        message = replica.message if replica.message != replica.status else ""
        what = "has found no place" if replica.found_no_place else in_status(replica.status)
        if not replica.has_place and (why := snapshot.why_no_place(replica)):
            what, message = "has found no place", message or why
        said.append(f"{replica_name(replica)} {what}{message and f': {message}'}")
    return f"{listed(said).rstrip('.')}."


def _state(worker: Worker) -> str:
    """What is wrong with a worker: where it stands, or how the router finds it."""
    where: str = worker.sync.value
    if worker.sync is Sync.DRAINING:
        return _LET_GO
    if worker.sync not in (Sync.IN_SYNC, Sync.DRIFT):
        return where
    if worker.router_health == "failed":
        return _FAILED
    if worker.sync is Sync.DRIFT:
        return where
    return _PROBES if worker.router_health == "ready" else worker.router_health or ""


def _alone(view: RouterView, workers: list[Worker]) -> str:
    """That no other worker is well and does the same, as a part of a sentence; empty if one is."""
    well = [
        each.role
        for each in view.workers
        if each.router_health == "ready" and each.sync is Sync.IN_SYNC and each not in workers
    ]
    lone = dict.fromkeys(each.role for each in workers if each.role not in well)
    if not lone:
        return ""
    roles = [role for role in lone if role in ROLES]
    which = f"{' or '.join(roles)} " if roles else ""
    return f"no other {which}worker can take over"


def _names(snapshot: Snapshot, workers: list[Worker]) -> str:
    names = []
    for worker in workers:
        replica = snapshot.replicas.get(worker.replica) if worker.replica is not None else None
        names.append(replica_name(replica) if replica is not None else worker.url or worker.key)
    return listed(names)
