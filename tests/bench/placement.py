"""The placement engine: 1,000 replicas over 50 lanes, and what ten times fewer replicas cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from dstack_placement.engine import (
    Group,
    Lane,
    Replica,
    ReplicaState,
    Room,
    Service,
    next_actions,
    place,
    preview,
    stopping_order,
)

from .figures import Figure
from .table import Cases, Table, grown

_NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
_REPLICAS = 1000
_LANES = 50
_SMALLER = 10
_ROUNDS = 20


def _lanes() -> tuple[Lane, ...]:
    return tuple(
        Lane(f"fleet-{n}", n % 3, None if n % 7 else 40, priority=n % 5) for n in range(_LANES)
    )


def _service(count: int, *, placed: bool) -> Service:
    replicas = tuple(
        Replica(
            f"r{n}",
            n,
            state=ReplicaState.READY if placed else ReplicaState.PENDING,
            fleet=f"fleet-{n % _LANES}" if placed else None,
        )
        for n in range(count)
    )
    rooms = {f"fleet-{n}": Room(count // 40, why="nodes.max is reached") for n in range(_LANES)}
    return Service(_lanes(), (Group(wanted=count),), replicas, rooms)


def _cases(count: int) -> Cases:
    waiting, running = _service(count, placed=False), _service(count, placed=True)
    down = replace(running, groups=(Group(wanted=count // 10),))
    raised = tuple(
        Lane(lane.fleet, lane.min_replicas, None, priority=n) for n, lane in enumerate(_lanes())
    )
    moved = replace(running, lanes=raised)
    return {
        "place all": lambda: next_actions(waiting, now=_NOW),
        "place one of all": lambda: place(waiting, "r0", now=_NOW),
        "nothing to do": lambda: next_actions(running, now=_NOW),
        "scale down to a tenth": lambda: next_actions(down, now=_NOW),
        "who goes first": lambda: stopping_order(running, "0", now=_NOW),
        "preview, priorities edited": lambda: preview(moved, now=_NOW),
        "preview of a rebalance": lambda: preview(moved, now=_NOW, rebalance=True),
    }


def run() -> Table:
    cases = grown(_cases(_REPLICAS // _SMALLER), _cases(_REPLICAS), _ROUNDS)
    return Table(
        title=f"Placement over {_LANES} lanes",
        columns=(
            "what",
            f"{_REPLICAS // _SMALLER} replicas",
            f"{_REPLICAS} replicas",
            "ratio",
        ),
        rows=[case.row for case in cases],
        note=f"A ratio of up to {_SMALLER} grows no faster than the number of replicas.",
        figures=[
            Figure(
                f"placement of {_REPLICAS:,} replicas over {_LANES} lanes: {case.name}", case.large
            )
            for case in cases
        ],
    )
