"""Reads how services are placed, as often as it is worth what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from dstack_api_client import errors
from dstack_api_client.model.capabilities import (
    PLACEMENT,
    PLACEMENT_LIST,
    TRAFFIC,
    Capabilities,
)
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.replica import FINISHED
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.transport import wire_addon
from dstack_api_client.transport.client import Client

#: The share of time that reading the placement of all services may take.
_SHARE = 0.05
#: Most seconds between two such readings.
_LONGEST = 30.0
#: Least seconds between two of them where no service has lanes: as often as dstack reads gateways.
_COUNTED_EVERY = 15.0
#: Services that are read in full with one such reading, besides the one that is open.
_AT_ONCE = 4
#: Seconds after which one is read in full though nothing shows that it changed.
_OLD = 60.0


class Placements:
    """What the placement add-on of a server says of the services of a project.

    The service that is open is read every time. Of all others the add-on tells in short, in one
    answer, by which is seen whose placement changed; those are read in full. A failure keeps what
    was known, and is told until something was read.

    Args:
        client: The client to read with.
        project: The project's name.
        monotonic: A clock for durations.

    Attributes:
        known: By run id; another mapping whenever something was read.
        traffic: What gateways counted, by run id; another mapping whenever something of it is.
        failure: Why the last reading brought nothing, a sentence; empty where it did.
    """

    def __init__(
        self, client: Client, project: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.known: dict[str, Placement] = {}
        self.traffic: dict[str, Traffic] = {}
        self.failure = ""
        self._client = client
        self._project = project
        self._monotonic = monotonic
        self._due = 0.0
        self._told: dict[str, wire_addon.PlacementSummary] = {}
        self._read: dict[str, tuple[wire_addon.PlacementSummary | None, float]] = {}
        """What was told in short when a service was last read in full, and when that was."""

    async def read(
        self,
        snapshot: Snapshot,
        capabilities: Capabilities,
        opened: str | None,
        *,
        only_opened: bool = False,
    ) -> None:
        """Reads what is worth reading now.

        Args:
            snapshot: The services that there are.
            capabilities: What the server can do.
            opened: Id of the service that is looked at, which is read every time.
            only_opened: Whether nothing else is read.

        Raises:
            CannotConnectError: The server can't be reached.
            UnauthorisedError: It does not accept the token any more.
        """
        if not capabilities.can(PLACEMENT):
            self.known, self.traffic, self.failure = {}, {}, ""
            return
        services = {
            run_id: service
            for run_id, service in snapshot.services.items()
            if service.status not in FINISHED
        }
        self._forget_all_but(services)
        lanes = {run_id for run_id, service in services.items() if service.has_lanes}
        counted: set[str] = set()
        if capabilities.can(TRAFFIC):
            counted = {run_id for run_id, service in services.items() if service.on_gateway}
        if only_opened:
            all_due = opened in counted
        else:
            all_due = bool(lanes or counted) and self._monotonic() >= self._due
        try:
            if all_due and capabilities.can(PLACEMENT_LIST):
                await self._read_all(services, set() if only_opened else lanes, opened)
            elif opened in services:
                await self._read_one(services[opened])
            elif lanes or counted or opened is not None:
                return  # nothing was asked: what was told last stays so
            self.failure = ""
        except (errors.CannotConnectError, errors.UnauthorisedError):
            raise
        except errors.ApiError as error:
            self.failure = error.message  # of the add-on's own making: what is known stays
            self.traffic = {}  # but not what was counted over a minute
            self._due = self._monotonic()

    def _forget_all_but(self, services: Mapping[str, Service]) -> None:
        if self.known.keys() - services.keys():
            self.known = {key: value for key, value in self.known.items() if key in services}
        if self.traffic.keys() - services.keys():
            self.traffic = {key: each for key, each in self.traffic.items() if key in services}
        for kept in (self._told, self._read):
            for run_id in kept.keys() - services.keys():
                del kept[run_id]

    async def _read_all(
        self, services: Mapping[str, Service], lanes: set[str], opened: str | None
    ) -> None:
        before = self._client.meter.seconds
        wanted = self._to_be_read(lanes - {opened or ""})
        if opened is not None and opened in services:
            wanted = [opened, *wanted]
        told, placements, traffic = await self._client.placements.list(
            self._project, [services[run_id].name for run_id in wanted]
        )
        self._told = {each.run_id: each for each in told if each.run_id in services}
        self._take(placements, services)
        counted = {run_id: each for run_id, each in traffic.items() if run_id in services}
        if counted != self.traffic:
            self.traffic = counted
        spent = self._client.meter.seconds - before
        pause = min(spent / _SHARE, _LONGEST)
        self._due = self._monotonic() + (pause if lanes else max(pause, _COUNTED_EVERY))
        if self._to_be_read(lanes - {opened or ""}, only_changed=True):
            self._due = self._monotonic()

    def _to_be_read(self, lanes: set[str], *, only_changed: bool = False) -> list[str]:
        """Services whose placement is not known, has changed or is old, in this order."""
        now = self._monotonic()

        def rank(run_id: str) -> tuple[int, float]:
            if run_id not in self._read:
                return (0, 0.0)
            told, at = self._read[run_id]
            return (1 if told != self._told.get(run_id) else 2, at)

        ranked = sorted((*rank(run_id), run_id) for run_id in lanes)
        return [
            run_id
            for order, at, run_id in ranked
            if order < 2 or (not only_changed and now - at >= _OLD)
        ][:_AT_ONCE]

    async def _read_one(self, service: Service) -> None:
        try:
            read = await self._client.placements.get(self._project, service.name)
        except errors.NotFoundError:
            self.known = {key: value for key, value in self.known.items() if key != service.id}
            return
        self._take([read], {service.id: service})

    def _take(self, placements: list[Placement], services: Mapping[str, Service]) -> None:
        now = self._monotonic()
        taken = {}
        for placement in placements:
            run_id = placement.run_id
            if run_id in services:  # else another of that name, made meanwhile
                told = self._told.get(run_id)
                self._read[run_id] = (told, now)
                taken[run_id] = _with_since(placement, told)
        if taken:
            self.known = {**self.known, **taken}


def _with_since(placement: Placement, told: wire_addon.PlacementSummary | None) -> Placement:
    """The placement with since when lanes are short, which an older add-on has in its list only."""
    since: dict[tuple[str, str], datetime] = {
        (each.pool, each.fleet): each.since for each in (told.deficits if told is not None else ())
    }
    if not since:
        return placement
    lanes = tuple(
        replace(lane, deficit_since=since.get((lane.pool, lane.fleet), lane.deficit_since))
        if lane.deficit
        else lane
        for lane in placement.lanes
    )
    return replace(placement, lanes=lanes)
