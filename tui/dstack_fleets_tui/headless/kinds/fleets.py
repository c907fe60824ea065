"""`get fleets`."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.analysis.health import fleet_health, fleet_room
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour, health_colour
from dstack_fleets_tui.output.cordons import cordon_item
from dstack_fleets_tui.output.payload import Item, health, number, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import NOTHING, age, price

COLUMNS = (
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

#: The keys of `instances.by_state`; each is always there.
INSTANCE_STATES = ("pending", "provisioning", "idle", "busy", "unreachable", "terminating")


def cells(fleet: Fleet, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    return (
        fleet.name,
        str(fleet_health(snapshot, fleet)),
        fleet.kind,
        words.with_cordon(fleet.status, snapshot.cordon_of(fleet)),
        words.nodes(fleet),
        _instances(fleet, snapshot) or NOTHING,
        words.room(fleet, snapshot),
        words.gpus(fleet),
        f"{fleet.blocks_busy}/{fleet.blocks_total}",
        str(fleet.replicas),
        fleet.spot_policy or NOTHING,
        ", ".join(fleet.backends) or NOTHING,
        price(fleet.price or None),
        age(fleet.created_at, snapshot.observed_at),
    )


def _instances(fleet: Fleet, snapshot: Snapshot) -> str:
    own = [each for each in snapshot.cordons_in(fleet) if each.number is not None]
    return ", ".join(part for part in (words.states(fleet), words.cordons(own)) if part)


def item(fleet: Fleet, snapshot: Snapshot) -> Item:
    """A fleet."""
    cordons = {each.key for each in snapshot.cordons_in(fleet)}
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
        "health": health(fleet_health(snapshot, fleet)),
        "room": {"idle": room.idle, "blocks": room.blocks, "may_start": room.may_start},
        "cordon": cordon_item(snapshot.cordon_of(fleet)),
        "cordoned_instances": [
            snapshot.instances[key].name
            for key in fleet.instance_ids
            if key in cordons and key in snapshot.instances
        ],
    }


KIND = Kind(
    choose=lambda look, asked: selection.fleets(look.snapshot, asked.name),
    columns=COLUMNS,
    rows=lambda fleet, snapshot: [cells(fleet, snapshot)],
    item=item,
    wide=("project", "reservation", "idle_duration", "other_jobs", "status_message", "id"),
)
