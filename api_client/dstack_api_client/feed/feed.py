"""A project as it changes: read once in full, then only what changed or is looked at.

After the first full read a poll asks for the events since the last one and reads only what they
name. What emits no event (probes above all) is read as long as it is on screen, within an
allowance, and everything is read again in the background, a page at a time.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Generator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dstack_api_client import errors
from dstack_api_client.attempts import unexpected
from dstack_api_client.clock import ServerClock, utc_now
from dstack_api_client.events.log import Named
from dstack_api_client.feed.budget import Pace
from dstack_api_client.feed.cordons import KnownCordons
from dstack_api_client.feed.full_read import IN_BACKGROUND, WAITED_FOR, PageCost, Pass, Sizes
from dstack_api_client.feed.placements import Placements
from dstack_api_client.feed.reread import Focus, Rereading
from dstack_api_client.feed.update import ConnectionState, Health, Update
from dstack_api_client.join.difference import Difference, diff
from dstack_api_client.join.join import Answers, Joined, steps
from dstack_api_client.join.store import Known
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.slices import at_once, in_slices
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE
from dstack_api_client.versions import version_of

if TYPE_CHECKING:
    from dstack_api_client.routers.watch import RouterWatch

#: The oldest server this client is tested with.
OLDEST_SERVER = (0, 20)
_UNUSABLE = "The server's answers could not be used"
#: Pages of events after which reading everything is cheaper than following them.
_MOST_EVENT_PAGES = 5
#: Seconds between two updates while everything is read.
_SHOWN_EVERY = 0.5


class Feed:
    """Follows one project of one server. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        routers: Where the routers of services are looked at; none are without it.
        now: The clock.
        monotonic: A clock for durations.

    Attributes:
        project: The project's name.
        snapshot: The latest; None until something was read.
        answers: What it was joined from.
        health: The state of the connection.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        *,
        routers: RouterWatch | None = None,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.answers = Answers({}, {}, {})
        self.health = Health(ConnectionState.CONNECTING, now())
        self._client = client
        self.project = project
        self._now = now
        self._clock = ServerClock(now, lambda: client.clock_offset)
        self._monotonic = monotonic
        self._server: ServerInfo | None = None
        self._capabilities = UNKNOWN
        self._placements = Placements(client, project, monotonic=monotonic)
        self._cordons = KnownCordons(client, project, monotonic=monotonic)
        self._routers = routers
        self._project_id = ""
        self._met = False
        self._complete = False
        self._behind = False
        self._has_events = True
        self._named = Named()
        self._known = Known(project)
        self._rereading = Rereading(client, project, self._known, monotonic=monotonic)
        self._joined: Joined | None = None
        self._sizes = Sizes()
        self._pace = Pace()
        self._pass: Pass | None = None
        self._focus = Focus()

    @property
    def events(self) -> list[wire.Event]:
        """The newest events that were read, the oldest first."""
        return self._known.events.events

    @property
    def running_since(self) -> Mapping[str, datetime]:
        """When submissions of jobs began to run, as far as events told."""
        return self._known.events.running_since

    def focus(
        self,
        *,
        services: Collection[str] = (),
        fleets: Collection[str] = (),
        opened_service: str | None = None,
        opened_fleet: str | None = None,
    ) -> None:
        """Tells what is on screen, so that it is read without waiting for an event.

        Args:
            services: Ids of the services that are listed; they are read in turns.
            fleets: Ids of the fleets that are listed; they are read in turns.
            opened_service: Id of the service whose replicas are shown; it is read first.
            opened_fleet: Id of the fleet whose instances are shown; it is read first.
        """
        self._focus = Focus(tuple(services), tuple(fleets), opened_service, opened_fleet)
        if self._routers is not None:
            self._routers.focus(opened_service)

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        """Polls once.

        Args:
            full: Whether everything is read again.

        Yields:
            Updates, at least one and while everything is read two a second; a failure is an
            update with that `Health` and the snapshot from before.
        """
        try:
            async for _ in self._read(full=full):
                await self._build_in_slices()
                yield self._succeeded()
        except errors.ApiError as error:
            yield self._failed(error)
        except Exception as error:
            # A fault of this client; the next poll may see other answers.
            yield self._failed(unexpected(error, _UNUSABLE))

    async def read_service(self, name: str, *, with_events: bool = False) -> Snapshot | None:
        """Reads one service with its fleets and its placement, and nothing else of the project.

        Args:
            name: Its name.
            with_events: Whether the newest events are read too, as with the whole project.

        Returns:
            The snapshot; None where no service of that name, or not all of it, can be read so.

        Raises:
            ApiError: The server could not be read.
        """
        try:
            await self._meet()
            if with_events:
                await self._read_newest_events()
            run_id = await self._rereading.service(name)
            if run_id is None:
                return None
            await self._rereading.unknown(self._build().snapshot, Focus())
            if not await self._rereading.located(run_id, self._build().snapshot):
                return None
            joined = self._build()
            await self._placements.read(
                joined.snapshot, self._capabilities, run_id, only_opened=True
            )
        except errors.ApiError:
            raise
        except Exception as error:
            raise unexpected(error, _UNUSABLE) from error
        return self._whole(joined.snapshot)

    # Reading

    async def _read(self, *, full: bool) -> AsyncIterator[None]:
        """Reads, and yields whenever there is something to show."""
        if not self._met:
            await self._meet()
        if not self._complete:
            await self._read_newest_events()
        else:
            await self._read_new_events()
            if not full and not self._behind and await self._read_named():
                await self._rereading.focused(self._focus)
                await self._ask_for_links()
                await self._read_placements()
                yield
                if await self._read_in_background() and self._known.answers() is not self.answers:
                    yield  # only where it brought something: to show the same again is dear
                return
        async for _ in self._read_everything():
            yield

    async def _read_named(self) -> bool:
        """Reads what events named; False when it is so much that everything is to be read."""
        done = await self._rereading.named(self._named, self.snapshot)
        if done:
            self._named = Named()
        return done

    async def _meet(self) -> None:
        """Finds out which server it is, what it can do, and whether the project is there."""
        self._server = await self._client.server.info()
        version = version_of(self._server.version)
        if version is not None and version < OLDEST_SERVER:
            raise errors.VersionUnsupportedError(
                f"The server at {self._client.url} is dstack {self._server.version},"
                " which is too old.",
                "Update the server to 0.20 or newer.",
            )
        project = await self._client.projects.get(self.project)
        if project.project_id != self._project_id:  # another of the same name, made meanwhile
            self._project_id = project.project_id
            self._known = Known(self.project)
            self._rereading = Rereading(
                self._client, self.project, self._known, monotonic=self._monotonic
            )
            self._complete = False
        self._known.put_project(project)
        await self._ask_what_it_can()
        self._met = True

    async def _ask_what_it_can(self) -> None:
        if self._server is None:
            raise AssertionError("the server is known before what it can do")
        self._capabilities = await self._client.placements.capabilities(
            self._server, known=self._capabilities
        )

    async def _read_placements(self) -> None:
        if self._capabilities.unread and self._met:
            await self._ask_what_it_can()
        joined = self._joined or self._build()
        await self._placements.read(joined.snapshot, self._capabilities, self._focus.opened_service)
        opened = self._focus.opened_fleet is not None
        await self._cordons.read(self._capabilities, opened=opened)

    async def _read_everything(self) -> AsyncIterator[None]:
        everything = self._new_pass(WAITED_FOR)
        self._behind = True
        done, next_shown = False, self._monotonic()
        while not done:
            done = await everything.step()
            if done:
                self._complete = True
                self._behind = False
                self._named = Named()
                await self._ask_for_links()
                await self._read_placements()
            # The first page with anything on it is shown at once; of those after it, each would
            # have all that is known joined and painted again.
            if done or (everything.steps > 1 and self._monotonic() >= next_shown):
                next_shown = self._monotonic() + _SHOWN_EVERY
                yield
            else:
                await self._build_in_slices()  # a page at a time
        self._finished(everything)

    async def _read_in_background(self) -> bool:
        """Goes on with reading everything, if it is time."""
        if not self._pace.is_due(self._monotonic()):
            return False
        if self._pass is None:
            self._pass = self._new_pass(IN_BACKGROUND)
        before = self._pass.bytes
        done = await self._pass.step()
        while not done and not self._follows_events:
            done = await self._pass.step()
        if done:
            self._finished(self._pass)
        else:
            self._pace.stepped(self._pass.bytes - before, self._monotonic())
        return True

    def _finished(self, everything: Pass) -> None:
        self._pass = None
        self._pace.finished(
            everything.bytes,
            everything.seconds,
            self._monotonic(),
            spread=self._follows_events,
        )

    async def _ask_for_links(self) -> None:
        if self._has_events:
            await self._rereading.unknown(self._build().snapshot, self._focus)

    def _new_pass(self, page_cost: PageCost) -> Pass:
        return Pass(
            self._client,
            self.project,
            self._known,
            self._sizes,
            page_cost=page_cost,
            monotonic=self._monotonic,
        )

    @property
    def _follows_events(self) -> bool:
        """Whether events can be trusted to tell of changes: some servers keep none."""
        return self._has_events and not self._known.events.empty

    async def _read_newest_events(self) -> None:
        """Learns where events stand before anything else is read."""
        try:
            page = await self._client.events.newest({"within_projects": [self._project_id]})
        except (errors.NotFoundError, errors.WrongShapeError):
            self._has_events = False
        else:
            self._known.events.restart(page, all_of_them=len(page) < PAGE)

    async def _read_new_events(self) -> None:
        """Collects what happened since the last poll, or finds that it was too much to follow."""
        if not self._has_events:
            return
        server_time = self._now() + timedelta(seconds=self._client.clock_offset or 0.0)
        pages = 0
        async for page in self._client.events.since(
            self._known.events.since(server_time), {"within_projects": [self._project_id]}
        ):
            self._named.add(self._known.events.take(page))
            pages += 1
            if pages >= _MOST_EVENT_PAGES:
                self._behind = True
                await self._read_newest_events()
                break
        self._known.events.read_until(server_time)

    # Telling

    def _build(self) -> Joined:
        self._joined = at_once(self._steps())
        return self._joined

    async def _build_in_slices(self) -> None:
        """Joins what there is to join: what follows finds it joined."""
        self._joined = await in_slices(self._steps())

    def _steps(self) -> Generator[None, None, Joined]:
        if self._server is None:
            raise AssertionError("nothing is built before the server is known")
        return steps(
            self._known.answers(),
            server=self._server,
            project=self.project,
            observed_at=self._clock.now(),
            complete=self._complete,
            previous=self._joined,
        )

    def _succeeded(self) -> Update:
        before, now = self.snapshot, self._now()
        joined = self._build()
        self.snapshot, self.answers = self._whole(joined.snapshot), joined.answers
        since = self.health.since if self.health.state is ConnectionState.LIVE else now
        self.health = Health(ConnectionState.LIVE, since, last_success=now)
        return Update(self.snapshot, diff(before, self.snapshot), self.health)

    def _whole(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what is read beside the answers it was joined from."""
        snapshot = replace(
            snapshot,
            capabilities=self._capabilities,
            placements=self._placements.known,
            traffic=self._placements.traffic,
            cordons=self._cordons.known,
            placement_failure=self._capabilities.unread
            or self._placements.failure
            or self._cordons.failure,
            unreadable=self._client.unreadable.messages,
            clock_ahead=self._clock.ahead,
            backends=self._known.backends,
            guests=self._known.events.guests.by_instance,
        )
        if self._routers is None:
            return snapshot
        return replace(
            snapshot, routers=self._routers.see(snapshot, self._known.events.running_since)
        )

    def _failed(self, error: errors.ApiError) -> Update:
        self._met = False
        self._pass = None
        state = self._state_for(error)
        since = self.health.since if self.health.state is state else self._now()
        self.health = Health(state, since, error.message, error.hint, self.health.last_success)
        return Update(self.snapshot, Difference(), self.health)

    def _state_for(self, error: errors.ApiError) -> ConnectionState:
        if isinstance(error, errors.UnauthorisedError):
            return ConnectionState.UNAUTHORISED
        if isinstance(error, errors.NoProjectError):
            return ConnectionState.NO_PROJECT
        if isinstance(error, errors.VersionUnsupportedError):
            return ConnectionState.UNSUPPORTED
        return ConnectionState.CONNECTING if self.snapshot is None else ConnectionState.STALE
