"""The replicas of a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from dstack_api_client.model.engines import ROUTER
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.labels import group_label, labels_of, replica_key
from dstack_api_client.model.placement import ReplicaPlacement
from dstack_api_client.model.purchases import RESERVED, is_told, replica_purchase
from dstack_api_client.model.replica import Link, Replica, ReplicaKey
from dstack_api_client.model.router import RouterView, Sync, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem
from dstack_api_client.replica.metrics import Series, Use
from dstack_fleets_tui.tables import trends, workers
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.tables.problems import finding
from dstack_fleets_tui.tables.workers import loudness
from dstack_fleets_tui.words.formatting import NOTHING
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

COLUMNS = (
    Column("replica", "REPL", justify="right", priority=10),
    Column("group", "GROUP", priority=8, max_width=20, names=True),
    Column("fleet", "FLEET", priority=9, min_width=13, max_width=24, names=True, flexible=True),
    Column("instance", "INSTANCE", priority=5, max_width=30, names=True),
    Column("purchase", "PURCHASE", priority=6),
    Column("state", "STATE", priority=10),
    Column("next", "NEXT", priority=9, min_width=12, max_width=40, flexible=True),
    Column("probes", "PROBES", priority=6),
    Column("role", "ROLE", priority=4),
    Column("router", "ROUTER", priority=8, min_width=8, flexible=True),
    Column("gpu", "GPU", priority=3),
    Column("gpu_use", "GPU%", justify="right", priority=4),
    trends.column("gpu_trend", "GPU% 30 MIN", 2),
    Column("gpu_memory", "GPU GB", justify="right", priority=3),
    Column("memory", "MEM GB", justify="right", priority=1),
    Column("deployment", "DEPL", justify="right", priority=5),
    Column("restarts", "RESTARTS", justify="right", priority=4),
    Column("price", "$/H", justify="right", priority=4),
    Column("age", "AGE", justify="right", priority=6),
    Column("message", "MESSAGE", priority=2, max_width=80),
)
#: While something is wrong and the server says why, it stands in the rows at every width.
_MESSAGE_OF_WRONG = Column(
    "message", "MESSAGE", min_width=16, max_width=80, priority=10, flexible=True
)
#: Cells that the text on what comes next has at most and at least, and steps between.
_NEXT, _NEXT_NARROW, _STEP = 40, 12, 4
_GB = 1024**3
_LANES = "Press d for the fleets of the service, e to edit it."
#: Which keys help with what is wrong; `{enter}` is how the key is drawn.
_KEYS = {
    Kind.INSTANCE: "Press {enter} on its row, then i, for its instance.",
    Kind.REPLICA: "Press {enter} on its row, then l, for its logs.",
    Kind.BASELINE: _LANES,
    Kind.ROLLOUT: "Press t for the rollout.",
    Kind.WORKER: "Press o for the router's list.",
}
#: Styles of findings, the loudest first.
_LOUDNESS = {"bad": 0, "warn": 1}
#: Only services with a router have these.
_ROUTED = ("role", "router")


class Seen(NamedTuple):
    """All that the row of a replica shows, apart from its age.

    Attributes:
        replica: The replica.
        instance: Where it runs, as far as known.
        latest: The deployment that it should be at.
        routed: Whether its service has a router.
        grouped: Whether its service has several replica groups, or one with a name.
        bought: Whether the spec of its service says anything of how replicas are bought.
        worker: How its router sees it; None without a router or for one that is not a worker.
        placed: Why it is where it is, where the placement add-on tells.
        use: What it makes use of; None while that was not read.
        drain: What it does instead of its state, `draining 41 s, 3 open`; empty if it does not.
        next_step: What comes next where it does not serve; empty where it does.
        gpu_trend: What its GPUs did; None where that is not shown.
    """

    replica: Replica
    instance: Instance | None
    latest: int
    routed: bool
    grouped: bool
    bought: bool
    worker: Worker | None
    placed: ReplicaPlacement | None
    use: Use | None
    drain: str = ""
    next_step: str = ""
    gpu_trend: CellValue | None = None


def columns(
    service: Service, *, waits: int = 0, explained: bool = False, wide: bool = False
) -> tuple[Column, ...]:
    """The columns that a service has: without a router, nothing to tell of one.

    Args:
        service: The service.
        waits: Cells of the longest text on what comes next of a replica that does not serve.
        explained: Whether the server says something of a replica that is wrong.
        wide: Whether what comes next is never cut; other columns go for it.
    """
    bare = _columns(bool(service.router), grouped(service), bought(service), explained)
    # In steps, so that the columns stay while a length of time grows.
    next_in = min(_NEXT, -(-waits // _STEP) * _STEP) if wide else _NEXT_NARROW
    return tuple(
        replace(each, hidden=not waits, min_width=next_in) if each.key == "next" else each
        for each in bare
    )


def grouped(service: Service) -> bool:
    """Whether a service has several replica groups, or one with a name."""
    return bool(labels_of(service.groups))


def bought(service: Service) -> bool:
    """Whether the spec of a service says anything of how replicas are bought."""
    return is_told(service.groups)


@lru_cache
def _columns(routed: bool, grouped: bool, bought: bool, explained: bool) -> tuple[Column, ...]:
    has = {"group": grouped, "purchase": bought, **dict.fromkeys(_ROUTED, routed)}
    found = [column for column in COLUMNS if has.get(column.key, True)]
    if explained:
        found[-1] = _MESSAGE_OF_WRONG
    return tuple(found)


def is_wrong(
    replica: Replica, service: Service, worker: Worker | None, instance: Instance | None = None
) -> bool:
    """Whether a replica does not do what it is there for.

    It is not ready, not at the latest deployment, can't be reached, or is not used by its router
    as it should be.
    """
    if replica.cut_off or (instance is not None and instance.unreachable):
        return True
    if not replica.ready or replica.deployment_num != service.deployment_num:
        return True
    return worker is not None and bool(loudness(worker))


def cells(seen: Seen, looks: Looks) -> Sequence[Cell]:
    """The row of one replica: one cell per column of `columns`."""
    replica, worker, placed, use = seen.replica, seen.worker, seen.placed, seen.use
    outdated = replica.active and replica.deployment_num != seen.latest
    made = [looks.number(replica.key.replica_num)]
    if seen.grouped:
        made.append(looks.word(group_label(replica.group, replica.role)))
    made += [
        _fleet(replica, placed, looks),
        looks.text(_on(replica, seen.instance)),
    ]
    if seen.bought:
        made.append(looks.word(replica_purchase(replica)))
    made += [
        looks.state(_state(replica, seen.instance), seen.drain),
        CellValue(seen.next_step),
        looks.text(*probes(replica, looks)),
    ]
    if seen.routed:
        made += [looks.word(_role(replica, worker)), _router(worker, looks)]
    made += [
        looks.word(str(replica.gpus) if replica.gpus else None),
        _share(use.gpu if use else None, 1, looks),
        seen.gpu_trend or CellValue(""),
        _share(use.gpu_memory if use else None, _GB, looks),
        _share(use.memory if use else None, _GB, looks),
        looks.number(replica.deployment_num, "warn" if outdated else ""),
        looks.number(replica.restarts, "warn" if replica.restarts else "dim"),
        looks.price(replica.price),
        looks.age(replica.since, at_least=replica.since_earlier),
        CellValue(replica.message),
    ]
    return made


def _state(replica: Replica, instance: Instance | None) -> str:
    """Its status; what is said of one that can't be reached is from before."""
    lost = replica.active and instance is not None and instance.unreachable
    return "unreachable" if lost or replica.cut_off else replica.status


