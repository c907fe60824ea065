"""Reads how services are placed, as often as it is worth what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable

from dstack_api_client import addon, errors
from dstack_api_client.capabilities import PLACEMENT, PLACEMENT_LIST, Capabilities
from dstack_api_client.client import Client
from dstack_api_client.placement import Placement
from dstack_api_client.snapshot import FINISHED, Service, Snapshot

#: The share of time that reading the placement of all services may take.
_SHARE = 0.05
#: Most seconds between two such readings.
_LONGEST = 30.0


class Placements:
    """What the placement add-on of a server says of the services of a project.

    A failure keeps what was known, which then gets older.

    Args:
        client: The client to read with.
        project: The project's name.
        monotonic: A clock for durations.

    Attributes:
        known: By run id; another mapping whenever something was read.
    """

    def __init__(
        self, client: Client, project: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.known: dict[str, Placement] = {}
        self._client = client
        self._project = project
        self._monotonic = monotonic
        self._due = 0.0
        self._turn: list[str] = []

    async def read(
        self, snapshot: Snapshot, capabilities: Capabilities, opened: str | None
    ) -> None:
        """Reads what is worth reading now.

        Args:
            snapshot: The services that there are.
            capabilities: What the server can do.
            opened: Id of the service that is looked at, which is read in full every time.

        Raises:
            CannotConnectError: The server can't be reached.
            UnauthorisedError: It does not accept the token any more.
        """
        if not capabilities.can(PLACEMENT):
            self.known = {}
            return
        services = {
            run_id: service
            for run_id, service in snapshot.services.items()
            if service.status not in FINISHED
        }
        with_lanes = [run_id for run_id, service in services.items() if service.has_lanes]
        if self.known.keys() - services.keys():
            self.known = {key: value for key, value in self.known.items() if key in services}
        try:
            if with_lanes and self._monotonic() >= self._due:
                before = self._client.meter.seconds
                if capabilities.can(PLACEMENT_LIST):
                    await self._read_all(services, opened)
                else:
                    await self._read_next([run for run in with_lanes if run != opened], services)
                spent = self._client.meter.seconds - before
                self._due = self._monotonic() + min(spent / _SHARE, _LONGEST)
            if opened in services:
                await self._read_one(services[opened])
        except (errors.CannotConnectError, errors.UnauthorisedError):
            raise
        except errors.ApiError:
            # Of the add-on's own making: what is known stays, and its age tells.
            return

    async def _read_all(self, services: dict[str, Service], opened: str | None) -> None:
        read = {each.run_id: each for each in await addon.placements(self._client, self._project)}
        kept = {
            run_id: each
            for run_id, each in self.known.items()
            if run_id == opened or not services[run_id].has_lanes
        }
        self.known = {**kept, **{key: each for key, each in read.items() if key not in kept}}

    async def _read_next(self, runs: list[str], services: dict[str, Service]) -> None:
        """Reads one service after the other, on a server that can't tell of all at once."""
        if not runs:
            return
        self._turn = [run for run in self._turn if run in runs] or runs
        await self._read_one(services[self._turn.pop(0)])

    async def _read_one(self, service: Service) -> None:
        try:
            read = await addon.placement(self._client, self._project, service.name)
        except errors.NotFoundError:
            self.known = {key: value for key, value in self.known.items() if key != service.id}
            return
        if read.run_id == service.id:  # else another of that name, made meanwhile
            self.known = {**self.known, service.id: read}
