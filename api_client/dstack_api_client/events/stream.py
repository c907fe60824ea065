"""Events of a project or of one thing in it, in order: new ones followed, older ones on request.

An event may show up after newer ones. It is put in its place, by when it was recorded and by its
id, as the server orders them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.clock import utc_now
from dstack_api_client.events.log import OVERLAP
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE

#: Most events that are kept; reading further back ends here.
MOST_EVENTS = 5000
#: Events that are kept while nobody looks further back.
FOLLOWED = 1000
#: Pages of new events in one poll after which the newest page is taken instead.
_MOST_PAGES = 5

#: The server's filters: each a name, such as `within_runs`, and ids.
Filters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """Something that an event is about."""

    type: str
    """run, job, fleet, instance, project, user, gateway, volume, secret, ..."""
    id: str
    """Of a job, the id of its submission."""
    name: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    id: str
    recorded_at: datetime
    message: str
    actor: str | None
    """The user who did it; None for the server itself."""
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Events:
    """The events that are known after a poll.

    Attributes:
        events: The newest first.
        more: Whether older ones can be had.
        read_at: When the server was last asked with success; None if never.
        failure: Why it can't be asked now.
    """

    events: tuple[Event, ...] = ()
    more: bool = True
    read_at: datetime | None = None
    failure: Failure | None = None


class EventStream:
    """Follows the events that pass some filters. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        filters: Which events; None for those of the whole project.
        seed: Events that are known already.
        now: The clock.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        filters: Filters | None,
        *,
        seed: Iterable[wire.Event] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._project = project
        self._filters = filters
        self._attempts = Attempts(now)
        self._ordered: tuple[Event, ...] = ()
        self._ids: set[str] = set()
        self._more = True
        self._wants_older = False
        self._take(seed)

    @property
    def state(self) -> Events:
        """What is known now."""
        return Events(
            self._ordered,
            self._more and len(self._ordered) < MOST_EVENTS,
            self._attempts.read_at,
            self._attempts.failure,
        )

    def want_older(self) -> bool:
        """Has the next poll read a page of older events too.

        Returns:
            Whether there is any to be had.
        """
        self._wants_older = self.state.more
        return self._wants_older

    def forget_older(self) -> None:
        """Forgets all but the newest, since nobody looks at the others; they can be had again."""
        if len(self._ordered) > FOLLOWED:
            self._ordered = self._ordered[:FOLLOWED]
            self._ids = {event.id for event in self._ordered}
            self._more = True

    async def poll(self, *, full: bool = False) -> AsyncIterator[Events]:
        """Reads what is new, and what was asked for.

        Args:
            full: Whether the newest ones are read as at first.

        Yields:
            What is known then; a failure is said in it.
        """
        if await self._attempts.of(self._read(full=full)):
            self._wants_older = False
        yield self.state

    async def _read(self, *, full: bool) -> bool:
        if self._filters is None:
            self._filters = {"within_projects": [await self._project_id()]}
        read_at = self._attempts.read_at
        if full or read_at is None or not self._ordered:
            await self._read_newest()
        else:
            await self._read_new(read_at)
        if self._wants_older and self._ordered:
            await self._read_older()
        return True

    async def _project_id(self) -> str:
        return (await self._client.projects.get(self._project)).project_id

    async def _read_newest(self) -> None:
        page = await self._client.events.newest(self._filters or {})
        if len(page) < PAGE:
            self._more = False
        elif not any(event.id in self._ids for event in page):
            # There are others between these and what is known, which is too old then.
            self._ordered, self._ids, self._more = (), set(), True
        self._take(page)

    async def _read_new(self, read_at: datetime) -> None:
        server_time = read_at + timedelta(seconds=self._client.clock_offset or 0.0)
        since = min(self._ordered[0].recorded_at, server_time - OVERLAP)
        pages = 0
        async for page in self._client.events.since(since, self._filters or {}):
            pages += 1
            if pages > _MOST_PAGES:
                await self._read_newest()
                return
            self._take(page)

    async def _read_older(self) -> None:
        oldest = self._ordered[-1]
        page = await self._client.events.newest(
            self._filters or {}, before=(oldest.recorded_at, oldest.id)
        )
        self._more = len(page) >= PAGE
        self._take(page)

    def _take(self, events: Iterable[wire.Event]) -> None:
        fresh = [event_of(event) for event in events if event.id not in self._ids]
        if not fresh:
            return
        # As the server pages: by time downwards, and by id upwards within one moment.
        ordered = sorted((*self._ordered, *fresh), key=lambda event: event.id)
        ordered.sort(key=lambda event: event.recorded_at, reverse=True)
        self._ordered = tuple(ordered[:MOST_EVENTS])
        self._ids = {event.id for event in self._ordered}


def event_of(event: wire.Event) -> Event:
    """Makes an event of the server's answer."""
    return Event(
        event.id,
        event.recorded_at,
        one_line(event.message),
        one_line(event.actor_user) if event.actor_user else None,
        tuple(
            Target(target.type, target.id, one_line(target.name)) for target in event.targets or ()
        ),
    )
