"""Reads what a server keeps of the last 30 minutes, for one service or one fleet that is looked at.

Few requests at each poll, and each job's past once: what it costs the server does not grow with
the service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dstack_api_client import errors
from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.clock import utc_now
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.replica.metrics import Use, metrics_of, use_of
from dstack_api_client.replica.metrics_watch import Turns
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE
from dstack_api_client.trends.trend import STEP, STEPS

#: Jobs of which metrics are read at all, and at each poll.
MOST_JOBS, _AT_ONCE = 16, 4
#: Values of 30 minutes, one every ten seconds; and of what passed since the last read.
PAST_VALUES, _NEW_VALUES = STEP * STEPS // 10, 12
#: Seconds after which the metrics of a job are read again.
_AGAIN = 60.0
#: Pages of events that are read at most.
_PAGES = 4


@dataclass(frozen=True)
class PastRead:
    """What a poll brought.

    Attributes:
        events: Events of what is looked at, without a gap; empty where none are new.
        uses: What replicas make use of; None of one without metrics.
        measured: Replicas whose metrics are read.
        failure: Why something can't be read.
    """

    events: Sequence[wire.Event] = ()
    uses: Mapping[ReplicaKey, Use | None] = field(default_factory=dict)
    measured: int = 0
    failure: Failure | None = None


class PastReads:
    """Reads the past of one thing. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        filters: The server's filter of the events of it, such as `within_runs`.
        replicas: Gives the replicas whose metrics count.
        now: The clock.
        server_now: The server's clock.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        filters: Mapping[str, Sequence[str]],
        replicas: Callable[[], Sequence[Replica]],
        *,
        now: Callable[[], datetime] = utc_now,
        server_now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._project = project
        self._filters = filters
        self._replicas = replicas
        self._now = now
        self._server_now = server_now
        self._turns = Turns()
        self._are_events_read = False
        self._of_events = Attempts(now)
        self._of_metrics = Attempts(now)

    async def poll(self, *, full: bool = False) -> AsyncIterator[PastRead]:
        """Reads the events once, and the metrics of those that were not read for longest.

        Args:
            full: Whether the events are read again.

        Yields:
            What was read after each step; nothing where nothing was due.
        """
        if full or not self._are_events_read:
            events = await self._of_events.of(self._events())
            self._are_events_read = events is not None
            yield self._brought(events=events or ())
        due = self._due()
        if due:
            yield self._brought(uses=await self._metrics(due[:_AT_ONCE]))

    def _brought(
        self,
        events: Sequence[wire.Event] = (),
        uses: Mapping[ReplicaKey, Use | None] | None = None,
    ) -> PastRead:
        failure = self._of_events.failure or self._of_metrics.failure
        return PastRead(events, uses or {}, len(self._turns), failure)

    async def _events(self) -> list[wire.Event]:
        """The events of the last 30 minutes, and one from before where there is one."""
        begin = self._server_now() - timedelta(seconds=STEP * (STEPS + 1))
        found: list[wire.Event] = []
        before: tuple[datetime, str] | None = None
        for _ in range(_PAGES):
            try:
                page = await self._client.events.newest(self._filters, before=before)
            except (errors.NotFoundError, errors.WrongShapeError):
                return []  # it keeps none
            found += page
            if len(page) < PAGE or page[-1].recorded_at < begin:
                break
            before = (page[-1].recorded_at, page[-1].id)
        return found

    async def _metrics(self, due: Sequence[Replica]) -> dict[ReplicaKey, Use | None]:
        uses: dict[ReplicaKey, Use | None] = {}
        for replica in due:
            answer = await self._of_metrics.of(
                metrics_of(
                    self._client,
                    self._project,
                    replica.run_name,
                    replica.key,
                    limit=_NEW_VALUES if replica in self._turns else PAST_VALUES,
                )
            )
            if answer is None:
                break
            self._turns.read(replica, self._now())
            uses[replica.key] = use_of(answer)
        return uses

    def _due(self) -> list[Replica]:
        """Those that are to be read, the longest unread first."""
        measured = [
            each for each in self._replicas() if each.status == "running" and each.gpus is not None
        ][:MOST_JOBS]
        return self._turns.due(measured, self._now(), again=_AGAIN)
