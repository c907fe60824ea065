"""The events of a project: where reading stopped, and what they say of runs and instances.

An event may show up after newer ones, so each reading goes back a little and leaves out what it
has seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum

from dstack_api_client.events.guests import Guests
from dstack_api_client.sentences import REACH, RUNS, Subject, told
from dstack_api_client.transport import wire

#: How late an event may show up.
OVERLAP = timedelta(seconds=20)
#: How many events are kept, the newest.
_KEPT = 1000
_EVER = datetime.min.replace(tzinfo=timezone.utc)


class Awaits(Enum):
    """What a replica that runs has still to wait for before requests reach it."""

    HOST = "host"
    """The server can't reach it."""
    SERVER = "server"
    """The server has not noticed that its probes pass."""
    GATEWAY = "gateway"
    """No gateway knows it; where the service is on one, that is where requests come from."""


@dataclass
class Named:
    """What events name, to be read again."""

    fleets: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    """Names of jobs by the id of their submission."""

    def __bool__(self) -> bool:
        return bool(self.fleets or self.instances or self.runs or self.jobs)

    def add(self, other: Named) -> None:
        """Takes what others named too."""
        self.fleets |= other.fleets
        self.instances |= other.instances
        self.runs |= other.runs
        self.jobs |= other.jobs


class EventLog:
    """The newest events of one project.

    Attributes:
        links: Instance by job submission, as events named both.
        idle_since: When an instance became idle.
        running_since: When a submission of a job began to run.
        version: Another number whenever any of these or `awaits` may be another.
        guests: Jobs of other projects on the project's instances.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._events: OrderedDict[str, wire.Event] = OrderedDict()
        self._in_order: list[wire.Event] | None = None
        self._newest: datetime | None = None
        self._read_at: datetime | None = None
        self.links: dict[str, str] = {}
        self.idle_since: dict[str, datetime] = {}
        self.running_since: dict[str, datetime] = {}
        self.guests = Guests(project)
        self._linked_at: dict[str, datetime] = {}
        self._taken_in: set[str] = set()
        self._at_gateway: set[str] = set()
        self._reached: dict[str, tuple[datetime, bool]] = {}
        self._unbroken_since: datetime | None = None
        self.version = 0

    @property
    def awaits(self) -> dict[str, Awaits]:
        """What submissions wait for that began to run, as far as every event since is known.

        One that is not here may be sent requests.
        """
        start = self._unbroken_since
        if start is None:
            return {}
        found = {
            job: Awaits.GATEWAY if job in self._taken_in else Awaits.SERVER
            for job, since in self.running_since.items()
            if since >= start and job not in self._at_gateway
        }
        lost = (job for job, (at, reached) in self._reached.items() if at >= start and not reached)
        return found | dict.fromkeys(lost, Awaits.HOST)

    @property
    def events(self) -> list[wire.Event]:
        """The events that are kept, the oldest first; the same object until one is new."""
        if self._in_order is None:
            self._in_order = sorted(self._events.values(), key=_in_time)
        return self._in_order

    @property
    def empty(self) -> bool:
        """Whether there never was an event."""
        return self._newest is None

    def since(self, server_time: datetime) -> datetime:
        """The moment after which to ask for events.

        Args:
            server_time: The server's clock now.
        """
        # While reading failed, what was late at the last success came too.
        early = (self._read_at or server_time) - OVERLAP
        return early if self._newest is None else min(self._newest, early)

    def read_until(self, server_time: datetime) -> None:
        """Notes that all was taken that the server showed at a moment.

        Args:
            server_time: The server's clock when it was asked.
        """
        self._read_at = server_time

    def restart(self, newest: list[wire.Event], *, all_of_them: bool) -> Named:
        """Takes the newest events where those between them and what is known may be missing.

        Args:
            newest: The newest events.
            all_of_them: Whether there are no older ones.

        Returns:
            What those that are new name.
        """
        oldest = min((event.recorded_at for event in newest), default=_EVER)
        self._unbroken_since = _EVER if all_of_them else oldest
        self.version += 1
        return self.take(newest)

    def take(self, events: list[wire.Event]) -> Named:
        """Takes events, in any order.

        Args:
            events: Events as the server gave them, maybe some that were taken before.

        Returns:
            What those that are new name.
        """
        named = Named()
        for event in sorted(events, key=_in_time):
            if event.id in self._events:
                continue
            self._events[event.id] = event
            self._in_order = None
            if self._newest is None or event.recorded_at > self._newest:
                self._newest = event.recorded_at
            self.learn(event)
            for target in event.targets or ():
                if target.project_name not in (None, self._project):
                    continue
                if target.type == "fleet":
                    named.fleets.add(target.id)
                elif target.type == "instance":
                    named.instances.add(target.id)
                elif target.type == "run":
                    named.runs.add(target.id)
                elif target.type == "job":
                    named.jobs[target.id] = target.name
        while len(self._events) > _KEPT:
            self._events.popitem(last=False)
        return named

    def learn(self, event: wire.Event) -> None:
        """Learns where and since when a job runs, and since when an instance is idle."""
        self.version += 1
        self.guests.learn(event)
        jobs = [target.id for target in event.targets or () if target.type == "job"]
        said = told(event.message)
        if said == RUNS:
            self.running_since |= dict.fromkeys(jobs, event.recorded_at)
        elif said.subject is Subject.TAKEN_IN:
            self._taken_in.update(jobs)
        elif said.subject is Subject.REGISTERED_AT_LAST:
            self._taken_in.update(jobs)
            self._at_gateway.update(jobs)
        elif said.subject is Subject.AT_GATEWAY:
            self._at_gateway.update(jobs)
        elif said.subject in REACH:
            for job in jobs:
                news = (event.recorded_at, said.subject is Subject.JOB_REACHABLE)
                self._reached[job] = max(self._reached.get(job, news), news)
        instances = [target.id for target in event.targets or () if target.type == "instance"]
        if len(instances) != 1:
            return
        for job in jobs:
            linked_at = self._linked_at.get(job)
            if linked_at is None or linked_at <= event.recorded_at:
                self.links[job] = instances[0]
                self._linked_at[job] = event.recorded_at
        if said.subject is Subject.INSTANCE_STATUS and said.status == "idle":
            since = self.idle_since.get(instances[0])
            if since is None or since < event.recorded_at:
                self.idle_since[instances[0]] = event.recorded_at

    def forget_all_but(self, jobs: Collection[str], instances: Collection[str]) -> None:
        """Keeps only what concerns jobs and instances that still are."""
        gone = self.links.keys() - jobs or self.running_since.keys() - jobs
        if gone or self.idle_since.keys() - instances:
            self.version += 1
        self.links = {job: at for job, at in self.links.items() if job in jobs}
        self._linked_at = {job: at for job, at in self._linked_at.items() if job in jobs}
        self.running_since = {job: at for job, at in self.running_since.items() if job in jobs}
        self._taken_in.intersection_update(jobs)
        self._at_gateway.intersection_update(jobs)
        self._reached = {job: at for job, at in self._reached.items() if job in jobs}
        self.guests.forget_all_but(instances)
        self.idle_since = {key: at for key, at in self.idle_since.items() if key in instances}


def _in_time(event: wire.Event) -> tuple[datetime, str]:
    return (event.recorded_at, event.id)
