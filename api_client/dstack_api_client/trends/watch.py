"""Follows the snapshots of a project, and keeps what their figures were."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from dstack_api_client.analysis.health import desired_of
from dstack_api_client.analysis.reach import serving_of
from dstack_api_client.join.difference import Difference
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.replica.metrics import Use
from dstack_api_client.transport import wire
from dstack_api_client.trends import past
from dstack_api_client.trends.trend import (
    Measure,
    Subject,
    Trend,
    Trends,
    fleet_named,
    replica_of,
    service_named,
)

_Figure = tuple[Subject, Measure, float]


class TrendWatch:
    """Notes what changes at each snapshot, and all of it once a step.

    A service or a fleet that is made again under its name goes on in its trend: who looks at it
    wants to see what was before.
    """

    def __init__(self) -> None:
        self._trends = Trends()
        self._runs: dict[str, str] = {}
        self._is_filled = False
        self._noted: tuple[Snapshot, Collection[_Figure]] | None = None

    @property
    def step(self) -> int | None:
        """The number of the step that goes on: nothing that is shown changes within it."""
        return self._trends.step

    @property
    def version(self) -> int:
        """Grows whenever a trend of a fleet or a replica may be another."""
        return self._trends.version

    def look(self, snapshot: Snapshot, difference: Difference) -> None:
        """Takes a snapshot.

        Args:
            snapshot: What is; one that is not complete is left out.
            difference: What changed since the one before.
        """
        if not snapshot.complete:
            return
        began = self._trends.reach(snapshot.observed_at)
        # Those that came and went change what stands behind a name.
        if began or difference.services.added or difference.services.gone:
            self._runs = {each.name: each.id for each in _in_turn(snapshot.services.values())}
        if began:
            self._note_all(snapshot)
        elif difference:
            changes = (difference.services, difference.placements)
            changed = {key for each in changes for key in (*each.added, *each.changed)}
            # Whether a replica is reached changes with it or its instance alone.
            changed |= {key.run_id for key in difference.replicas.changed}
            hosts = map(snapshot.instances.__getitem__, difference.instances.changed)
            changed |= {key.run_id for host in hosts for key in host.jobs}
            self._note(self._of_services(snapshot, changed))
            fleets = (*difference.fleets.added, *difference.fleets.changed)
            self._note(_of_fleets(snapshot.fleets[key] for key in fleets))
            routers = (*difference.routers.added, *difference.routers.changed)
            self._note(_of_loads(snapshot.routers[key] for key in routers))
            traffic = (*difference.traffic.added, *difference.traffic.changed)
            self._note(self._of_traffic(snapshot, traffic))

    def fill(self, snapshot: Snapshot, events: Collection[wire.Event]) -> Iterator[None] | None:
        """Fills the time before the first snapshot, once, a part at each step: all take long.

        Args:
            snapshot: What is; one that is not complete does not count.
            events: All that were read so far.

        Returns:
            The steps; None where there is nothing to fill.
        """
        if self._is_filled or not events or not snapshot.complete:
            return None
        self._is_filled = True
        return self._learned(snapshot, events, snapshot.services.values(), snapshot.fleets.values())

    def learn(
        self,
        snapshot: Snapshot,
        events: Collection[wire.Event],
        *,
        services: Iterable[Service] | None = None,
        fleets: Iterable[Fleet] | None = None,
    ) -> None:
        """Fills steps of which nothing is known with what events say of them.

        Args:
            snapshot: What is.
            events: Events without a gap between the oldest of them and now.
            services: Of which services; of all without it.
            fleets: Of which fleets; of all without it.
        """
        for _ in self._learned(
            snapshot,
            events,
            snapshot.services.values() if services is None else services,
            snapshot.fleets.values() if fleets is None else fleets,
        ):
            continue

    def _learned(
        self,
        snapshot: Snapshot,
        events: Collection[wire.Event],
        services: Iterable[Service],
        fleets: Iterable[Fleet],
    ) -> Iterator[None]:
        if self._trends.step is None or not events:
            return
        told = past.Past(events, self._trends.step, snapshot)
        yield
        for service in services:
            if self._runs.get(service.name) == service.id:
                for measure, points in told.of_service(service).items():
                    self._trends.fill(service_named(service.name), measure, points)
                yield
        for fleet in fleets:
            for measure, points in told.of_fleet(fleet).items():
                self._trends.fill(fleet_named(fleet.name), measure, points)
            yield

    def take(self, uses: Mapping[ReplicaKey, Use | None]) -> None:
        """Takes what replicas make use of."""
        for key, use in uses.items():
            if use is not None and use.gpu is not None:
                known = zip(use.times, use.gpu.values, strict=False)
                points = ((at, value) for at, value in known if value is not None)
                self._trends.fill(replica_of(key), Measure.GPU, points)

    def of_service(self, service: Service, measure: Measure) -> Trend:
        """A trend of a service; of a run that another has followed, none."""
        known = self._runs.get(service.name) == service.id
        return self._trends.trend(service_named(service.name if known else ""), measure)

    def of_fleet(self, fleet: Fleet, measure: Measure) -> Trend:
        """A trend of a fleet."""
        return self._trends.trend(fleet_named(fleet.name), measure)

    def of_replica(self, key: ReplicaKey, measure: Measure) -> Trend:
        """A trend of a replica."""
        return self._trends.trend(replica_of(key), measure)

    def _note_all(self, snapshot: Snapshot) -> None:
        """Notes all figures; where nothing is another, those of the step before."""
        timeless = snapshot.timeless()
        if self._noted is None or self._noted[0] != timeless:
            figures = (
                *self._of_services(snapshot, snapshot.services),
                *_of_fleets(snapshot.fleets.values()),
                *_of_loads(snapshot.routers.values()),
                *self._of_traffic(snapshot, snapshot.traffic),
            )
            self._noted = timeless, figures
        self._note(self._noted[1])

    def _note(self, figures: Iterable[_Figure]) -> None:
        for subject, measure, value in figures:
            self._trends.note(subject, measure, value)

    def _of_services(self, snapshot: Snapshot, keys: Iterable[str]) -> Iterator[_Figure]:
        for key in keys:
            service = snapshot.services.get(key)
            if service is None or self._runs.get(service.name) != key or not service.jobs_known:
                continue
            subject = service_named(service.name)
            yield subject, Measure.READY, serving_of(snapshot, service)
            yield subject, Measure.DESIRED, desired_of(snapshot, service)
            yield subject, Measure.PRICE, service.price

    def _of_traffic(self, snapshot: Snapshot, keys: Iterable[str]) -> Iterator[_Figure]:
        for key in keys:
            service = snapshot.services.get(key)
            if service is not None and self._runs.get(service.name) == key:
                per_second = snapshot.traffic[key].per_second
                yield service_named(service.name), Measure.REQUESTS, per_second


def _of_fleets(fleets: Iterable[Fleet]) -> Iterator[_Figure]:
    for fleet in fleets:
        subject = fleet_named(fleet.name)
        gpus = bool(fleet.gpus_total)
        yield subject, Measure.BUSY, fleet.gpus_busy if gpus else fleet.blocks_busy
        yield subject, Measure.TOTAL, fleet.gpus_total if gpus else fleet.blocks_total
        yield subject, Measure.PRICE, fleet.price
        yield subject, Measure.REPLICAS, fleet.replicas


def _of_loads(views: Iterable[RouterView]) -> Iterator[_Figure]:
    for view in views:
        for worker in view.workers:
            if worker.replica is not None and worker.load is not None:
                yield replica_of(worker.replica), Measure.LOAD, worker.load


def _in_turn(services: Iterable[Service]) -> list[Service]:
    """Services such that the last of a name is the one that people mean by it."""
    return sorted(services, key=lambda each: (not each.finished, each.submitted_at))