def _fleet(replica: Replica, placed: ReplicaPlacement | None, looks: Looks) -> CellValue:
    if placed is not None and placed.reason == "fallback":
        return CellValue(f"{replica.fleet_name or placed.fleet or NOTHING} (fallback)", "warn")
    # Of some only the run's fleet is known.
    doubt = " (run)" if replica.link is Link.RUN_FLEET else ""
    given = placed.fleet if placed is not None else None
    return looks.text((replica.fleet_name or given or replica.tried_in or NOTHING) + doubt)


def _share(series: Series | None, unit: float, looks: Looks) -> CellValue:
    """The newest value, out of the most it can be where that is not a percentage."""
    if series is None or series.last is None:
        return looks.word(None)
    used = f"{series.last / unit:.0f}"
    if unit == 1 or series.top is None:
        return CellValue(used, "", series.last)
    return CellValue(f"{used}/{series.top / unit:.0f}", "", series.last)


def _role(replica: Replica, worker: Worker | None) -> str | None:
    """As the router says, else as its command does."""
    if replica.is_router:
        return ROUTER
    return (worker.role if worker is not None else None) or replica.role


def _router(worker: Worker | None, looks: Looks) -> CellValue:
    """What the router makes of it, in one word: the list first, then the health."""
    if worker is None:
        return looks.word(None)
    known = worker.router_health if worker.sync is Sync.IN_SYNC else worker.sync.value
    return looks.word(known, loudness(worker) or ("ok" if known == "ready" else "dim"))


