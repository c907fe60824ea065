"""The columns of the plain tables, and the cells of a row."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.analysis.health import Health, fleet_health
from dstack_api_client.model.every_run import (
    Run,
    fleets_of,
    run_message,
    run_type,
    running_jobs,
)
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.labels import group_label, labels_of
from dstack_api_client.model.purchases import replica_purchase
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui import words
from dstack_fleets_tui.formatting import NOTHING, age, price
from dstack_fleets_tui.output.table import Column

RED, _YELLOW, _GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"
_COLOURS = {
    "running": _GREEN,
    "busy": _GREEN,
    "ready": _GREEN,
    "failed": RED,
    "failure": RED,
    "unreachable": RED,
    "warning": _YELLOW,
    "pending": _YELLOW,
    "submitted": _YELLOW,
    "provisioning": _YELLOW,
    "pulling": _YELLOW,
    "terminating": _YELLOW,
    "critical": RED,
    "in sync": _GREEN,
    "missing": RED,
    "address drift": RED,
    "stale": _YELLOW,
    "foreign": _YELLOW,
    "duplicate": _YELLOW,
    "draining": _YELLOW,
    "not ready": _YELLOW,
}


#: Words of how something is, the worst first.
_HEALTH = (("DOWN", RED), ("DEGRADED", _YELLOW), ("STARTING", _YELLOW), ("OK", _GREEN))


def colour(cell: str) -> str:
    """The escape sequence of a word that stands for a state; empty for others."""
    return _COLOURS.get(cell, "")


def health_colour(cell: str) -> str:
    """The escape sequence of a cell that says how services or a fleet are, by the worst of them."""
    return next((escape for word, escape in _HEALTH if word in cell), "")


FLEETS = (
    Column("FLEET"),
    Column("HEALTH", paint=health_colour),
    Column("KIND"),
    Column("STATUS", paint=colour),
    Column("NODES", right=True),
    Column("INSTANCES"),
    Column("ROOM"),
    Column("GPUS", right=True),
    Column("BLOCKS", right=True),
    Column("REPLICAS", right=True),
    Column("SPOT"),
    Column("BACKENDS"),
    Column("$/H", right=True),
    Column("AGE", right=True),
)
INSTANCES = (
    Column("FLEET"),
    Column("NUM", right=True),
    Column("STATE", paint=colour),
    Column("HEALTH", paint=colour),
    Column("HOST"),
    Column("BACKEND"),
    Column("REGION"),
    Column("GPU"),
    Column("BLOCKS", right=True),
    Column("$/H", right=True),
    Column("IDLE", right=True),
    Column("AGE", right=True),
    Column("RUNS"),
)
SERVICES = (
    Column("SERVICE"),
    Column("HEALTH", paint=health_colour),
    Column("STATUS", paint=colour),
    Column("PRIO", right=True),
    Column("WANTED", right=True),
    Column("RUNNING", right=True),
    Column("READY", right=True),
    Column("FLEETS"),
    Column("ROUTER"),
    Column("ROLLOUT", right=True),
    Column("$/H", right=True),
    Column("AGE", right=True),
    Column("URL"),
)
RUNS = (
    Column("RUN"),
    Column("TYPE"),
    Column("STATUS", paint=colour),
    Column("BY"),
    Column("JOBS", right=True),
    Column("FLEETS"),
    Column("$/H", right=True),
    Column("AGE", right=True),
    Column("MESSAGE"),
)
REPLICAS = (
    Column("SERVICE"),
    Column("REPLICA", right=True),
    Column("GROUP"),
    Column("FLEET"),
    Column("INSTANCE"),
    Column("HOST"),
    Column("STATE", paint=colour),
    Column("PROBES", paint=colour),
    Column("PURCHASE"),
    Column("GPU"),
    Column("DEPLOYMENT", right=True),
    Column("$/H", right=True),
    Column("AGE", right=True),
    Column("MESSAGE"),
)


def fleet(fleet: Fleet, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `FLEETS`."""
    return (
        fleet.name,
        str(fleet_health(snapshot, fleet)),
        fleet.kind,
        fleet.status,
        words.nodes(fleet),
        words.states(fleet) or NOTHING,
        words.room(fleet, snapshot),
        words.gpus(fleet),
        f"{fleet.blocks_busy}/{fleet.blocks_total}",
        str(fleet.replicas),
        fleet.spot_policy or NOTHING,
        ", ".join(fleet.backends) or NOTHING,
        price(fleet.price or None),
        age(fleet.created_at, snapshot.observed_at),
    )


def instance(instance: Instance, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `INSTANCES`."""
    return (
        instance.fleet_name or NOTHING,
        str(instance.num),
        instance.state,
        instance.health,
        instance.hostname or NOTHING,
        instance.backend or NOTHING,
        instance.region or NOTHING,
        str(instance.gpus or NOTHING),
        f"{instance.busy_blocks}/{instance.total_blocks}",
        price(instance.price or None),
        age(instance.idle_since, snapshot.observed_at),
        age(instance.created_at, snapshot.observed_at),
        words.runs_on(instance, snapshot) or NOTHING,
    )


def service(service: Service, snapshot: Snapshot, health: Health | None = None) -> Sequence[str]:
    """One cell per column of `SERVICES`."""
    shares = ", ".join(
        f"{share.fleet or 'no fleet yet'} {share.running}"
        + (f"+{share.starting}" if share.starting else "")
        for share in service.shares
        if share.active
    )
    return (
        service.name,
        str(health) if health is not None else NOTHING,
        service.status,
        str(service.priority),
        words.wanted(service),
        str(service.running),
        str(service.ready),
        shares or NOTHING,
        words.router(service, snapshot.routers.get(service.id)) or NOTHING,
        words.rollout(service),
        price(service.price or None),
        age(service.submitted_at, snapshot.observed_at),
        service.url or NOTHING,
    )


def run(run: Run, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `RUNS`."""
    jobs = snapshot.active_in(run)
    return (
        run.name,
        run_type(run),
        run.status,
        run.user,
        f"{running_jobs(jobs)}/{len(jobs)}",
        ", ".join(fleets_of(jobs)) or NOTHING,
        price(run.price or None),
        age(run.submitted_at, snapshot.observed_at),
        run_message(run) or NOTHING,
    )


def replica(replica: Replica, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `REPLICAS`."""
    instance = snapshot.instances.get(replica.instance_id or "")
    return (
        replica.run_name,
        str(replica.key.replica_num),
        _group(replica, snapshot),
        replica.fleet_name or replica.tried_in or NOTHING,
        instance.name if instance else NOTHING,
        replica.hostname or NOTHING,
        replica.status,
        _probes(replica),
        replica_purchase(replica) or NOTHING,
        str(replica.gpus or NOTHING),
        str(replica.deployment_num),
        price(replica.price or None),
        age(replica.since, snapshot.observed_at) + ("+" if replica.since_earlier else ""),
        replica.message,
    )


def _group(replica: Replica, snapshot: Snapshot) -> str:
    service = snapshot.services.get(replica.key.run_id)
    if service is None or not labels_of(service.groups):
        return NOTHING
    return group_label(replica.group, replica.role)


def _probes(replica: Replica) -> str:
    if replica.status != "running":
        return NOTHING
    if replica.ready:
        return "ready"
    if replica.unreached:
        return "no requests yet"
    return " ".join(f"{probe.streak}/{probe.ready_after}" for probe in replica.probes)
