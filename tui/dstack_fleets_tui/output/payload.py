"""What the headless commands print, as plain data with stable keys (see docs/json.md).

A key is never renamed and never changes its meaning; new ones may be added. `VERSION` counts up
when that can't be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias

from dstack_api_client.analysis.distribution import Distribution, FleetRow
from dstack_api_client.analysis.group_rows import GroupRow
from dstack_api_client.analysis.health import Health, fleet_health, fleet_room
from dstack_api_client.events.stream import Event
from dstack_api_client.model.every_run import (
    Run,
    fleets_of,
    run_message,
    run_type,
    running_jobs,
)
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.occupants import unseen
from dstack_api_client.model.pulls import Pull
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.router import RouterView, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_placement.engine import LANE_COLUMNS

VERSION = 1

Kind: TypeAlias = Literal[
    "fleets",
    "instances",
    "services",
    "runs",
    "replicas",
    "distribution",
    "router",
    "problems",
    "events",
]
Item: TypeAlias = dict[str, Any]

#: The keys of a fleet's `instances.by_state`; each is always there.
INSTANCE_STATES = ("pending", "provisioning", "idle", "busy", "unreachable", "terminating")


def envelope(
    snapshot: Snapshot, kind: Kind, items: list[Item], notes: Sequence[str] | None = None
) -> dict[str, Any]:
    """The one object that is printed.

    Args:
        snapshot: What was read.
        kind: Which part of it.
        items: The things.
        notes: What can't be known of all of them; None for a kind that tells it of each.
    """
    whole = {
        "version": VERSION,
        "project": snapshot.project,
        "observed_at": time(snapshot.observed_at),
        kind: items,
    }
    return whole if notes is None else {**whole, "notes": list(notes)}


def fleet(fleet: Fleet, snapshot: Snapshot) -> Item:
    """A fleet."""
    room = fleet_room(snapshot, fleet)
    return {
        "id": fleet.id,
        "name": fleet.name,
        "project": fleet.project,
        "kind": fleet.kind,
        "status": fleet.status,
        "status_message": fleet.status_message,
        "nodes": {
            "min": fleet.nodes_min,
            "target": fleet.nodes_target,
            "max": fleet.nodes_max,
        },
        "instances": {
            "total": sum(fleet.states.values()),
            "by_state": {state: fleet.states.get(state, 0) for state in INSTANCE_STATES},
            "unhealthy": fleet.unhealthy,
        },
        "gpus": {
            "name": fleet.gpu_name,
            "busy": number(fleet.gpus_busy),
            "total": fleet.gpus_total,
        },
        "blocks": {"busy": fleet.blocks_busy, "total": fleet.blocks_total},
        "replicas": fleet.replicas,
        "other_jobs": fleet.other_jobs,
        "spot_policy": fleet.spot_policy,
        "backends": list(fleet.backends),
        "placement": fleet.placement,
        "reservation": fleet.reservation,
        "idle_duration": fleet.idle_duration,
        "price_per_hour": number(fleet.price),
        "created_at": time(fleet.created_at),
        "health": _health(fleet_health(snapshot, fleet)),
        "room": {"idle": room.idle, "blocks": room.blocks, "may_start": room.may_start},
    }


def instance(instance: Instance, snapshot: Snapshot) -> Item:
    """An instance with what runs on it."""
    jobs = (snapshot.replicas[key] for key in instance.jobs if key in snapshot.replicas)
    return {
        "id": instance.id,
        "name": instance.name,
        "number": instance.num,
        "fleet": instance.fleet_name,
        "status": instance.status,
        "unreachable": instance.unreachable,
        "health": instance.health,
        "hostname": instance.hostname,
        "backend": instance.backend,
        "region": instance.region,
        "availability_zone": instance.availability_zone,
        "instance_type": instance.instance_type,
        "spot": instance.spot,
        "cpus": instance.cpus,
        "memory_mib": instance.memory_mib,
        "disk_mib": instance.disk_mib,
        "gpu": _gpu(instance.gpus),
        "gpu_driver": instance.gpu_driver,
        "gpus_busy": number(instance.gpus_busy),
        "blocks": {"busy": instance.busy_blocks, "total": instance.total_blocks},
        "price_per_hour": optional_number(instance.price),
        "jobs": [
            {
                "run": job.run_name,
                "type": job.run_type,
                "replica": job.key.replica_num,
                "job": job.key.job_num,
                "node_group": job.node_group,
                "user": job.user,
                "status": job.status,
            }
            for job in jobs
        ],
        "busy_with": who.value if (who := unseen(instance, snapshot)) is not None else None,
        "created_at": time(instance.created_at),
        "finished_at": optional_time(instance.finished_at),
        "idle_since": optional_time(instance.idle_since),
        "termination_reason": instance.termination_reason,
        "termination_message": instance.termination_message,
    }


def service(service: Service, health: Health | None = None) -> Item:
    """A service with its replicas by group and by fleet."""
    return {
        "id": service.id,
        "name": service.name,
        "status": service.status,
        "status_message": service.status_message,
        "error": service.error,
        "user": service.user,
        "priority": service.priority,
        "replicas": {
            "min": service.replicas_min,
            "max": service.replicas_max,
            "active": service.active,
            "running": service.running,
            "ready": service.ready,
        },
        "autoscaled": service.autoscaled,
        "groups": [
            {
                "name": group.name,
                "router": group.router,
                "role": group.role,
                "spot_policy": group.spot_policy,
                "reservation": group.reservation,
                "min": group.replicas_min,
                "max": group.replicas_max,
                "active": group.active,
                "running": group.running,
                "ready": group.ready,
            }
            for group in service.groups
        ],
        "fleets": [
            {
                "fleet": share.fleet,
                "running": share.running,
                "ready": share.ready,
                "starting": share.starting,
                "stopping": share.stopping,
                "instances": share.instances,
                "price_per_hour": number(share.price),
            }
            for share in service.shares
        ],
        "assigned_fleet": service.fleet_name,
        "router": service.router,
        "deployment": {"number": service.deployment_num, "replicas": service.at_deployment},
        "price_per_hour": number(service.price),
        "url": service.url,
        "model": service.model,
        "submitted_at": time(service.submitted_at),
        "health": _health(health),
    }


def run(run: Run, snapshot: Snapshot) -> Item:
    """A service, task or dev environment."""
    jobs = snapshot.active_in(run)
    return {
        "id": run.id,
        "name": run.name,
        "type": run_type(run),
        "status": run.status,
        "message": run_message(run) or None,
        "user": run.user,
        "jobs": {"active": len(jobs), "running": running_jobs(jobs)},
        "fleets": fleets_of(jobs),
        "price_per_hour": number(run.price),
        "submitted_at": time(run.submitted_at),
    }


def replica(replica: Replica, snapshot: Snapshot) -> Item:
    """A replica at its latest submission."""
    instance = snapshot.instances.get(replica.instance_id or "")
    return {
        "service": replica.run_name,
        "replica": replica.key.replica_num,
        "job": replica.key.job_num,
        "group": replica.group,
        "router": replica.is_router,
        "status": replica.status,
        "ready": replica.ready,
        "message": replica.message or None,
        "probes": [
            {"streak": probe.streak, "ready_after": probe.ready_after, "passed": probe.passed}
            for probe in replica.probes
        ],
        "deployment": replica.deployment_num,
        "submission": replica.submission_num,
        "restarts": replica.restarts,
        "fleet": replica.fleet_name or replica.tried_in,
        "instance": instance.name if instance else None,
        "link": replica.link.value,
        "hostname": replica.hostname,
        "backend": replica.backend,
        "region": replica.region,
        "spot": replica.spot,
        "reservation": replica.reservation,
        "image_pull": _pull(replica.pull),
        "gpu": _gpu(replica.gpus),
        "price_per_hour": optional_number(replica.price),
        "submitted_at": time(replica.submitted_at),
        "since": time(replica.since),
        "since_is_least": replica.since_earlier,
        "finished_at": optional_time(replica.finished_at),
        "termination_reason": replica.termination_reason,
        "exit_status": replica.exit_status,
    }


def distribution(distribution: Distribution, service: Service) -> Item:
    """A service over its fleets."""
    return {
        "id": service.id,
        "service": service.name,
        "managed": distribution.managed,
        "observed_at": time(distribution.observed_at),
        "wanted": distribution.wanted,
        "running": distribution.running,
        "ready": distribution.ready,
        "pending": distribution.pending,
        "price_per_hour": number(distribution.price),
        "fleets": [_fleet_row(row) for row in distribution.rows],
        "groups": [_group_row(row) for row in distribution.by_group],
        "notes": list(distribution.notes),
    }


def _fleet_row(row: FleetRow) -> Item:
    return {
        "fleet": row.fleet,
        "lanes_of": row.pool or None,
        **{field.name: row.of_lane(field) for field in LANE_COLUMNS},
        "target": row.target,
        "running": row.running,
        "ready": row.ready,
        "pending": row.pending,
        "stopping": row.stopping,
        "deficit": row.deficit,
        "deficit_since": optional_time(row.deficit_since),
        "fallbacks": row.fallbacks,
        "fallback_causes": list(row.fallback_causes),
        "cooldown_until": optional_time(row.cooldown_until),
        "price_per_hour": number(row.price),
        "reason": row.reason,
        "reason_code": row.code or None,
        "groups": [
            {
                "name": name,
                "running": cell.running,
                "ready": cell.ready,
                "pending": cell.pending,
                "stopping": cell.stopping,
            }
            for name, cell in row.groups.items()
        ],
    }


def _group_row(row: GroupRow) -> Item:
    return {
        "name": row.group.name,
        "spot_policy": row.group.spot_policy,
        "reservation": row.group.reservation,
        "baseline": row.is_baseline,
        "min": row.group.replicas_min,
        "max": row.group.replicas_max,
        "running": row.running,
        "ready": row.ready,
        "pending": row.pending,
        "stopping": row.stopping,
        "deficit": row.lacks,
        "fleets": list(row.fleets),
        "price_per_hour": number(row.price),
        "reason": row.reason,
    }


def router(view: RouterView, service: Service) -> Item:
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
        "lacking_roles": list(view.lacking),
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


def problem(problem: Problem, snapshot: Snapshot) -> Item:
    """One thing that is wrong."""
    service = snapshot.services.get(problem.service_id or "")
    fleet = snapshot.fleets.get(problem.fleet_id or "")
    return {
        "key": problem.key,
        "severity": problem.severity.name.lower(),
        "kind": problem.kind.value,
        "subject": problem.subject,
        "text": problem.text,
        "hint": problem.hint or None,
        "since": optional_time(problem.since),
        "service": service.name if service is not None else None,
        "fleet": fleet.name if fleet is not None else None,
        "price_per_hour": optional_number(problem.price),
        "impact": problem.impact.name.lower().replace("_", " "),
        "affects": [
            {"service": each.name, "health": _health(each.health)} for each in problem.affects
        ],
    }


def _health(health: Health | None) -> Item | None:
    if health is None:
        return None
    return {"state": health.state.value, "serving": health.serving, "desired": health.desired}


def event(event: Event) -> Item:
    """Something that happened."""
    return {
        "id": event.id,
        "recorded_at": time(event.recorded_at),
        "message": event.message,
        "actor": event.actor,
        "targets": [
            {"type": target.type, "id": target.id, "name": target.name} for target in event.targets
        ],
    }


def time(moment: datetime) -> str:
    """RFC 3339 in UTC: `2026-05-01T12:00:00.250Z`."""
    utc = moment.astimezone(timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_time(moment: datetime | None) -> str | None:
    """The same for what may not have happened."""
    return None if moment is None else time(moment)


def number(value: float) -> float:
    """A number without the noise of binary fractions; whole ones without a fraction."""
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def optional_number(value: float | None) -> float | None:
    """The same for what may not be known."""
    return None if value is None else number(value)


def _pull(pull: Pull | None) -> Item | None:
    if pull is None:
        return None
    return {
        "downloaded_bytes": pull.downloaded,
        "extracted_bytes": pull.extracted,
        "total_bytes": pull.total,
        "is_total_final": pull.is_final,
    }


def _gpu(gpus: Gpus | None) -> Item | None:
    if gpus is None:
        return None
    return {"name": gpus.name, "count": gpus.count, "memory_mib": gpus.memory_mib}
