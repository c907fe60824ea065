"""`get instances`."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.occupants import unseen
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour
from dstack_fleets_tui.output.cordons import cordon_item
from dstack_fleets_tui.output.payload import (
    Item,
    gpu,
    number,
    optional_number,
    optional_time,
    time,
)
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import NOTHING, age, price

COLUMNS = (
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


def cells(instance: Instance, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    return (
        instance.fleet_name or NOTHING,
        str(instance.num),
        words.with_cordon(instance.state, snapshot.cordon_of(instance)),
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


def item(instance: Instance, snapshot: Snapshot) -> Item:
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
        "gpu": gpu(instance.gpus),
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
        "guests": [
            {"project": guest.project, "job": guest.job} for guest in snapshot.guests_on(instance)
        ],
        "created_at": time(instance.created_at),
        "finished_at": optional_time(instance.finished_at),
        "idle_since": optional_time(instance.idle_since),
        "termination_reason": instance.termination_reason,
        "termination_message": instance.termination_message,
        "cordon": cordon_item(snapshot.cordon_of(instance)),
    }


KIND = Kind(
    choose=lambda look, asked: selection.instances(look.snapshot, asked.name),
    columns=COLUMNS,
    rows=lambda instance, snapshot: [cells(instance, snapshot)],
    item=item,
    wide=("name", "availability_zone", "instance_type", "cpus", "gpu_driver", "id"),
)
