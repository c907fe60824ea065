"""A project as it changes: read once in full, then only what changed or is looked at.

After the first full read a poll asks for the events since the last one and reads only what they
name. What emits no event (probes above all) is read as long as it is on screen, within an
allowance, and everything is read again in the background, a page at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum

from dstack_api_client import errors, wire
from dstack_api_client.client import FILTER_ITEMS, Client, Meter
from dstack_api_client.difference import Difference, diff
from dstack_api_client.event_log import Named
from dstack_api_client.joining import Joined, build
from dstack_api_client.known import Known
from dstack_api_client.pacing import Allowance, Pace
from dstack_api_client.passes import Pass, Sizes
from dstack_api_client.snapshot import FINISHED, Link, ServerInfo, Snapshot

#: The oldest server this client is tested with.
OLDEST_SERVER = (0, 20)
#: Pages of events after which reading everything is cheaper than following them.
_MOST_EVENT_PAGES = 5
#: Runs named by events after which reading everything is cheaper.
_MOST_NAMED_RUNS = 30
#: Instances of one fleet named by events after which the whole fleet is read.
_MOST_NAMED_INSTANCES = 20
#: Questions for the instances of jobs in one poll.
_MOST_LINK_QUESTIONS = 4
#: Idle instances up to which it is asked, unopened, since when they are.
_FEW_IDLE = 48


class ConnectionState(str, Enum):
    """How things stand with the server."""

    CONNECTING = "connecting"
    """Nothing was read yet."""
    LIVE = "live"
    """The last poll succeeded."""
    STALE = "stale"
    """The last poll failed; what is shown is what was known before."""
    UNAUTHORISED = "unauthorised"
    """The server does not accept the token."""
    NO_PROJECT = "no project"
    """The project is not there, or its user may not see it."""
    UNSUPPORTED = "unsupported"
    """The server is too old."""


@dataclass(frozen=True)
class Health:
    """The state of the connection."""

    state: ConnectionState
    since: datetime
    message: str | None = None
    """What happened, one sentence."""
    hint: str | None = None
    """What to do, one sentence."""
    last_success: datetime | None = None


@dataclass(frozen=True)
class Cost:
    """What reading took from the server and the line."""

    requests: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Update:
    """What a poll brought, or one page of it."""

    snapshot: Snapshot | None
    difference: Difference
    """Against the snapshot of the update before."""
    health: Health
    cost: Cost
    """Since the update before."""


@dataclass(frozen=True)
class _Focus:
    services: tuple[str, ...] = ()
    fleets: tuple[str, ...] = ()
    opened_service: str | None = None
    opened_fleet: str | None = None


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)


class Feed:
    """Follows one project of one server. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        now: The clock.
        monotonic: A clock for durations.

    Attributes:
        snapshot: The latest; None until something was read.
        health: The state of the connection.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.health = Health(ConnectionState.CONNECTING, now())
        self._client = client
        self._project = project
        self._now = now
        self._monotonic = monotonic
        self._server: ServerInfo | None = None
        self._project_id = ""
        self._met = False
        self._complete = False
        self._has_events = True
        self._known = Known(project)
        self._joined: Joined | None = None
        self._spent = Meter()
        self._allowance = Allowance()
        self._sizes = Sizes()
        self._pace = Pace()
        self._pass: Pass | None = None
        self._focus = _Focus()
        self._read_at: dict[str, float] = {}
        self._asked: set[str] = set()

    @property
    def events(self) -> list[wire.Event]:
        """The newest events that were read, the oldest first."""
        return self._known.events.events

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
        for opened, before in (
            (opened_service, self._focus.opened_service),
            (opened_fleet, self._focus.opened_fleet),
        ):
            if opened is not None and opened != before:
                self._read_at.pop(opened, None)
        self._focus = _Focus(tuple(services), tuple(fleets), opened_service, opened_fleet)

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        """Polls once.

        Args:
            full: Whether everything is read again.

        Yields:
            Updates, one for each page of a full read and at least one; a failure is an update
            with that `Health` and the snapshot from before.
        """
        try:
            async for _ in self._read(full=full):
                yield self._succeeded()
        except errors.ApiError as error:
            self._met = False
            self._pass = None
            yield self._failed(error)

    # Reading

    async def _read(self, *, full: bool) -> AsyncIterator[None]:
        """Reads, and yields whenever there is something to show."""
        if not self._met:
            await self._meet()
        if not self._complete:
            await self._read_newest_events()
        elif not full:
            named = await self._read_new_events()
            if named is not None:
                await self._read_named(named)
                await self._read_focus()
                await self._ask_for_links()
                yield
                if await self._read_in_background():
                    yield
                return
        async for _ in self._read_everything():
            yield

    async def _meet(self) -> None:
        """Finds out which server it is, and whether the project is there."""
        self._server = await self._client.server_info()
        version = version_of(self._server.version)
        if version is not None and version < OLDEST_SERVER:
            raise errors.VersionUnsupportedError(
                f"The server at {self._client.url} is dstack {self._server.version},"
                " which is too old.",
                "Update the server to 0.20 or newer.",
            )
        self._project_id = (await self._client.project(self._project)).project_id
        self._met = True

    async def _read_everything(self) -> AsyncIterator[None]:
        everything = self._new_pass()
        done = False
        while not done:
            done = await everything.step()
            if done:
                self._complete = True
                await self._ask_for_links()
            if everything.steps > 1:
                yield
        self._pass = None
        self._pace.finished(everything, self._monotonic(), spread=self._follows_events)

    async def _read_in_background(self) -> bool:
        """Goes on with reading everything, if it is time."""
        if not self._pace.is_due(self._monotonic()):
            return False
        if self._pass is None:
            self._pass = self._new_pass()
        done = await self._pass.step()
        while not done and not self._follows_events:
            done = await self._pass.step()
        if done:
            self._pace.finished(self._pass, self._monotonic(), spread=self._follows_events)
            self._pass = None
        else:
            self._pace.stepped(self._monotonic())
        return True

    def _new_pass(self) -> Pass:
        return Pass(
            self._client, self._project, self._known, self._sizes, monotonic=self._monotonic
        )

    @property
    def _follows_events(self) -> bool:
        """Whether events can be trusted to tell of changes: some servers keep none."""
        return self._has_events and not self._known.events.empty

    async def _read_newest_events(self) -> None:
        """Learns where events stand before anything else is read."""
        try:
            self._known.events.take(
                await self._client.newest_events({"within_projects": [self._project_id]})
            )
        except (errors.NotFoundError, errors.WrongShapeError):
            self._has_events = False

    async def _read_new_events(self) -> Named | None:
        """What happened since the last poll; None when it was too much to follow."""
        named = Named()
        if not self._has_events:
            return named
        server_time = self._now() + timedelta(seconds=self._client.clock_offset or 0.0)
        pages = 0
        async for page in self._client.events(
            self._known.events.since(server_time), {"within_projects": [self._project_id]}
        ):
            named.add(self._known.events.take(page))
            pages += 1
            if pages >= _MOST_EVENT_PAGES:
                await self._read_newest_events()
                return None
        return named

    async def _read_named(self, named: Named) -> None:
        """Reads what events named, and nothing else."""
        runs, names = self._runs_of(named)
        if len(runs) + len(names) > _MOST_NAMED_RUNS:
            self._pace.hurry()
            runs, names = set(), set()
        fleets = set(named.fleets)
        by_fleet: dict[str | None, set[str]] = {}
        instances = named.instances | {
            self._known.events.links[job] for job in named.jobs if job in self._known.events.links
        }
        for instance in instances:
            known = self._known.instances.get(instance)
            by_fleet.setdefault(known.fleet_id if known else None, set()).add(instance)
        for fleet_id, members in by_fleet.items():
            if fleet_id is not None and len(members) > _MOST_NAMED_INSTANCES:
                fleets.add(fleet_id)
        single = {
            instance
            for fleet_id, members in by_fleet.items()
            if fleet_id not in fleets
            for instance in members
        }
        await self._charged(
            [
                *(self._read_run(run) for run in sorted(runs)),
                *(self._read_run_named(name) for name in sorted(names)),
                *(self._read_fleet(fleet) for fleet in sorted(fleets)),
                *(self._read_instance(instance) for instance in sorted(single)),
            ]
        )

    def _runs_of(self, named: Named) -> tuple[set[str], set[str]]:
        """Ids of the runs that events are about, and names of those that are not known yet."""
        by_submission = {
            job.job_submissions[-1].id: run.id
            for run in self._known.runs.values()
            for job in run.jobs or ()
            if job.job_submissions
        }
        by_name = {
            run.read_spec.run_name: run.id
            for run in self._known.runs.values()
            if run.status not in FINISHED
        }
        runs, names = set(named.runs), set()
        for submission, job_name in named.jobs.items():
            name = job_name.rsplit("-", 2)[0]
            run_id = by_submission.get(submission) or by_name.get(name)
            if run_id is not None:
                runs.add(run_id)
            else:
                names.add(name)
        known_names = {
            run.read_spec.run_name for run_id, run in self._known.runs.items() if run_id in runs
        }
        return runs, names - known_names

    async def _read_focus(self) -> None:
        """Reads what is on screen, as far as the allowance goes."""
        self._allowance.refill()
        focus = self._focus
        opened = [key for key in (focus.opened_service, focus.opened_fleet) if key is not None]
        listed = [*focus.services, *focus.fleets]
        now = self._monotonic()
        turn = sorted(listed, key=lambda key: self._read_at.get(key, 0.0))
        for key in dict.fromkeys([*opened, *turn]):
            is_new = key in opened and key not in self._read_at
            if self._allowance.is_spent and not is_new:
                break
            if key in self._known.runs:
                await self._charged([self._read_run(key)])
            elif key in self._known.fleets:
                await self._charged([self._read_fleet(key)])
            self._read_at[key] = now

    async def _charged(self, reads: Iterable[Awaitable[None]]) -> None:
        """Makes several reads at once and takes what they cost from the allowance."""
        meter = self._client.meter
        bytes_before, seconds_before = meter.bytes, meter.seconds
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
        self._allowance.spend(meter.bytes - bytes_before, meter.seconds - seconds_before)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _read_run(self, run_id: str) -> None:
        known = self._known.runs.get(run_id)
        try:
            if known is None:
                run = await self._client.run(self._project, run_id=run_id)
            else:
                found = await self._client.run_now(self._project, run_id, known.submitted_at)
                if found is None:
                    self._known.drop_run(run_id)
                    return
                run = found
        except errors.NotFoundError:
            self._known.drop_run(run_id)
            return
        self._known.put_run(run)

    async def _read_run_named(self, name: str) -> None:
        try:
            run = await self._client.run(self._project, name=name)
        except errors.NotFoundError:
            return
        self._known.put_run(run)

    async def _read_fleet(self, fleet_id: str) -> None:
        try:
            fleet = await self._client.fleet(self._project, fleet_id=fleet_id)
        except (errors.NotFoundError, errors.ForbiddenError):
            self._known.drop_fleet(fleet_id)
            return
        self._known.put_fleet(fleet)

    async def _read_instance(self, instance_id: str) -> None:
        is_new = instance_id not in self._known.instances
        try:
            instance = await self._client.instance(self._project, instance_id)
        except (errors.NotFoundError, errors.ForbiddenError):
            self._known.instances.pop(instance_id, None)
            return
        if is_new and instance.fleet_id is not None and instance.status != "terminated":
            await self._read_fleet(instance.fleet_id)  # its nodes may have been changed
        else:
            self._known.put_instance(instance)

    async def _ask_for_links(self) -> None:
        """Asks the events for the instances of jobs and for idle times that are not known yet."""
        if not self._has_events:
            return
        snapshot = self._build().snapshot
        jobs = [
            replica.submission_id
            for replica in snapshot.replicas.values()
            if replica.active
            and replica.status != "submitted"
            and replica.link in (Link.RUN_FLEET, Link.UNKNOWN)
            and replica.submission_id not in self._asked
        ]
        idle = [
            instance
            for instance in snapshot.instances.values()
            if instance.status == "idle" and instance.idle_since is None
        ]
        few = len(idle) <= _FEW_IDLE
        instances = [
            instance.id
            for instance in idle
            if (few or instance.fleet_id == self._focus.opened_fleet)
            and instance.id not in self._asked
        ]
        questions = [("target_jobs", group) for group in _grouped(jobs)]
        questions += [("target_instances", group) for group in _grouped(instances)]
        for filter_name, group in questions[:_MOST_LINK_QUESTIONS]:
            self._asked |= set(group)
            for event in await self._client.newest_events({filter_name: group}):
                self._known.events.learn(event)

    # Telling

    def _build(self) -> Joined:
        if self._server is None:
            raise AssertionError("nothing is built before the server is known")
        self._joined = build(
            self._known.answers(),
            server=self._server,
            project=self._project,
            observed_at=self._now(),
            complete=self._complete,
            previous=self._joined,
        )
        return self._joined

    def _succeeded(self) -> Update:
        before, now = self.snapshot, self._now()
        self.snapshot = self._build().snapshot
        since = self.health.since if self.health.state is ConnectionState.LIVE else now
        self.health = Health(ConnectionState.LIVE, since, last_success=now)
        return Update(self.snapshot, diff(before, self.snapshot), self.health, self._cost())

    def _failed(self, error: errors.ApiError) -> Update:
        state = self._state_for(error)
        since = self.health.since if self.health.state is state else self._now()
        self.health = Health(state, since, error.message, error.hint, self.health.last_success)
        return Update(self.snapshot, Difference(), self.health, self._cost())

    def _state_for(self, error: errors.ApiError) -> ConnectionState:
        if isinstance(error, errors.UnauthorisedError):
            return ConnectionState.UNAUTHORISED
        if isinstance(error, (errors.ForbiddenError, errors.NotFoundError)):
            return ConnectionState.NO_PROJECT
        if isinstance(error, errors.VersionUnsupportedError):
            return ConnectionState.UNSUPPORTED
        return ConnectionState.CONNECTING if self.snapshot is None else ConnectionState.STALE

    def _cost(self) -> Cost:
        meter, spent = self._client.meter, self._spent
        cost = Cost(
            meter.requests - spent.requests,
            meter.bytes - spent.bytes,
            meter.seconds - spent.seconds,
        )
        self._spent = Meter(meter.requests, meter.bytes, meter.seconds)
        return cost


def version_of(text: str | None) -> tuple[int, ...] | None:
    """The leading numbers of a version; None where a server has none, as in development."""
    numbers = []
    for part in (text or "").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers) if any(numbers) else None


def _grouped(items: list[str]) -> list[list[str]]:
    return [items[start : start + FILTER_ITEMS] for start in range(0, len(items), FILTER_ITEMS)]
