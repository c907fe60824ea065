"""The list of fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from textual.content import Content

from dstack_api_client.analysis.health import Health, HealthState, fleet_health, fleet_room
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.labels import counted
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.tables.health import cell
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.bars import state_bar
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.table.cells import Cell, Column

#: Cells of the bar of instances.
_BAR = 8

COLUMNS = (
    Column("fleet", "FLEET", min_width=8, max_width=30, priority=10, names=True),
    Column("health", "HEALTH", priority=9),
    Column("kind", "KIND", priority=4),
    Column("nodes", "NODES", justify="right", priority=6),
    Column("instances", "INSTANCES", min_width=24, max_width=70, priority=9, flexible=True),
    Column("room", "ROOM", priority=8),
    Column("gpu", "GPU", justify="right", priority=7, max_width=24),
    trends.column("trend", "BUSY 30 MIN", 4),
    Column("replicas", "REPL", justify="right", priority=7),
    Column("spot", "SPOT", priority=3),
    Column("backends", "BACKENDS", priority=2, max_width=20),
    Column("price", "$/H", justify="right", priority=5),
    trends.column("price_trend", "$/H 30 MIN", 0),
    Column("status", "STATUS", priority=1),
    Column("age", "AGE", justify="right", priority=4),
)


#: Where the past of a fleet stands.
_BUSY, _PRICE = ([each.key for each in COLUMNS].index(key) for key in ("trend", "price_trend"))


class Was(NamedTuple):
    """What a fleet was over the last 30 minutes.

    Attributes:
        busy: How much of it was busy.
        price: What it cost.
    """

    busy: Cell = ""
    price: Cell = ""


def cells(fleet: Fleet, snapshot: Snapshot, looks: Looks, was: Was | None = None) -> Sequence[Cell]:
    """The row of one fleet.

    Args:
        fleet: The fleet.
        snapshot: Where its instances are.
        looks: Time and glyphs to show it with.
        was: What it was.

    Returns:
        One cell per column of `COLUMNS`.
    """
    health = fleet_health(snapshot, fleet)
    was = was or Was()
    return (
        looks.text(fleet.name, _weight(fleet, health)),
        cell(health, looks),
        fleet.kind,
        looks.text(words.nodes(fleet), sort=inf if fleet.nodes_max is None else fleet.nodes_max),
        looks.bar(_instances(fleet, looks, snapshot.cordons_in(fleet)), len(fleet.instance_ids)),
        _room(fleet, snapshot, looks),
        looks.text(words.gpus(fleet), sort=fleet.gpus_total),
        was.busy,
        looks.number(fleet.replicas),
        looks.word(fleet.spot_policy),
        looks.word(", ".join(fleet.backends)),
        looks.price(fleet.price),
        was.price,
        looks.text(fleet.status, "" if fleet.status == "active" else "warn"),
        looks.age(fleet.created_at),
    )


def with_trends(cells: Sequence[Cell], was: Was) -> Sequence[Cell]:
    """The same row with another past."""
    found = list(cells)
    found[_BUSY], found[_PRICE] = was
    return tuple(found)


def made_of(
    fleet: Fleet, snapshot: Snapshot, looks: Looks, members: Sequence[Instance | None]
) -> tuple[object, ...]:
    """All that `cells` makes of the same arguments but the past, for `KeptRows`.

    Args:
        fleet: The fleet.
        snapshot: Where its instances are.
        looks: Time and glyphs to show it with.
        members: Its instances, by `Members`.
    """
    since = looks.age(fleet.created_at)
    return (fleet, members, snapshot.cordons_in(fleet), since, looks.glyphs)


def all_made_of(snapshot: Snapshot, looks: Looks) -> tuple[object, ...]:
    """All that `made_of` gives of every fleet but trends and ages, for `KeptRows.whole`."""
    return (snapshot.fleets, snapshot.instances, snapshot.cordons, looks.glyphs)


class Members:
    """The instances of fleets, gone through again only where one of them is another."""

    def __init__(self) -> None:
        self._instances: Mapping[str, Instance] = {}
        self._found: dict[str, tuple[Sequence[str], tuple[Instance | None, ...]]] = {}

    def of(self, fleet: Fleet, snapshot: Snapshot) -> tuple[Instance | None, ...]:
        """Those of one fleet: the same object as long as they are the same."""
        if snapshot.instances is not self._instances:
            self._instances, self._found = snapshot.instances, {}
        known = self._found.get(fleet.id)
        if known is None or known[0] is not fleet.instance_ids:
            found = tuple(map(snapshot.instances.get, fleet.instance_ids))
            known = self._found[fleet.id] = fleet.instance_ids, found
        return known[1]


def _instances(fleet: Fleet, looks: Looks, cordons: Sequence[Cordon]) -> Content:
    bar = state_bar(fleet.states, width=_BAR, glyphs=looks.glyphs)
    told = [f"{fleet.unhealthy} unhealthy"] if fleet.unhealthy else []
    if fleet.status != "active":
        told.insert(0, words.fleet_status(fleet))
    if cordons:
        told.append(words.cordons(cordons))
    if not told:
        return bar
    # Right behind the bar: what is wrong is read first and cut last.
    return bar[:_BAR] + literal(f" {', '.join(told)} ", style_of("warn")) + bar[_BAR:]


def _room(fleet: Fleet, snapshot: Snapshot, looks: Looks) -> Cell:
    """What is left; without any it is quiet, since no fault."""
    left = fleet_room(snapshot, fleet)
    total = inf if left.may_start is None else left.idle + left.blocks + left.may_start
    return looks.text(words.room(fleet, snapshot), "" if total else "dim", total)


def _weight(fleet: Fleet, health: Health) -> str:
    """How loud its name is: as its health, and a warning where an instance failed its checks."""
    if health.state is HealthState.DOWN:
        return "bad"
    return "warn" if health.state is HealthState.DEGRADED or fleet.unhealthy else "strong"


def summary(fleet: Fleet, looks: Looks, cordon: Cordon | None = None) -> str:
    """One line on what the fleet is, for below the list."""
    return "  ".join((fleet.name, *facts(fleet, looks, cordon)))


def facts(fleet: Fleet, looks: Looks, cordon: Cordon | None = None) -> list[str]:
    """What the fleet is, each in a word or two."""
    parts = []
    if cordon is not None:
        parts.append(words.cordoned(cordon, looks.now))
    if fleet.kind == "ssh":
        parts.append(counted(len(fleet.instance_ids), "SSH host"))
    else:
        parts.append(fleet.spot_policy or "on-demand")
    if fleet.reservation:
        parts.append(f"reservation {fleet.reservation}")
    if fleet.backends:
        parts.append(", ".join(fleet.backends))
    if fleet.blocks_total > len(fleet.instance_ids):
        parts.append(f"blocks {fleet.blocks_busy}/{fleet.blocks_total} busy")
    if fleet.idle_duration:
        parts.append(f"idle {fleet.idle_duration}")
    if fleet.other_jobs:
        parts.append(f"{counted(fleet.other_jobs, 'job')} of tasks and dev environments")
    if fleet.status_message:
        parts.append(fleet.status_message)
    parts.append(f"created {looks.since(fleet.created_at)} ago")
    return parts
