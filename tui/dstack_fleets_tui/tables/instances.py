"""The instances of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import formatting, words
from dstack_widgets.table.cells import Cell, CellValue, Column

COLUMNS = (
    Column("num", "NUM", justify="right", priority=10),
    Column("host", "HOST", min_width=6, max_width=32, priority=8, names=True),
    Column("state", "STATE", priority=9),
    Column("runs", "RUNS", min_width=22, max_width=40, priority=9, flexible=True),
    Column("gpu", "GPU", priority=7),
    Column("blocks", "BLOCKS", justify="right", priority=5),
    Column("health", "HEALTH", priority=8),
    Column("backend", "BACKEND", priority=4, max_width=12),
    Column("region", "REGION", priority=3, max_width=20),
    Column("price", "$/H", justify="right", priority=6),
    Column("idle", "IDLE", justify="right", priority=4),
    Column("age", "AGE", justify="right", priority=5),
    Column("message", "MESSAGE", priority=2, max_width=60),
)


def of_fleet(fleet: Fleet, snapshot: Snapshot) -> dict[str, Instance]:
    """The instances of a fleet by id, and those of hosts that could not be set up."""
    found = {
        key: snapshot.instances[key] for key in fleet.instance_ids if key in snapshot.instances
    }
    return found | {each.id: each for each in fleet.failed}


def is_wrong(instance: Instance, fleet: Fleet) -> bool:
    """Whether an instance can't be reached, is not healthy, or could not be set up."""
    return instance.unreachable or instance.health != "healthy" or instance in fleet.failed


def cells(instance: Instance, snapshot: Snapshot, looks: Looks) -> Sequence[Cell]:
    """The row of one instance: one cell per column of `COLUMNS`."""
    return (
        looks.number(instance.num),
        looks.word(instance.hostname),
        _state(instance, snapshot, looks),
        looks.word(words.runs_on(instance, snapshot)),
        looks.word(str(instance.gpus) if instance.gpus else None),
        looks.text(f"{instance.busy_blocks}/{instance.total_blocks}", sort=instance.busy_blocks),
        looks.health(instance.health),
        looks.word(instance.backend),
        looks.word(instance.region),
        looks.price(instance.price),
        looks.age(instance.idle_since if instance.state == "idle" else None),
        looks.age(instance.created_at),
        _message(instance, snapshot, lambda: looks.now),
    )


def _state(instance: Instance, snapshot: Snapshot, looks: Looks) -> CellValue:
    cell = looks.state(instance.state)
    cordon = snapshot.cordon_of(instance)
    if cordon is None:
        return cell
    return looks.text(f"{cell.text}, {cordon.word}", "warn", cell.sort)


def summary(instance: Instance, snapshot: Snapshot) -> str:
    """One line on an instance: the last message of the server, what runs there, what it is."""
    memory = formatting.mebibytes(instance.memory_mib)
    parts = (
        instance.name,
        _message(instance, snapshot, lambda: snapshot.observed_at),
        words.runs_on(instance, snapshot),
        # Of an SSH host it is just "instance".
        instance.instance_type or "" if instance.backend != "remote" else "",
        f"{instance.cpus} CPUs  {memory}" if instance.cpus else "",
        "spot" if instance.spot else "",
        instance.availability_zone or "",
        f"driver {instance.gpu_driver}" if instance.gpu_driver else "",
    )
    return "  ".join(part for part in parts if part)


def _message(instance: Instance, snapshot: Snapshot, now: Callable[[], datetime]) -> str:
    told = instance.termination_message or (instance.termination_reason or "").replace("_", " ")
    cordon = snapshot.cordon_of(instance)
    parts = (
        words.cordoned(cordon, now()) if cordon is not None else "",
        told or words.same_number(instance, snapshot),
    )
    return "; ".join(part for part in parts if part)
