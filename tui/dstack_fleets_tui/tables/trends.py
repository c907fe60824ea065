"""What the last 30 minutes were, in a cell: 15 signs of two minutes each.

Only steps that are complete are drawn, so a cell changes at most once a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from textual.content import Content

from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import Worker
from dstack_api_client.model.service import Service
from dstack_api_client.trends.trend import NO_TREND, STEPS, Measure, Trend
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.words import formatting
from dstack_widgets.drawing.bars import sparkline
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.detail_pane import Section
from dstack_widgets.table.cells import CellValue, Column

#: The keys of columns of sparklines.
COLUMN_KEYS = frozenset({"trend", "gpu_trend", "load_trend", "price_trend"})
#: Signs of a sparkline, and the steps of each.
SIGNS = 15
_STEPS = STEPS // SIGNS
#: Steps whose sparklines are kept: of no step at all, and of two projects of which one is ahead.
_STEPS_KEPT = 3
#: Cells from which there is room for sparklines in the list of services, and in that of fleets.
WIDE, WIDER = 114, 132
#: Cells from which both lists have room for what the price was, beside all that is now.
WIDEST = 176


def column(key: str, title: str, priority: int) -> Column:
    """A column of sparklines."""
    return Column(key, title, width=SIGNS, priority=priority)


@lru_cache
def columns_for(
    columns: tuple[Column, ...], *, wide: bool, widest: bool = False
) -> tuple[Column, ...]:
    """The columns of a table: without its sparklines where it is not wide.

    Args:
        columns: All of them.
        wide: Whether there is room for sparklines.
        widest: Whether there is also room for that of the price.
    """

    def fits(column: Column) -> bool:
        return widest if column.key == "price_trend" else wide

    return tuple(
        replace(each, hidden=not fits(each)) if each.key in COLUMN_KEYS else each
        for each in columns
    )


def ready(service: Service, trends: TrendWatch, glyphs: Glyphs) -> CellValue:
    """Ready out of desired replicas; a full sign where all of them are ready."""
    return _cell(_drawn_ready(service, trends, glyphs), trends.of_service(service, Measure.READY))


def _cell(drawn: Content, trend: Trend) -> CellValue:
    """A sparkline in a table; of a trend in which nothing is known, what stands for no trend."""
    return CellValue(drawn, "", trend.last) if trend.known else CellValue("")


def _drawn_ready(service: Service, trends: TrendWatch, glyphs: Glyphs) -> Content:
    of_ready = trends.of_service(service, Measure.READY)
    return _drawn_share(of_ready, trends.of_service(service, Measure.DESIRED), True, glyphs)


def busy(fleet: Fleet, trends: TrendWatch, glyphs: Glyphs) -> CellValue:
    """GPUs in use out of all."""
    of_busy = trends.of_fleet(fleet, Measure.BUSY)
    total = trends.of_fleet(fleet, Measure.TOTAL)
    return _cell(_drawn_share(of_busy, total, False, glyphs), of_busy)


def price(subject: Service | Fleet, trends: TrendWatch, glyphs: Glyphs) -> CellValue:
    """What it cost per hour, against the most that it did."""
    if isinstance(subject, Service):
        trend = trends.of_service(subject, Measure.PRICE)
    else:
        trend = trends.of_fleet(subject, Measure.PRICE)
    return _cell(_drawn(trend, _peak(trend) or 1.0, glyphs), trend)


def gpu(replica: ReplicaKey, trends: TrendWatch, glyphs: Glyphs) -> CellValue:
    """Percent of the GPUs of a replica."""
    trend = trends.of_replica(replica, Measure.GPU)
    return _cell(_drawn(trend, 100.0, glyphs), trend)


def loads(workers: Iterable[Worker], trends: TrendWatch, glyphs: Glyphs) -> dict[str, CellValue]:
    """What a router had its workers work on, by their keys, on a scale that all of them share."""
    known = {
        worker.key: trends.of_replica(worker.replica, Measure.LOAD)
        for worker in workers
        if worker.replica is not None
    }
    top = max(map(_peak, known.values()), default=0) or 1.0
    return {key: _cell(_drawn(trend, top, glyphs), trend) for key, trend in known.items()}


def section_of_service(service: Service, trends: TrendWatch, glyphs: Glyphs) -> Section:
    """What a service was, for the details of it."""
    ready = trends.of_service(service, Measure.READY)
    price = trends.of_service(service, Measure.PRICE)
    requests = trends.of_service(service, Measure.REQUESTS)
    drawn = _drawn_ready(service, trends, glyphs)
    return _section(
        [
            ("ready", drawn, ready, formatting.count),
            ("requests/s", None, requests, formatting.rate),
            ("$/h", None, price, formatting.price),
        ],
        glyphs,
    )


def section_of_fleet(fleet: Fleet, trends: TrendWatch, glyphs: Glyphs) -> Section:
    """What a fleet was, for the details of it."""
    of_busy = trends.of_fleet(fleet, Measure.BUSY)
    price = trends.of_fleet(fleet, Measure.PRICE)
    total = trends.of_fleet(fleet, Measure.TOTAL)
    drawn = _drawn_share(of_busy, total, False, glyphs)
    name = "GPUs busy" if fleet.gpus_total else "blocks busy"
    return _section(
        [(name, drawn, of_busy, formatting.count), ("$/h", None, price, formatting.price)], glyphs
    )


def _section(
    rows: Sequence[tuple[str, Content | None, Trend, Callable[[float], str]]], glyphs: Glyphs
) -> Section:
    """Names, sparklines and numbers; nothing of what is not known or was 0 all the time."""
    shown = [row for row in rows if any(row[2].known)]
    wide = max((len(name) for name, _, _, _ in shown), default=0)
    lines = []
    for name, drawn, trend, told in shown:
        known = trend.known
        low, high = told(min(known)), told(max(known))
        text = low if low == high else f"{low} to {high}"
        line = drawn if drawn is not None else _drawn(trend, max(known), glyphs)
        lines.append(literal(f"{name:<{wide}}  ", style_of("dim")) + line + literal(f"  {text}"))
    return Section("Last 30 minutes, T for charts", lines)


_Others = ParamSpec("_Others")
_Made = TypeVar("_Made")


def _until_step_ends(
    make: Callable[Concatenate[Trend, _Others], _Made],
) -> Callable[Concatenate[Trend, _Others], _Made]:
    """Keeps what is made of trends until a step ends: then each trend is another one."""
    steps: dict[int, Callable[Concatenate[Trend, _Others], _Made]] = {}

    @wraps(make)
    def made(trend: Trend, /, *args: _Others.args, **kwargs: _Others.kwargs) -> _Made:
        kept = steps.pop(trend.number, None)
        if kept is None:
            new = lru_cache(maxsize=4096)(make)
            kept = cast("Callable[Concatenate[Trend, _Others], _Made]", new)
        steps[trend.number] = kept
        if len(steps) > _STEPS_KEPT:
            del steps[next(iter(steps))]
        return kept(trend, *args, **kwargs)

    return made


@_until_step_ends
def _peak(trend: Trend) -> float:
    return max(trend.known, default=0)


@_until_step_ends
def _drawn_share(part: Trend, whole: Trend, is_promise: bool, glyphs: Glyphs) -> Content:
    shares = [
        None if of is None or all_ is None or not (of or all_) else min(1.0, of / (all_ or of))
        for of, all_ in zip(part.values, whole.values, strict=True)
    ]
    values = by_sign(shares, part.number, least=is_promise)
    return sparkline(values, SIGNS, 1.0, glyphs=glyphs, loud=_loud if is_promise else None)


@_until_step_ends
def _drawn(trend: Trend, top: float, glyphs: Glyphs) -> Content:
    return sparkline(by_sign(trend.values, trend.number), SIGNS, top, glyphs=glyphs)


def _loud(share: float) -> str:
    """The style of a time in which not all was ready."""
    return "" if share >= 1 else "warn" if share else "bad"


def by_sign(
    values: tuple[float | None, ...] | list[float | None], number: int, *, least: bool = False
) -> list[float | None]:
    """One value for each sign; signs begin at even minutes, so that they do not change as they go.

    Args:
        values: One for each step, the oldest first.
        number: The number of the newest step.
        least: Whether the least of a sign's steps counts, and not the most.
    """
    if values is NO_TREND.values:
        return [None] * SIGNS
    first = number - len(values) + 1
    found: dict[int, float] = {}
    for at, value in enumerate(values):
        if value is not None:
            sign = (first + at) // _STEPS
            known = found.get(sign, value)
            found[sign] = min(known, value) if least else max(known, value)
    newest = number // _STEPS
    return [found.get(sign) for sign in range(newest - SIGNS + 1, newest + 1)]
