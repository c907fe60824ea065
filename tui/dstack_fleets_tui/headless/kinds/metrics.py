"""`get metrics`: figures for a monitoring system, over all services and fleets or of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.health import Health, HealthState, desired_of, fleet_health
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.router import RouterStatus, RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Severity
from dstack_fleets_tui.headless.kinds import problems
from dstack_fleets_tui.headless.kinds.fleets import INSTANCE_STATES
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.payload import Item, number
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING

COLUMNS = (
    Column("METRIC"),
    Column("SERVICE"),
    Column("FLEET"),
    Column("LANES OF"),
    Column("STATE"),
    Column("VALUE", right=True),
)

#: What each figure is.
HELP = {
    "service_health": "1 for the state that the service is in, 0 for the others",
    "service_replicas": "Replicas: desired, running, ready, minimum and maximum of its groups",
    "service_price_dollars_per_hour": "What its replicas cost",
    "service_requests_per_second": "Requests that its gateway counted, over the last minute",
    "service_seconds_per_request": "How long one of them took on average",
    "lane_replicas": "Replicas of a service in a fleet, by what they are",
    "lane_minimum": "The minimum of the lane",
    "lane_target": "How many replicas the lane should have now",
    "lane_short": "How many replicas the lane is short of its minimum",
    "router_ready": "1 while the router takes requests, else 0",
    "router_workers": "Workers, by where they stand in the router's list, and those ready",
    "fleet_health": "1 for the state that the fleet is in, 0 for the others",
    "fleet_instances": "Instances, each in one state",
    "fleet_gpus": "GPUs: busy ones, and all",
    "fleet_price_dollars_per_hour": "What its instances cost",
    "problems": "Problems, by severity",
    "read_timestamp_seconds": "When all this was read",
}
#: A router of which this is known either takes requests or does not.
_ROUTER_KNOWN = frozenset({RouterStatus.READY, RouterStatus.NOT_READY, RouterStatus.DOWN})


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, with what it is about.

    Attributes:
        metric: What it is, one of `HELP`.
        value: How much.
        service: Of which service.
        fleet: Of which fleet; empty for replicas that have none yet.
        lanes_of: Of the lanes of which replica group; empty for lanes of the service.
        state: Of which of several things that are counted beside each other.
    """

    metric: str
    value: float
    service: str | None = None
    fleet: str | None = None
    lanes_of: str | None = None
    state: str | None = None


def _choose(look: Look, asked: Asked) -> list[Figure]:
    snapshot = look.snapshot
    services, fleets = _services(snapshot), selection.fleets(snapshot, None)
    if asked.name is not None:
        service_id, fleet_id = selection.either(snapshot, asked.name)
        services = [each for each in services if each.id == service_id]
        fleets = [each for each in fleets if each.id == fleet_id]
    figures = [figure for each in services for figure in _of_service(each, look)]
    figures += [figure for each in fleets for figure in _of_fleet(each, snapshot)]
    if asked.name is None:
        severities = Counter(problem.severity for problem in look.problems)
        for severity in sorted(Severity, reverse=True):
            state = severity.name.lower()
            figures.append(Figure("problems", severities[severity], state=state))
        figures.append(Figure("read_timestamp_seconds", snapshot.observed_at.timestamp()))
    return figures


def _services(snapshot: Snapshot) -> list[Service]:
    """One of each name: a failed run of the same name is history."""
    services = selection.services(snapshot, None)
    alive = {each.name for each in services if not each.finished}
    return [each for each in services if not each.finished or each.name not in alive]


def _of_service(service: Service, look: Look) -> Iterator[Figure]:
    snapshot, name = look.snapshot, service.name
    yield from _health("service_health", look.healths.get(service.id), service=name)
    counts = {
        "desired": desired_of(snapshot, service),
        "running": service.running,
        "ready": service.ready,
        "min": service.replicas_min,
        "max": service.replicas_max,
    }
    for state, count in counts.items():
        if count is not None:
            yield Figure("service_replicas", count, name, state=state)
    yield Figure("service_price_dollars_per_hour", service.price, name)
    counted = snapshot.traffic.get(service.id)
    if counted is not None:
        yield Figure("service_requests_per_second", counted.per_second, name)
        if counted.request_time is not None:
            yield Figure("service_seconds_per_request", counted.request_time, name)
    if not service.finished:
        yield from _of_lanes(service, snapshot)
    view = snapshot.routers.get(service.id)
    if view is not None and view.status in _ROUTER_KNOWN:
        yield from _of_router(view, name)