def instance_label(replica: Replica, snapshot: Snapshot) -> str:
    """The instance's number and host, as far as known."""
    return _on(replica, snapshot.instances.get(replica.instance_id or ""))


def _on(replica: Replica, instance: Instance | None) -> str:
    if instance is None:
        return replica.hostname or NOTHING
    host = instance.hostname or replica.hostname
    return f"{instance.num}  {host}" if host else str(instance.num)


def probes(replica: Replica, looks: Looks) -> tuple[str, str]:
    """Ready or the streak of each probe against what it needs, and the style of it."""
    if replica.status != "running":
        return NOTHING, "dim"
    if replica.ready:
        return f"{looks.glyphs.check} ready", "ok"
    if replica.unreached:
        return "no requests yet", "warn"
    streaks = " ".join(f"{probe.streak}/{probe.ready_after}" for probe in replica.probes)
    return f"{looks.glyphs.warning} {streaks}", "warn"


def findings(
    problems: Iterable[Problem],
    router: RouterView | None,
    names: Mapping[ReplicaKey, Replica],
    enter: str,
) -> list[Finding]:
    """What is wrong with replicas, what to do and with which keys, the loudest first.

    Args:
        problems: Of the replicas of the service.
        router: How its router sees them.
        names: The replicas, for their names.
        enter: How the key is drawn that opens a replica.
    """
    found = list(problems)
    said = [finding(each, subject=False) for each in found]
    kinds: list[Kind | None] = [_helped(each, names) for each in found]
    if router is not None:
        # Of one that is not ready it is told already.
        wrong = tuple(
            worker
            for worker in router.workers
            if loudness(worker)
            and worker.replica is not None
            and (replica := names.get(worker.replica)) is not None
            and replica.ready
        )
        of_router = workers.findings(replace(router, message="", workers=wrong), names)
        said += of_router
        kinds += [Kind.WORKER if each.style in _LOUDNESS else None for each in of_router]
    order = sorted(range(len(said)), key=lambda at: _LOUDNESS.get(said[at].style, len(_LOUDNESS)))
    return list(_with_keys([(said[at], kinds[at]) for at in order], enter))


def _helped(problem: Problem, names: Mapping[ReplicaKey, Replica]) -> Kind:
    """Which keys help; a replica without a place has no logs, and lacks what a baseline lacks."""
    if problem.kind is not Kind.REPLICA or problem.service_id is None or problem.row is None:
        return problem.kind
    replica = names.get(replica_key(problem.service_id, problem.row))
    waits = replica is not None and (replica.found_no_place or replica.status == "submitted")
    return Kind.BASELINE if waits else problem.kind


def _with_keys(found: Iterable[tuple[Finding, Kind | None]], enter: str) -> Iterator[Finding]:
    """Findings that say which key helps, each key once."""
    told: set[Kind] = set()
    for said, kind in found:
        keys = _KEYS.get(kind) if kind is not None and kind not in told else None
        if kind is not None:
            told.add(kind)
        text = f"{said.text} {keys.format(enter=enter)}" if keys else said.text
        yield said._replace(text=text)


def summary(replica: Replica, placed: ReplicaPlacement | None = None, coming: str = "") -> str:
    """One line on a replica: its job, why it is where it is, and the last message in full.

    Args:
        replica: The replica.
        placed: Why it is where it is, where the placement add-on tells.
        coming: What comes next, where its column is cut.
    """
    place = {
        Link.EXACT: "",
        Link.HOST: "",
        Link.RUN_FLEET: "its instance is not known, the fleet is the run's",
        Link.UNKNOWN: "not placed yet" if replica.active else "",
    }[replica.link]
    if replica.tried_in is not None:
        place = f"found no instance in {replica.tried_in}"
    # Of an SSH host both are "remote".
    where = " ".join(dict.fromkeys(part for part in (replica.backend, replica.region) if part))
    bought = replica_purchase(replica)
    if replica.reservation:
        held = f"reservation {replica.reservation}"
        bought = f"{bought} {held}" if bought not in (None, RESERVED) else held
    ended = "" if replica.exit_status is None else f"exit status {replica.exit_status}"
    reason = f"{placed.reason}: {placed.why}" if placed and placed.reason and placed.why else ""
    parts = (replica.job_name, coming, where, bought, reason, place, ended, replica.message)
    return "  ".join(part for part in parts if part)
