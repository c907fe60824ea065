"""Looks at the routers of services, each as often as it is worth, beside the polls of the feed.

A router that hangs holds up nothing but itself: looks are tasks of their own, and what they bring
is judged when a snapshot is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from types import TracebackType

from dstack_api_client import errors
from dstack_api_client.attempts import unexpected
from dstack_api_client.clock import ServerClock, utc_now
from dstack_api_client.model.capabilities import ROUTER
from dstack_api_client.model.engines import Engine
from dstack_api_client.model.replica import FINISHED, Replica
from dstack_api_client.model.roles import roles_of
from dstack_api_client.model.router import RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.routers import pacing
from dstack_api_client.routers.expected import engines_of, router_of, workers_of
from dstack_api_client.routers.observation import Look, Outcome
from dstack_api_client.routers.sources import SshSource, look_through_server
from dstack_api_client.routers.sync import Case, Judged, Memory, judge
from dstack_api_client.sentences import RUNS, told
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.events import FILTER_ITEMS
from dstack_api_client.versions import version_of
from dstack_api_client.waking import woken

#: Looks at once, so that the feed's own requests have room.
_AT_ONCE = 2
#: Ways over SSH that stay open besides the opened service's.
_MOST_WAYS = 4
#: A look counts for so many times as long as it takes until the next.
_POLLS = 3
#: Seconds after which a router that gave no sign at its first look is not waited for any more.
_FIRST_LOOK = 20.0
#: Since this version the server leaves entries that it does not know.
_LEAVES_FOREIGN = (0, 22, 4)
_NEVER = float("inf")
#: What a judgement goes by before the replicas of the service.
_BESIDES = 5


class OverSsh(str, Enum):
    """Which routers are looked at over SSH, on a server without the add-on."""

    NONE = "none"
    OPENED = "opened"
    """That of the service that is open, and those that were open not long ago."""
    ALL = "all"


@dataclass
class _Watched:
    """What is known of one router."""

    met: float
    """When it was seen first, by the clock for durations."""
    look: Look | None = None
    paced: float = pacing.OTHERS
    """Seconds between looks when that look was had: it counts for some times that."""
    blind: str = ""
    due: float = 0.0
    failures: int = 0
    memory: Memory = field(default_factory=Memory)
    judged: Judged | None = None
    by: tuple[object, ...] = ()
    """What the judgement went by, to see whether any of it is another object now."""
    engines: tuple[bytes, dict[str, Engine]] | None = None
    runs: bool = False
    """Whether its replica runs: only then is there anything to ask."""


class RouterWatch:
    """Looks at the routers of a project's services.

    `async with RouterWatch(client, project) as routers:` looks in the background until it ends.
    A `Feed` that is given it fills `Snapshot.routers`.

    Args:
        client: The client to read with.
        project: The project's name.
        over_ssh: Which routers are looked at over SSH where the server can't.
        ssh: How to look over SSH.
        now: The clock.
        monotonic: A clock for durations.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        *,
        over_ssh: OverSsh = OverSsh.OPENED,
        ssh: SshSource | None = None,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # Looks are not part of what a poll costs.
        self._client = client.beside()
        self._clock = ServerClock(now, lambda: client.clock_offset)
        self._project = project
        self._over_ssh = over_ssh
        self._ssh = ssh or SshSource(self._client, now=self._clock.now, monotonic=monotonic)
        self._monotonic = monotonic
        self._opened: str | None = None
        self._snapshot: Snapshot | None = None
        self._watched: dict[str, _Watched] = {}
        self._views: dict[str, RouterView] = {}
        self._running_since: Mapping[str, datetime] = {}
        self._learned: dict[str, datetime] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RouterWatch:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def ssh_pids(self) -> list[int]:
        """Ids of the OpenSSH processes."""
        return self._ssh.pids

    async def close(self) -> None:
        """Stops looking, and ends every way that is open."""
        tasks = [*self._looking.values(), *([self._task] if self._task is not None else [])]
        self._task = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._ssh.close()

    def focus(self, opened: str | None) -> None:
        """Tells which service is open: its router is looked at first and often."""
        if opened == self._opened:
            return
        self._opened = opened
        if opened in self._watched:
            self._watched[opened].due = 0.0
        self._wake.set()

    def see(
        self, snapshot: Snapshot, running_since: Mapping[str, datetime]
    ) -> Mapping[str, RouterView]:
        """Judges all routers by a new snapshot.

        Args:
            snapshot: The services and replicas as they are now.
            running_since: When submissions of jobs began to run, as far as known.

        Returns:
            By run id, the view of each service with a router; the same mapping as before when all
            views are the same.
        """
        before = self._snapshot
        first = before is None
        stay = before is not None and before.replicas is snapshot.replicas
        self._snapshot, self._running_since = snapshot, running_since
        services = {
            service.id: service
            for service in snapshot.services.values()
            if service.router is not None and service.status not in FINISHED
        }
        if self._watched.keys() - services.keys():
            self._watched = {k: v for k, v in self._watched.items() if k in services}
        views = {}
        for run_id, service in services.items():
            if run_id not in self._watched:
                self._watched[run_id] = _Watched(self._monotonic())
                first = True
            views[run_id] = self._view(snapshot, service, self._watched[run_id], stay=stay)
        if views.keys() != self._views.keys() or any(
            self._views[key] is not view for key, view in views.items()
        ):
            self._views = views
        if first:
            self._wake.set()
        return self._views

    async def look(self, run_id: str) -> None:
        """Looks at one router once, wherever it can be looked from."""
        snapshot, watched = self._snapshot, self._watched.get(run_id)
        service = snapshot.services.get(run_id) if snapshot is not None else None
        if snapshot is None or service is None or watched is None:
            return
        router = router_of(snapshot, service)
        if not _can_be_asked(service, router) or router is None:
            return
        by_server = snapshot.capabilities.can(ROUTER)
        try:
            if by_server:
                look = await look_through_server(self._client, self._project, service)
            else:
                look = await self._ssh.look(service, router)
        except errors.ApiError as error:
            watched.blind = f"{error.message} {error.hint}"
            watched.failures += 1
        except OSError as error:
            watched.blind = (
                f"OpenSSH could not be started: {one_line(error.strerror or str(error))}. See that"
                " it is installed and that this user's runtime folder has room."
            )
            watched.failures += 1
        except Exception as error:
            watched.blind = _said(error)
            watched.failures += 1
        else:
            if look.outcome is Outcome.UNKNOWN:
                watched.blind, watched.failures = look.message, watched.failures + 1
                # What was seen before counts for its time; the source is known all the same.
                watched.look = watched.look or look
            else:
                watched.look, watched.blind = look, ""
                watched.failures = watched.failures + 1 if look.outcome is Outcome.DOWN else 0
                await self._learn(snapshot, service, look)
        pace = partial(
            pacing.interval,
            opened=run_id == self._opened,
            routers=len(self._watched),
            look=watched.look,
        )
        interval = pace(failures=0 if by_server else watched.failures)
        # Looks that bring nothing become rarer; what was seen before does not count longer by it.
        watched.paced = min(watched.paced, pace(failures=0)) if watched.blind else interval
        watched.due = self._monotonic() + interval
        watched.by = ()

    # When

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            await woken(self._wake, self._start_what_is_due())

    def _start_what_is_due(self) -> float | None:
        """Starts looks; returns the seconds until the next is due."""
        now = self._monotonic()
        turn = sorted(
            (run_id for run_id in self._watched if run_id not in self._looking),
            key=lambda run_id: (run_id != self._opened, self._watched[run_id].due),
        )
        soonest = _NEVER
        for run_id in turn:
            due = self._due(run_id)
            # The opened one does not wait for others.
            room = len(self._looking) < _AT_ONCE or run_id == self._opened
            if due > now:
                soonest = min(soonest, due)
            elif room:
                task = asyncio.create_task(self._look(run_id))
                self._looking[run_id] = task
                task.add_done_callback(partial(self._looked, run_id))
        return None if soonest == _NEVER else soonest - now

    def _looked(self, run_id: str, task: asyncio.Task[None]) -> None:
        del self._looking[run_id]
        error = None if task.cancelled() else task.exception()
        if error is not None and run_id in self._watched:
            # A defect of this client: to be seen, and no reason to look again and again.
            watched = self._watched[run_id]
            watched.blind = _said(error)
            watched.due = self._monotonic() + pacing.LONGEST
            watched.by = ()
        self._wake.set()

    async def _look(self, run_id: str) -> None:
        await self.look(run_id)
        ways = [way for way in self._ssh.ways if way != self._opened]
        await asyncio.gather(*(self._ssh.close(way) for way in ways[: -_MOST_WAYS or None]))

    def _due(self, run_id: str) -> float:
        watched = self._watched[run_id]
        return watched.due if self._may_look(run_id) else _NEVER

    def _may_look(self, run_id: str) -> bool:
        snapshot = self._snapshot
        service = snapshot.services.get(run_id) if snapshot is not None else None
        if snapshot is None or service is None:
            return False
        if not _can_be_asked(service, router_of(snapshot, service)):
            return False
        return snapshot.capabilities.can(ROUTER) or self._may_use_ssh(run_id)

    def _may_use_ssh(self, run_id: str) -> bool:
        if self._over_ssh is OverSsh.OPENED:
            return run_id == self._opened or run_id in self._ssh.ways
        return self._over_ssh is OverSsh.ALL

    # What

    def _view(
        self, snapshot: Snapshot, service: Service, watched: _Watched, *, stay: bool
    ) -> RouterView:
        """Judges one router; `stay` says that no replica changed since `see` was called last."""
        replicas = watched.by[_BESIDES:]
        if not stay or not replicas or watched.by[1] is not service:
            replicas = tuple(snapshot.replicas_of(service))
        blind = watched.blind or self._why_blind(snapshot, service)
        awaited = self._is_awaited(service.id, watched)
        by = (watched.look, service, blind, watched.paced, awaited, *replicas)
        judged, now = watched.judged, self._clock.now()
        if (
            judged is not None
            and len(by) == len(watched.by)
            and all(old is new for old, new in zip(watched.by, by, strict=True))
            and (judged.until is None or now < judged.until)
        ):
            return judged.view
        case = replace(self._case(snapshot, service, watched, blind), awaited=awaited)
        runs = case.router is not None and case.router.status == "running"
        if runs and not watched.runs:
            # While it could not be asked nothing was due that would wake the looks up.
            self._wake.set()
        watched.runs = runs
        made = judge(case, watched.memory, now)
        if judged is not None and judged.view == made.view and _as_old(judged.view, made.view):
            made = Judged(judged.view, made.memory, made.until)
        watched.judged, watched.memory, watched.by = made, made.memory, by
        return made.view

    def _is_awaited(self, run_id: str, watched: _Watched) -> bool:
        """Whether the first look may still bring something."""
        return (
            watched.look is None
            and not watched.blind
            and self._may_look(run_id)
            and self._monotonic() - watched.met < _FIRST_LOOK
        )

    def _case(self, snapshot: Snapshot, service: Service, watched: _Watched, blind: str) -> Case:
        if watched.engines is None or watched.engines[0] != service.spec_digest:
            watched.engines = (service.spec_digest, engines_of(service.spec))
        version = version_of(snapshot.capabilities.server_version)
        return Case(
            run_id=service.id,
            kind=service.router or "",
            router=router_of(snapshot, service),
            workers=workers_of(
                snapshot, service, watched.engines[1], {**self._learned, **self._running_since}
            ),
            look=watched.look,
            good_for=timedelta(seconds=_POLLS * watched.paced),
            blind=blind,
            deletes_foreign=version is not None and version < _LEAVES_FOREIGN,
            roles=roles_of(service.groups),
        )

    def _why_blind(self, snapshot: Snapshot, service: Service) -> str:
        if snapshot.capabilities.can(ROUTER) or self._may_use_ssh(service.id):
            return ""
        if self._over_ssh is OverSsh.NONE:
            return (
                "The server has no placement add-on that could read the router's list, and reading"
                " it over SSH is switched off."
            )
        return (
            "The server has no placement add-on that could read the router's list. It is read over"
            " SSH while the service is open."
        )

    async def _learn(self, snapshot: Snapshot, service: Service, look: Look) -> None:
        """Asks since when workers run that are not listed, where that is not known."""
        if look.outcome is not Outcome.LISTED:
            return
        known = {entry.job_id for entry in look.workers} | look.told.keys()
        asked = {
            replica.submission_id: replica
            for replica in snapshot.replicas_of(service)
            if replica.status == "running"
            and not replica.is_router
            and replica.submission_id not in known
            and replica.submission_id not in self._running_since
            and replica.submission_id not in self._learned
        }
        jobs = list(asked)[:FILTER_ITEMS]
        if not jobs:
            return
        try:
            events = await self._client.events.newest({"target_jobs": jobs})
        except errors.ApiError:
            return  # asked again with the next look
        there = {replica.submission_id for replica in snapshot.replicas.values()}
        self._learned = {job: at for job, at in self._learned.items() if job in there}
        # What no event tells of any more runs for long.
        self._learned |= {job: asked[job].submitted_at for job in jobs}
        for event in reversed(events):
            if told(event.message) == RUNS:
                for target in event.targets or ():
                    if target.id in asked:
                        self._learned[target.id] = event.recorded_at


