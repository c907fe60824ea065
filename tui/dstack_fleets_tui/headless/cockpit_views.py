"""The columns of the tables on distribution, routers, problems and events, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dstack_api_client.analysis.distribution import Cell, Distribution, FleetRow
from dstack_api_client.analysis.group_rows import GroupRow
from dstack_api_client.events.stream import Event
from dstack_api_client.model.labels import counted, replica_name
from dstack_api_client.model.purchases import purchase_of
from dstack_api_client.model.roles import named
from dstack_api_client.model.router import RouterView, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui import words
from dstack_fleets_tui.formatting import NOTHING, age, price
from dstack_fleets_tui.headless.views import RED, colour, health_colour
from dstack_fleets_tui.output.payload import time
from dstack_fleets_tui.output.table import Column
from dstack_placement.engine import LANE_COLUMNS

_LOUD = "BASELINE"
_FIRST, *_REST = LANE_COLUMNS

DISTRIBUTION = (
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
ROUTER = (
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
PROBLEMS = (
    Column("SEVERITY", paint=colour),
    Column("KIND"),
    Column("SUBJECT"),
    Column("HEALTH", paint=health_colour),
    Column("PROBLEM"),
    Column("$/H", right=True),
    Column("SINCE", right=True),
    Column("HINT"),
)
EVENTS = (
    Column("TIME"),
    Column("BY"),
    Column("TARGETS"),
    Column("EVENT"),
)


def distribution(
    distribution: Distribution, service: Service, snapshot: Snapshot
) -> Iterator[Sequence[str]]:
    """One row of cells per fleet or group, as `DISTRIBUTION` has columns."""
    if distribution.by_group:
        for group in distribution.by_group:
            yield _group_row(group, distribution, service, snapshot)
        return
    for row in distribution.rows:
        yield (
            service.name,
            _count(row.of_lane(_FIRST)),
            row.fleet or "no fleet yet",
            distribution.labels.get(row.pool, row.pool) or NOTHING,
            *(_count(row.of_lane(field)) for field in _REST),
            _count(row.target),
            str(row.running),
            str(row.ready),
            str(row.pending),
            ", ".join(
                _group(distribution.labels.get(name, ""), cell) for name, cell in row.groups.items()
            )
            or NOTHING,
            price(row.price or None),
            _why(row, snapshot),
        )


def _group_row(
    row: GroupRow, distribution: Distribution, service: Service, snapshot: Snapshot
) -> Sequence[str]:
    cell = Cell(row.running, row.ready, row.pending, row.stopping)
    label = distribution.labels.get(row.group.name, "")
    of_group = {"min": row.group.replicas_min, "max": row.group.replicas_max}
    return (
        service.name,
        NOTHING,
        ", ".join(row.fleets) or "no fleet yet",
        NOTHING,
        *(_count(of_group.get(field.short)) for field in _REST),
        NOTHING,
        str(row.running),
        str(row.ready),
        str(row.pending),
        f"{_group(label, cell)} ({purchase_of(row.group)})",
        price(row.price or None),
        words.group_why(row, snapshot.observed_at),
    )


def _why(row: FleetRow, snapshot: Snapshot) -> str:
    """The reason; a baseline that is not held is loud, with since when."""
    if not row.deficit or row.lane is None:
        return row.reason
    held = f"{row.held} of {row.minimum}"
    lasts = f" for {age(row.deficit_since, snapshot.observed_at)}" if row.deficit_since else ""
    return f"{_LOUD} {held}{lasts}" + (f": {row.cause}" if row.cause else "")


def _group(label: str, cell: Cell) -> str:
    """`decode 5+1`: those that run, and those that are to."""
    pending = f"+{cell.pending}" if cell.pending else ""
    return f"{label} {cell.running}{pending}".strip()


def _count(number: int | None) -> str:
    return NOTHING if number is None else str(number)


def router(view: RouterView, service: Service, snapshot: Snapshot) -> Iterator[Sequence[str]]:
    """One row of cells per worker, as `ROUTER` has columns."""
    for worker in view.workers:
        yield (
            service.name,
            worker.sync.value,
            worker.router_health or NOTHING,
            worker.job_status or NOTHING,
            worker.role or NOTHING,
            _count(worker.load),
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


def router_line(view: RouterView, service: Service, snapshot: Snapshot) -> str:
    """How a router is, one line: `chat: smg ready, 7 of 8 workers, read through the server ...`."""
    way = {"server": "through the server", "ssh": "over SSH"}.get(view.source.value)
    text = f"{service.name}: {view.kind} {view.status.value}"
    if way is not None:
        text += f", {view.ready} of {counted(view.expected, 'worker')} ready"
    if view.lacking:
        text += f", {named(view.lacking)}"
    if way is not None and view.observed_at is not None:
        text += f", read {way} {age(view.observed_at, snapshot.observed_at)} ago"
    return f"{text}. {view.message}".rstrip()


def problem(problem: Problem, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `PROBLEMS`."""
    return (
        problem.severity.name.lower(),
        problem.kind.value,
        problem.subject,
        words.affected(problem),
        problem.text,
        price(problem.price),
        age(problem.since, snapshot.observed_at),
        problem.hint,
    )


def event(event: Event) -> Sequence[str]:
    """One cell per column of `EVENTS`."""
    return (
        time(event.recorded_at),
        event.actor or "server",
        ", ".join(f"{target.type} {target.name}" for target in event.targets) or NOTHING,
        event.message,
    )
