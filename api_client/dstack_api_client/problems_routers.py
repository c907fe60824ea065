"""What is wrong between a router and its workers."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dstack_api_client.naming import listed, replica_name
from dstack_api_client.problem import Kind, Problem, Severity
from dstack_api_client.routers.view import RouterStatus, RouterView, Sync, Worker
from dstack_api_client.snapshot import ReplicaKey, Service, Snapshot

_STATUS = {
    RouterStatus.DOWN: (Severity.CRITICAL, "the router does not answer"),
    RouterStatus.NOT_READY: (Severity.CRITICAL, "the router has no worker that it calls ready"),
    RouterStatus.REFUSES: (Severity.WARNING, "the router refuses dstack"),
}
#: What is wrong with workers, the worst first.
_STATES = (
    ("failed", Severity.CRITICAL, "failed for the router, and running for dstack"),
    (Sync.MISSING.value, Severity.WARNING, "not in the router's list"),
    (Sync.DRIFT.value, Severity.WARNING, "listed with another address than theirs"),
    ("not ready", Severity.WARNING, "not ready for the router"),
    (Sync.STALE.value, Severity.WARNING, "listed, and no longer there"),
    (Sync.DUPLICATE.value, Severity.WARNING, "listed more than once"),
    (Sync.FOREIGN.value, Severity.NOTICE, "listed, and no replica of this service"),
)


def of_routers(snapshot: Snapshot, explained: Collection[ReplicaKey]) -> Iterator[Problem]:
    """Finds what is wrong with routers and workers.

    Args:
        snapshot: What is.
        explained: Replicas whose trouble has a cause that is told elsewhere.
    """
    for run_id, view in snapshot.routers.items():
        service = snapshot.services.get(run_id)
        if service is not None and not service.finished:
            yield from _of_router(snapshot, service, view, explained)


def told_by_routers(snapshot: Snapshot) -> frozenset[ReplicaKey]:
    """Replicas whose trouble is told by their router: failed workers, and a router that is down."""
    told: set[ReplicaKey] = set()
    for run_id, view in snapshot.routers.items():
        service = snapshot.services.get(run_id)
        if service is not None and view.status is RouterStatus.DOWN:
            told |= _routers(snapshot, service)
        told.update(
            worker.replica
            for worker in view.workers
            if worker.replica is not None and _state(worker) == "failed"
        )
    return frozenset(told)


def _routers(snapshot: Snapshot, service: Service) -> set[ReplicaKey]:
    """The replicas of a service that route."""
    return {
        key
        for key in service.replica_keys
        if key in snapshot.replicas and snapshot.replicas[key].is_router
    }


def _of_router(
    snapshot: Snapshot, service: Service, view: RouterView, explained: Collection[ReplicaKey]
) -> Iterator[Problem]:
    found = _alike(view, explained)
    known = _STATUS.get(view.status)
    # The service may start without workers, and a router may be on a host that is told of already.
    if known is not None and not (view.status is RouterStatus.NOT_READY and not view.expected):
        down = view.status is RouterStatus.DOWN
        if not (down and _routers(snapshot, service) & set(explained)):
            yield _problem(service, view, known, found)
    if view.status in (RouterStatus.DOWN, RouterStatus.NOT_READY):
        return
    for state, severity, what in _STATES:
        workers = found.get(state)
        if workers:
            yield Problem(
                key=f"worker:{service.id}:{state}",
                kind=Kind.WORKER,
                severity=severity,
                subject=service.name,
                text=f"{_names(snapshot, workers)}: {what}",
                hint=workers[0].message,
                since=min((w.since for w in workers if w.since is not None), default=None),
                service_id=service.id,
                view="router",
                row=workers[0].key,
            )


def _problem(
    service: Service,
    view: RouterView,
    known: tuple[Severity, str],
    found: dict[str, list[Worker]],
) -> Problem:
    """What is wrong with the router as a whole, with what its workers are that explains it."""
    severity, text = known
    counts = [f"{len(found[state])} {state}" for state, _, _ in _STATES if state in found]
    if view.status is RouterStatus.NOT_READY:
        text += f": 0 of {view.expected}" if not view.ready else ""
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


def _alike(view: RouterView, explained: Collection[ReplicaKey]) -> dict[str, list[Worker]]:
    """Workers that something is wrong with, by what it is."""
    found: dict[str, list[Worker]] = {}
    for worker in view.workers:
        if worker.wrong and worker.replica not in explained:
            found.setdefault(_state(worker), []).append(worker)
    return found


def _state(worker: Worker) -> str:
    """What is wrong with a worker, if anything: where it stands, or how the router finds it."""
    if worker.router_health == "failed" and worker.sync in (Sync.IN_SYNC, Sync.DRIFT):
        return "failed"
    if worker.sync is Sync.IN_SYNC and worker.router_health is not None:
        return worker.router_health
    return worker.sync.value


def _names(snapshot: Snapshot, workers: list[Worker]) -> str:
    names = []
    for worker in workers:
        replica = snapshot.replicas.get(worker.replica) if worker.replica is not None else None
        names.append(replica_name(replica) if replica is not None else worker.url or worker.key)
    return listed(names)