def _said(error: BaseException) -> str:
    return str(unexpected(error, "Reading the router failed"))


def _can_be_asked(service: Service, router: Replica | None) -> bool:
    return service.router == "smg" and router is not None and router.status == "running"


def _as_old(old: RouterView, new: RouterView) -> bool:
    return (old.observed_at, old.last_sync_at) == (new.observed_at, new.last_sync_at)


async def read_router(
    client: Client,
    project: str,
    snapshot: Snapshot,
    service: Service,
    *,
    over_ssh: OverSsh = OverSsh.OPENED,
    ssh: SshSource | None = None,
    running_since: Mapping[str, datetime] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> RouterView | None:
    """Looks at the router of one service once.

    Args:
        client: The client to read with.
        project: The project's name.
        snapshot: The project, with what its server can do.
        service: The service.
        over_ssh: Whether SSH is used where the server can't look.
        ssh: How to look over SSH.
        running_since: When submissions of jobs began to run, as far as known.
        now: The clock.

    Returns:
        What was seen, or why nothing was; None for a service without a router, or one that ended.
    """
    watch = RouterWatch(client, project, over_ssh=over_ssh, ssh=ssh, now=now)
    try:
        watch.focus(service.id)
        watch.see(snapshot, running_since or {})
        if watch._may_look(service.id):
            await watch.look(service.id)
        return watch.see(snapshot, running_since or {}).get(service.id)
    finally:
        await watch.close()