def _of_lanes(service: Service, snapshot: Snapshot) -> Iterator[Figure]:
    for row in distribution_of(snapshot, service).rows:
        about = service.name, row.fleet or "", row.pool
        for state, count in (
            ("running", row.running),
            ("ready", row.ready),
            ("pending", row.pending),
            ("stopping", row.stopping),
        ):
            yield Figure("lane_replicas", count, *about, state)
        if row.lane is not None:
            yield Figure("lane_minimum", row.minimum, *about)
            yield Figure("lane_short", row.deficit, *about)
        if row.target is not None:
            yield Figure("lane_target", row.target, *about)


def _of_router(view: RouterView, service: str) -> Iterator[Figure]:
    yield Figure("router_ready", view.status is RouterStatus.READY, service)
    counts = {"expected": view.expected, "ready": view.ready}
    counts |= Counter(worker.sync.value.replace(" ", "_") for worker in view.workers)
    for state, count in counts.items():
        yield Figure("router_workers", count, service, state=state)


def _of_fleet(fleet: Fleet, snapshot: Snapshot) -> Iterator[Figure]:
    yield from _health("fleet_health", fleet_health(snapshot, fleet), fleet=fleet.name)
    for state in INSTANCE_STATES:
        count = fleet.states.get(state, 0)
        yield Figure("fleet_instances", count, fleet=fleet.name, state=state)
    yield Figure("fleet_gpus", fleet.gpus_busy, fleet=fleet.name, state="busy")
    yield Figure("fleet_gpus", fleet.gpus_total, fleet=fleet.name, state="total")
    yield Figure("fleet_price_dollars_per_hour", fleet.price, fleet=fleet.name)


def _health(
    metric: str, health: Health | None, *, service: str | None = None, fleet: str | None = None
) -> Iterator[Figure]:
    if health is not None:
        for state in HealthState:
            if state is HealthState.STARTING and fleet is not None:
                continue  # which no fleet does
            yield Figure(metric, state is health.state, service, fleet, state=state.value)


def cells(figure: Figure) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    return (
        figure.metric,
        figure.service or NOTHING,
        figure.fleet or NOTHING,
        figure.lanes_of or NOTHING,
        figure.state or NOTHING,
        f"{number(figure.value)}",
    )


def item(figure: Figure) -> Item:
    """A figure."""
    return {
        "metric": figure.metric,
        "service": figure.service,
        "fleet": figure.fleet or None,
        "lanes_of": figure.lanes_of or None,
        "state": figure.state,
        "value": number(figure.value),
    }


def as_prometheus(figures: Mapping[str, Sequence[Figure]]) -> str:
    """Writes the figures of projects as a textfile collector of Prometheus takes them."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    families: dict[str, Gauge] = {}
    for project, figure in ((name, each) for name, found in figures.items() for each in found):
        labels = {
            "project": project,
            **{
                name: value or ""
                for name in ("service", "fleet", "lanes_of", "state")
                if (value := getattr(figure, name)) is not None
            },
        }
        name = f"dstack_fleets_{figure.metric}"
        if name not in families:
            families[name] = Gauge(name, HELP[figure.metric], list(labels), registry=registry)
        families[name].labels(**labels).set(figure.value)
    return generate_latest(registry).decode()


def _identity(item: Item) -> Hashable:
    """What the figure is of; the time of the look is another at each."""
    if item["metric"] == "read_timestamp_seconds":
        return None
    return tuple(value for key, value in item.items() if key != "value")


KIND = Kind(
    choose=_choose,
    columns=COLUMNS,
    rows=lambda figure, snapshot: [cells(figure)],
    item=lambda figure, snapshot: item(figure),
    read=problems.KIND.read,
    notes=problems.KIND.notes,
    named=lambda item: str(item["metric"]),
    prometheus=as_prometheus,
    identity=_identity,
)
