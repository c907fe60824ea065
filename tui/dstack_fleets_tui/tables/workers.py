"""A service's router and its workers, as the router and dstack see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from textual.content import Content

from dstack_api_client.model.labels import counted, listed, replica_name
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.roles import beside_the_count
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words.formatting import age
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

COLUMNS = (
    Column("sync", "SYNC", priority=10),
    Column("router", "ROUTER", priority=10),
    Column("dstack", "DSTACK", priority=9),
    Column("probes", "PROBES", priority=2),
    Column("role", "ROLE", priority=5),
    Column("load", "LOAD", justify="right", priority=7),
    trends.column("load_trend", "LOAD 30 MIN", 1),
    Column("replica", "REPLICA", priority=9, min_width=8, max_width=24, names=True),
    Column("fleet", "FLEET", priority=6, min_width=8, max_width=24, names=True),
    Column("address", "ADDRESS", priority=8, min_width=14, max_width=48, names=True),
    Column("model", "MODEL", priority=1, max_width=40),
    Column("since", "SINCE", justify="right", priority=6),
)

#: Style and glyph of what the router says of a worker.
_HEALTH: Mapping[str, tuple[str, str]] = {
    "ready": ("ok", "bullet"),
    "not ready": ("warn", "warning"),
    "pending": ("starting", "circle"),
    "failed": ("bad", "cross"),
    "draining": ("ending", "circle"),
}
#: Style of a sync state that nothing is wrong with.
_SYNC: Mapping[Sync, str] = {
    Sync.IN_SYNC: "",
    Sync.PENDING: "starting",
    Sync.DRAINING: "ending",
    Sync.UNKNOWN: "dim",
}
_STATUS: Mapping[RouterStatus, str] = {
    RouterStatus.READY: "ok",
    RouterStatus.NOT_READY: "warn",
    RouterStatus.DOWN: "bad",
    RouterStatus.REFUSES: "bad",
    RouterStatus.NOT_MANAGED: "idle",
    RouterStatus.UNKNOWN: "warn",
}
_OLD = (
    "What was last read of the router is too old to say how its workers are. They are listed as"
    " dstack has them."
)
#: From this on a worker gets no requests or fails them, and from that on it wants a look. Below,
#: things recover within seconds.
_LOUD, _WRONG = 60, 30


def loudness(worker: Worker) -> str:
    """The style of what is wrong with a worker; empty when it is nothing to look at."""
    return "bad" if worker.wrong >= _LOUD else "warn" if worker.wrong >= _WRONG else ""


def aged(view: RouterView) -> RouterView:
    """A look that has become too old: what it said of each worker may not be so any more."""
    return replace(
        view,
        status=RouterStatus.UNKNOWN,
        ready=0,
        lacking=(),
        workers=tuple(
            replace(worker, sync=Sync.UNKNOWN, router_health=None, load=None, message="", wrong=0)
            for worker in view.workers
        ),
    )


def cells(
    worker: Worker, names: Mapping[ReplicaKey, Replica], looks: Looks, trend: Cell = ""
) -> Sequence[Cell]:
    """The row of one worker: one cell per column of `COLUMNS`.

    Args:
        worker: The worker.
        names: The replicas, for their names.
        looks: Time and glyphs to show it with.
        trend: What it worked on.
    """
    return (
        _sync(worker, looks),
        _health(worker, looks),
        looks.state(worker.job_status) if worker.job_status else looks.word(None),
        _probes(worker, looks),
        looks.word(worker.role),
        looks.number(worker.load),
        trend,
        looks.word(worker_name(worker, names)),
        looks.word(worker.fleet),
        looks.word(address(worker)),
        looks.word(worker.model),
        looks.age(worker.since, at_least=worker.at_least),
    )


def worker_name(worker: Worker, names: Mapping[ReplicaKey, Replica]) -> str:
    """`decode 3`; empty for a worker that is not a replica."""
    if worker.replica is None:
        return ""
    replica = names.get(worker.replica)
    if replica is not None:
        return replica_name(replica)
    return f"{worker.group or ''} {worker.replica.replica_num}".strip()


def address(worker: Worker) -> str:
    """Where the router dials it; that it is HTTP goes without saying."""
    return (worker.url or "").removeprefix("http://").rstrip("/")


def summary(worker: Worker, names: Mapping[ReplicaKey, Replica]) -> str:
    """One line on a worker: what its state means, and what the columns had no room for."""
    parts = (
        worker_name(worker, names) or address(worker),
        worker.message,
        worker.role or "",
        f"model {worker.model}" if worker.model else "",
        worker.url or "",
    )
    return "  ".join(dict.fromkeys(part for part in parts if part))


def head(view: RouterView, looks: Looks, lost: Sequence[str] = ()) -> list[Content]:
    """The line above the workers: which router, how it is, and how old the look is.

    Args:
        view: The router and its workers.
        looks: How things look.
        lost: The parts that no worker plays.
    """
    kind = literal(view.kind, style_of("strong"))
    parts = [kind + literal(f"  {view.status.value}", style_of(_STATUS[view.status]))]
    listed = view.status in (RouterStatus.READY, RouterStatus.NOT_READY)
    if listed:
        text = f"{view.ready} of {counted(view.expected, 'worker')} ready"
        parts.append(literal(text, style_of("warn") if view.ready < view.expected else ""))
    elif view.expected:
        parts.append(literal(f"{counted(view.expected, 'worker')} expected"))
    if lost:
        parts.append(literal(beside_the_count(lost, view.lacking), style_of("bad")))
    dim = style_of("dim")
    if view.status is RouterStatus.NOT_MANAGED:
        return parts  # nobody asks it
    if view.source is Source.NONE:
        parts.append(literal("its list was not read", dim))
    else:
        verb = "read" if listed else "asked"
        way = "through the server" if view.source is Source.SERVER else "over SSH"
        parts.append(literal(f"{verb} {way} {age(view.observed_at, looks.now)} ago", dim))
    if view.last_sync_at is not None:
        parts.append(literal(f"dstack's last sync {age(view.last_sync_at, looks.now)} ago", dim))
    if listed and view.kind == "smg":
        # It tells them on its port of metrics only, to which no way leads.
        parts.append(literal("circuit breakers not known", dim))
    return parts


def findings(
    view: RouterView, names: Mapping[ReplicaKey, Replica], *, old: bool = False
) -> list[Finding]:
    """What is wrong with the router and its workers; the same said of several is said once.

    Args:
        view: The router and its workers.
        names: The replicas, for their names.
        old: Whether the look is too old to go by.
    """
    said = []
    if old:
        said.append(Finding("warn", view.kind, _OLD))
    if view.message:
        quiet = view.status is RouterStatus.NOT_MANAGED
        style = "dim" if quiet else "bad" if _STATUS[view.status] == "bad" else "warn"
        said.append(Finding(style, view.kind, view.message))
    alike: dict[tuple[int, str, str], list[Worker]] = {}
    for worker in view.workers:
        if worker.message:
            alike.setdefault((worker.wrong, _state(worker), worker.message), []).append(worker)
    for (_, state, message), workers in sorted(alike.items(), key=lambda item: -item[0][0]):
        style = loudness(workers[0]) or "dim"
        named = listed(worker_name(worker, names) or address(worker) for worker in workers)
        said.append(Finding(style, f"{named}: {state}", message))
    return said


def _state(worker: Worker) -> str:
    """What is wrong, in a word: the router's view where the list is right."""
    if worker.sync is Sync.IN_SYNC and worker.router_health:
        failing = worker.router_health == "ready" and worker.probes_passed is False
        return "probes fail" if failing else worker.router_health
    return worker.sync.value


def _sync(worker: Worker, looks: Looks) -> CellValue:
    loud = loudness(worker)
    if worker.sync is Sync.IN_SYNC:
        loud = ""  # the list is right, and what is wrong stands in another cell of the row
    mark = looks.glyphs.sign(loud) if loud else " "
    style = loud or _SYNC.get(worker.sync, "dim")
    return CellValue(
        f"{mark} {worker.sync.value}", style, f"{999 - worker.wrong:03} {worker.sync.value}"
    )


def _health(worker: Worker, looks: Looks) -> CellValue:
    if worker.router_health is None:
        return looks.word(None)
    style, glyph = _HEALTH.get(worker.router_health, ("", "circle"))
    text = f"{getattr(looks.glyphs, glyph)} {worker.router_health}"
    return CellValue(text, style, worker.router_health)


def _probes(worker: Worker, looks: Looks) -> CellValue:
    if worker.probes_passed is None:
        return looks.word(None)
    return CellValue("ready", "ok") if worker.probes_passed else CellValue("not ready", "warn")
