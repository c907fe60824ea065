"""A client that answers from a recording: the events; all else was not recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dstack_api_client.clock import utc_now
from dstack_api_client.errors import NotRecordedError, ReadOnlyError
from dstack_api_client.recordings.replay import Replay
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.events import Events
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.requests import PAGE, Requests
from dstack_api_client.transport.server import Projects
from dstack_api_client.transport.transport import Transport

#: Why nothing can be changed.
REFUSED = "This is a replay: nothing can be changed."


def replay_client(replay: Replay) -> Client:
    """A client for what is read beside the feed."""
    client = Client.over(_Nowhere(replay))
    requests = Requests(client.transport, client.unreadable)
    client.projects = _RecordedProjects(requests)
    client.events = _RecordedEvents(requests, replay)
    return client


class _Nowhere(Transport):
    """Stands where requests would be sent."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay.recording.head.url, "", read_only=True, verify=False)
        self._replay = replay

    async def read(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        *,
        params: Mapping[str, Any] | None = None,
    ) -> bytes:
        self.clock_offset = (self._replay.server_now() - utc_now()).total_seconds()
        raise NotRecordedError(f"The recording does not hold {what}.", "")

    def refuse_read_only(self) -> None:
        raise ReadOnlyError(REFUSED, "")


class _RecordedProjects(Projects):
    """The project."""

    async def get(self, name: str) -> wire.Project:
        return wire.Project(name, name)


class _RecordedEvents(Events):
    """The events, as the server gives them."""

    def __init__(self, requests: Requests, replay: Replay) -> None:
        super().__init__(requests)
        self._replay = replay

    async def since(
        self, since: datetime, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[Records[wire.Event]]:
        found = [each for each in self._found(filters) if each.recorded_at > since]
        for start in range(0, len(found) + 1, PAGE):
            yield _records(found[start : start + PAGE])

    async def newest(
        self,
        filters: Mapping[str, Sequence[str]],
        *,
        limit: int = PAGE,
        before: tuple[datetime, str] | None = None,
    ) -> Records[wire.Event]:
        # Of one moment by id upwards.
        found = sorted(self._found(filters), key=lambda each: each.recorded_at, reverse=True)
        older = [
            each
            for each in found
            if before is None
            or each.recorded_at < before[0]
            or (each.recorded_at == before[0] and each.id > before[1])
        ]
        return _records(older[:limit])

    def _found(self, filters: Mapping[str, Sequence[str]]) -> list[wire.Event]:
        """The events that pass filters, the oldest first."""
        return [
            event
            for event in self._replay.events
            if all(
                any(self._is_about(target, name, ids) for target in event.targets or ())
                for name, ids in filters.items()
                if name != "within_projects"
            )
        ]

    def _is_about(self, target: wire.EventTarget, name: str, ids: Iterable[str]) -> bool:
        """Whether something passes a filter, such as `within_runs`."""
        how, _, kind = name.partition("_")
        if target.type == kind.removesuffix("s"):
            return target.id in ids
        if how == "target":
            return False
        # Jobs and instances have names that begin with those of their runs and fleets.
        answers = self._replay.answers
        if target.type == "job" and kind == "runs":
            runs = (answers.runs[key].read_spec.run_name for key in ids if key in answers.runs)
            return target.name.rsplit("-", 2)[0] in runs
        if target.type == "instance" and kind == "fleets":
            fleets = (answers.fleets[key].name for key in ids if key in answers.fleets)
            return target.name.rpartition("-")[0] in fleets
        return False


def _records(events: Sequence[wire.Event]) -> Records[wire.Event]:
    records: Records[wire.Event] = Records()
    records += events
    return records
