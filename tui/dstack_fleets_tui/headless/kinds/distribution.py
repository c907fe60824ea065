"""`get distribution`: how the replicas of services are spread over fleets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.fleet_rows import Cell, Distribution, FleetRow
from dstack_api_client.analysis.group_rows import GroupRow
from dstack_api_client.model.labels import in_text
from dstack_api_client.model.purchases import purchase_of
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind, count
from dstack_fleets_tui.headless.looking import Asked, Look, Source, placed
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import RED
from dstack_fleets_tui.output.payload import Item, number, optional_time, rebalancing, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import NOTHING, age, price
from dstack_placement.engine import LANE_COLUMNS, Cause

_LOUD = "BASELINE"
_FIRST, *_REST = LANE_COLUMNS

COLUMNS = (
    Column("SERVICE"),
    Column(_FIRST.title, right=True),
    Column("FLEET"),
    Column("LANES OF"),
    *(Column(field.title, right=True) for field in _REST),
    Column("TARGET", right=True),
    Column("RUNNING", right=True),
    Column("READY", right=True),
    Column("PENDING", right=True),
    Column("GROUPS"),
    Column("$/H", right=True),
    Column("WHY", paint=lambda cell: RED if cell.startswith(_LOUD) else ""),
)


@dataclass(frozen=True)
class _Spread:
    """A service over its fleets."""

    service: Service
    distribution: Distribution


async def _read(source: Source, asked: Asked) -> Look:
    if asked.name is not None:
        snapshot = await source.feed.read_service(asked.name)
        if snapshot is not None:
            return Look(snapshot)
    return Look(await placed(source.feed, await source.snapshot()))


def _choose(look: Look, asked: Asked) -> list[_Spread]:
    services = selection.services(look.snapshot, asked.name, ended=asked.ended)
    return [_Spread(each, distribution_of(look.snapshot, each)) for each in services]


def _notes(things: Sequence[_Spread], snapshot: Snapshot) -> list[str]:
    """What can't be known, once for all services that it is true of."""
    about: dict[str, list[str]] = {}
    for thing in things:
        for note in thing.distribution.notes:
            about.setdefault(note, []).append(thing.service.name)
    if len(things) == 1:
        return list(about)
    return [f"{', '.join(names)}: {note}" for note, names in about.items()]


def cells(
    distribution: Distribution, service: Service, snapshot: Snapshot
) -> Iterator[Sequence[str]]:
    """One row of cells per fleet or group, as `COLUMNS` has columns."""
    if distribution.by_group:
        for group in distribution.by_group:
            yield _group_cells(group, distribution, service, snapshot)
        return
    for row in distribution.rows:
        yield (
            service.name,
            count(row.of_lane(_FIRST)),
            row.fleet or "no fleet yet",
            distribution.labels.get(row.pool, row.pool) or NOTHING,
            *(count(row.of_lane(field)) for field in _REST),
            count(row.target),
            str(row.running),
            str(row.serving),
            str(row.pending),
            ", ".join(
                _group(distribution.labels.get(name, ""), cell) for name, cell in row.groups.items()
            )
            or NOTHING,
            price(row.price or None),
            _why(row, snapshot),
        )


def _group_cells(
    row: GroupRow, distribution: Distribution, service: Service, snapshot: Snapshot
) -> Sequence[str]:
    cell = Cell(row.running, row.ready, row.pending, row.stopping)
    label = distribution.labels.get(row.group.name, "")
    of_group = {"min": row.group.replicas_min, "max": row.group.replicas_max}
    return (
        service.name,
        NOTHING,
        ", ".join(row.fleets) or (NOTHING if service.gone else "no fleet yet"),
        NOTHING,
        *(count(of_group.get(field.short)) for field in _REST),
        NOTHING,
        str(row.running),
        str(row.serving),
        str(row.pending),
        f"{_group(label, cell)} ({purchase_of(row.group)})",
        price(row.price or None),
        words.group_why(row, lambda since: age(since, snapshot.observed_at)),
    )


def _why(row: FleetRow, snapshot: Snapshot) -> str:
    """The reason; a minimum that is not met is loud, with since when."""
    if not row.deficit or row.lane is None:
        return row.reason
    held = f"{row.held} of {row.minimum}"
    lasts = f" for {age(row.deficit_since, snapshot.observed_at)}" if row.deficit_since else ""
    return f"{_LOUD} {held}{lasts}" + (f": {row.cause}" if row.cause else "")


def _group(label: str, cell: Cell) -> str:
    """`decode 5+1`: those that run, and those that are to."""
    pending = f"+{cell.pending}" if cell.pending else ""
    return f"{in_text(label)} {cell.running}{pending}".strip()


def item(distribution: Distribution, service: Service, snapshot: Snapshot) -> Item:
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
        "fleets": [_fleet_item(row) for row in distribution.rows],
        "groups": [_group_item(row) for row in distribution.by_group],
        "rebalancing": rebalancing(snapshot.placements.get(service.id)),
        "notes": list(distribution.notes),
    }


def _fleet_item(row: FleetRow) -> Item:
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
        "causes": [_cause_item(each) for each in row.why.causes] if row.why else [],
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


def _cause_item(cause: Cause) -> Item:
    return {
        "code": cause.code.value,
        "fleet": cause.fleet or None,
        "number": cause.number,
        "limit": cause.limit,
        "until": optional_time(cause.until),
        "detail": cause.detail,
    }


def _group_item(row: GroupRow) -> Item:
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


KIND = Kind(
    choose=_choose,
    columns=COLUMNS,
    rows=lambda one, snapshot: cells(one.distribution, one.service, snapshot),
    item=lambda one, snapshot: item(one.distribution, one.service, snapshot),
    read=_read,
    below=_notes,
    named=lambda item: str(item["service"]),
)
