"""Charts of the last 30 minutes of a service and of a fleet, and what they say where data lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dstack_api_client.attempts import Failure
from dstack_api_client.model.capabilities import TRAFFIC
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.labels import counted, replica_name
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.trends.trend import STEP, STEPS, Measure, Trend
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.words import formatting
from dstack_widgets.panels.charts import Chart, Curve, Strip

#: Marks on the axis of time.
_MARKS = 4


@dataclass(frozen=True)
class Metrics:
    """What is known of the metrics that charts are made of.

    Attributes:
        is_read: Whether they were read.
        measured: Replicas of which they are read.
        failure: Why something can't be read.
    """

    is_read: bool = False
    measured: int = 0
    failure: Failure | None = None


def of_service(
    service: Service, snapshot: Snapshot, watch: TrendWatch, metrics: Metrics
) -> list[Chart]:
    """The charts of a service.

    Args:
        service: The service.
        snapshot: Where its replicas are.
        watch: What was.
        metrics: What is known of the metrics.
    """
    ready = watch.of_service(service, Measure.READY)
    desired = watch.of_service(service, Measure.DESIRED)
    price = watch.of_service(service, Measure.PRICE)
    requests = watch.of_service(service, Measure.REQUESTS)
    replicas = snapshot.active_in(service)
    charts = [
        _chart(
            "Replicas",
            Curve("ready", ready.values),
            Curve("desired", desired.values, "dim", dotted=True),
            told=formatting.count,
            note=_since(ready, "no earlier events"),
        ),
        _price(price, "no earlier prices"),
        _gpu(replicas, watch, metrics),
    ]
    if requests.known:
        charts.insert(1, _requests(requests))
    if service.router:
        charts.append(_loads(replicas, watch))
    return _timed(charts, ready)


def of_fleet(fleet: Fleet, snapshot: Snapshot, watch: TrendWatch, metrics: Metrics) -> list[Chart]:
    """The charts of a fleet; arguments as for `of_service`."""
    busy, total = watch.of_fleet(fleet, Measure.BUSY), watch.of_fleet(fleet, Measure.TOTAL)
    in_parts = any(
        instance.total_blocks > 1
        for key in fleet.instance_ids
        if (instance := snapshot.instances.get(key)) is not None
    )
    why = "no events of blocks" if in_parts else "no earlier events"
    charts = [
        _chart(
            "GPUs" if fleet.gpus_total else "Blocks",
            Curve("busy", busy.values),
            Curve("all", total.values, "dim", dotted=True),
            told=formatting.count,
            note=_since(busy, why),
        ),
        _price(watch.of_fleet(fleet, Measure.PRICE), "no earlier prices"),
        _gpu(in_fleet(snapshot, fleet), watch, metrics),
        _chart(
            "Replicas here",
            Curve("replicas", watch.of_fleet(fleet, Measure.REPLICAS).values),
            told=formatting.count,
            note=_since(watch.of_fleet(fleet, Measure.REPLICAS), "not in the events"),
        ),
    ]
    return _timed(charts, busy)


def no_requests(service: Service, snapshot: Snapshot) -> str:
    """Why requests per second are not known; empty where they are."""
    if service.id in snapshot.traffic:
        return ""
    if not service.on_gateway:
        why = "only a gateway counts them"
    elif not snapshot.capabilities.can(TRAFFIC):
        why = "only the placement add-on reports them"
    else:
        why = "the server has read none from the gateway lately"
    return f"Requests per second are not known: {why}."


def in_fleet(snapshot: Snapshot, fleet: Fleet) -> list[Replica]:
    """The jobs that a fleet runs."""
    return [
        each for each in snapshot.replicas.values() if each.active and each.fleet_id == fleet.id
    ]


def _chart(title: str, *curves: Curve, told: Callable[[float], str], note: str) -> Chart:
    return Chart(title, curves, told=told, note=note)


def _requests(trend: Trend) -> Chart:
    return _chart(
        "Requests/s",
        Curve("on the gateway", trend.values),
        told=formatting.rate,
        note=_since(trend, "no earlier counts"),
    )


def _price(trend: Trend, why: str) -> Chart:
    if trend.known and not any(trend.known):
        return Chart("Price, $/h", note="Nothing: what it runs on has no price.")
    return _chart(
        "Price, $/h",
        Curve("now", trend.values),
        told=formatting.price,
        note=_since(trend, why),
    )


def _gpu(replicas: Sequence[Replica], watch: TrendWatch, metrics: Metrics) -> Chart:
    """The mean over the replicas whose metrics are read."""
    with_gpus = [each for each in replicas if each.gpus is not None]
    trends = [watch.of_replica(each.key, Measure.GPU) for each in with_gpus]
    mean = [_mean(values) for values in zip(*(each.values for each in trends), strict=True)]
    known = sum(bool(each.known) for each in trends)
    if not with_gpus:
        note = "No GPU: no replica that runs has one."
    elif metrics.failure is not None:
        note = f"Metrics not read. {metrics.failure}"
    elif not metrics.is_read:
        note = "Reading the metrics."
    elif not known:
        note = "No metrics: the server keeps none of these replicas."
    elif known < len(with_gpus):
        note = f"mean of {counted(known, 'replica')} of {len(with_gpus)}"
    else:
        note = ""
    curves = (Curve("mean", mean),) if mean else ()
    return Chart("GPU, %", curves, told="{:.0f}".format, top=100.0, note=note)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _loads(replicas: Sequence[Replica], watch: TrendWatch) -> Chart:
    """What the router has each worker work on, the busiest first."""
    trends = {
        replica_name(each): watch.of_replica(each.key, Measure.LOAD)
        for each in replicas
        if not each.is_router
    }
    loaded = sorted(
        ((name, trend) for name, trend in trends.items() if trend.known),
        key=lambda each: (-(each[1].last or 0), each[0]),
    )
    top = max((max(trend.known) for _, trend in loaded), default=0)
    scale = f"0 to {formatting.count(top)}" if top else "none"
    title = f"Requests at each worker, {scale}" if loaded else "Router load"
    return Chart(
        title,
        strips=tuple(Strip(name, trend.values) for name, trend in loaded),
        told=formatting.count,
        note="" if loaded else "Not known: the router's list was not read, or has no loads.",
    )


def _since(trend: Trend, why: str) -> str:
    """Since when something is known, and why not for longer."""
    since = trend.since
    if since is None:
        return f"Not known yet: {why}."
    if trend.values[0] is not None:
        return ""
    return f"since {since.astimezone():%H:%M}: {why}"


def _timed(charts: Iterable[Chart], trend: Trend) -> list[Chart]:
    """The charts over one axis of time."""
    step = timedelta(seconds=STEP * STEPS / (_MARKS - 1))
    until = trend.until.astimezone()
    times = tuple(f"{until - step * back:%H:%M}" for back in reversed(range(_MARKS)))
    return [chart._replace(times=times) for chart in charts]
