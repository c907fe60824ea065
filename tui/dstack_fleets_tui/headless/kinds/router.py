"""`get router`: the routers of services and their workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dstack_api_client.analysis.health import lost_parts
from dstack_api_client.model.labels import counted, replica_name
from dstack_api_client.model.roles import beside_the_count
from dstack_api_client.model.router import RouterStatus, RouterView, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind, count
from dstack_fleets_tui.headless.looking import Asked, Look, Source, read_routers
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour
from dstack_fleets_tui.output.payload import Item, optional_time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING, age

COLUMNS = (
    Column("SERVICE"),
    Column("SYNC", paint=colour),
    Column("ROUTER", paint=colour),
    Column("DSTACK", paint=colour),
    Column("ROLE"),
    Column("LOAD", right=True),
    Column("REPLICA"),
    Column("FLEET"),
    Column("ADDRESS"),
    Column("SINCE", right=True),
    Column("WHAT IT MEANS"),
)


@dataclass(frozen=True)
class _Routed:
    """A service with its router."""

    service: Service
    view: RouterView


async def _read(source: Source, asked: Asked) -> Look:
    snapshot = await source.snapshot()
    services = selection.services(snapshot, asked.name)
    return Look(await read_routers(source.client, snapshot, services, source.since, ssh=asked.ssh))


def _choose(look: Look, asked: Asked) -> list[_Routed]:
    services = selection.services(look.snapshot, asked.name, ended=asked.ended)
    routers = look.snapshot.routers
    found = [_Routed(each, routers[each.id]) for each in services if each.id in routers]
    if asked.name is not None and not found:
        raise selection.NoSuchNameError(
            f"The service {services[0].name} has no router that runs.",
            "A replica group with `router` makes one.",
        )
    return found


def cells(view: RouterView, service: Service, snapshot: Snapshot) -> Iterator[Sequence[str]]:
    """One row of cells per worker, as `COLUMNS` has columns."""
    for worker in view.workers:
        yield (
            service.name,
            worker.sync.value,
            worker.router_health or NOTHING,
            worker.job_status or NOTHING,
            worker.role or NOTHING,
            count(worker.load),
            _replica(worker, snapshot),
            worker.fleet or NOTHING,
            worker.url or NOTHING,
            NOTHING if worker.at_least else age(worker.since, snapshot.observed_at),
            worker.message,
        )


def _replica(worker: Worker, snapshot: Snapshot) -> str:
    if worker.replica is None:
        return NOTHING
    replica = snapshot.replicas.get(worker.replica)
    return replica_name(replica) if replica is not None else str(worker.replica.replica_num)


def line(view: RouterView, service: Service, snapshot: Snapshot) -> str:
    """How a router is, one line: `chat: smg ready, 7 of 8 workers, read through the server ...`."""
    way = {"server": "through the server", "ssh": "over SSH"}.get(view.source.value)
    text = f"{service.name}: {view.kind} {view.status.value}"
    if way is not None:
        text += f", {view.ready} of {counted(view.expected, 'worker')} ready"
    if lost := lost_parts(snapshot, service):
        text += f", {beside_the_count(lost, view.lacking)}"
    if way is not None and view.observed_at is not None:
        text += f", read {way} {age(view.observed_at, snapshot.observed_at)} ago"
    if view.kind == "smg" and view.status in (RouterStatus.READY, RouterStatus.NOT_READY):
        text += ", circuit breakers not known"
    return f"{text}. {view.message}".rstrip()


def item(view: RouterView, service: Service, snapshot: Snapshot) -> Item:
    """A service's router and its workers."""
    return {
        "id": service.id,
        "service": service.name,
        "kind": view.kind,
        "status": view.status.value,
        "source": view.source.value,
        "message": view.message or None,
        "observed_at": optional_time(view.observed_at),
        "last_sync_at": optional_time(view.last_sync_at),
        "ready": view.ready,
        "expected": view.expected,
        "lacking_roles": list(lost_parts(snapshot, service)),
        "breakers": "not known" if view.kind == "smg" else None,
        "workers": [_worker(worker) for worker in view.workers],
    }


def _worker(worker: Worker) -> Item:
    return {
        "replica": worker.replica.replica_num if worker.replica is not None else None,
        "group": worker.group,
        "fleet": worker.fleet,
        "sync": worker.sync.value,
        "router_health": worker.router_health,
        "job_status": worker.job_status,
        "probes_passed": worker.probes_passed,
        "role": worker.role,
        "url": worker.url,
        "load": worker.load,
        "model": worker.model,
        "since": None if worker.at_least else optional_time(worker.since),
        "message": worker.message or None,
    }


KIND = Kind(
    choose=_choose,
    columns=COLUMNS,
    rows=lambda one, snapshot: cells(one.view, one.service, snapshot),
    item=lambda one, snapshot: item(one.view, one.service, snapshot),
    read=_read,
    above=lambda things, snapshot: [line(one.view, one.service, snapshot) for one in things],
    placed=True,
    named=lambda item: str(item["service"]),
)
