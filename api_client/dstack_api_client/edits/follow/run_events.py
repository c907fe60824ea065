"""What the events of one run tell while a change of it is followed."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_api_client import errors
from dstack_api_client.events.log import Awaits, EventLog
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE


class RunEvents:
    """The events of a run, read as far as they are new.

    Args:
        client: The client to read with.
        project: The run's project.
        run_id: The run.
    """

    def __init__(self, client: Client, project: str, run_id: str) -> None:
        self._client = client
        self._filters = {"within_runs": [run_id]}
        self._log = EventLog(project)
        self._known = False
        self._kept = True

    async def awaits(self) -> Mapping[str, Awaits]:
        """Reads what is new, and tells what submissions wait for before requests reach them."""
        if not self._kept:
            return {}
        server_time = self._client.server_now()
        if self._known:
            async for page in self._client.events.since(
                self._log.since(server_time), self._filters
            ):
                self._log.take(page)
        else:
            try:
                newest = await self._client.events.newest(self._filters)
            except (errors.NotFoundError, errors.WrongShapeError):
                self._kept = False
                return {}
            self._log.restart(newest, all_of_them=len(newest) < PAGE)
            self._known = True
        self._log.read_until(server_time)
        return self._log.awaits
