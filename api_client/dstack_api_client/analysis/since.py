"""Since when things are as they are.

A snapshot tells what is, and seldom since when. The server's events do where they reach back far
enough; for the rest there is the moment at which it was first seen, which is a lower bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dstack_api_client.model.replica import Replica
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.sentences import REACH, Subject, told

#: What is told when a replica takes requests: since 0.21, and before.
_READY = (Subject.TAKEN_IN, Subject.REGISTERED_AT_LAST)


class Target(Protocol):
    """What an event is about."""

    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def id(self) -> str: ...  # noqa: D102


class Event(Protocol):
    """An event, as it is read or as it is shown."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def message(self) -> str: ...  # noqa: D102
    @property
    def recorded_at(self) -> datetime: ...  # noqa: D102
    @property
    def targets(self) -> Iterable[Target] | None: ...  # noqa: D102


@dataclass
class Since:
    """What events told, each the latest that was heard of.

    Attributes:
        unreachable: By instance, since when the server can't reach it.
        health: By instance, since when its health is what it is.
        instance_status: By instance, since when its status is what it is.
        job_status: By submission, since when its status is what it is.
        ready: By submission, when it began to take requests.
        deployments: By run and deployment number, when it was applied.
        other_server: By run and replica, when it was found that a server without the add-on has
            placed it; the replica may be gone.
        drain_cuts: By run and replica, when it was stopped with requests open, and what was told.
        pulls: By submission, how many bytes of its image have moved, and when that was first seen.
        reach: By submission, whether the server reaches it, and since when.
        unready: By submission that took requests, when it was first seen not to be ready any more.
    """

    unreachable: dict[str, datetime] = field(default_factory=dict)
    health: dict[str, datetime] = field(default_factory=dict)
    instance_status: dict[str, datetime] = field(default_factory=dict)
    job_status: dict[str, datetime] = field(default_factory=dict)
    ready: dict[str, datetime] = field(default_factory=dict)
    deployments: dict[tuple[str, int], datetime] = field(default_factory=dict)
    other_server: dict[tuple[str, int], datetime] = field(default_factory=dict)
    drain_cuts: dict[tuple[str, int], tuple[datetime, str]] = field(default_factory=dict)
    pulls: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    unready: dict[str, datetime] = field(default_factory=dict)
    reach: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set, repr=False)

    def learn(self, events: Collection[Event]) -> bool:
        """Takes events, in any order, some maybe once more; says whether any was new."""
        new = sorted((e for e in events if e.id not in self._seen), key=_in_time)
        for event in new:
            self._take(event)
        # Those that are no longer handed in don't come back.
        self._seen = {event.id for event in events}
        return bool(new)

    def watch_pulls(self, snapshot: Snapshot, now: datetime) -> None:
        """Notes which image pulls go on: no event tells."""
        pulling = {
            replica.submission_id: replica.pull.moved
            for replica in snapshot.replicas.values()
            if replica.pull is not None
        }
        for submission, moved in pulling.items():
            known = self.pulls.get(submission)
            if known is None or known[0] != moved:
                self.pulls[submission] = (moved, now)
        for submission in self.pulls.keys() - pulling.keys():
            del self.pulls[submission]

    def watch_readiness(self, snapshot: Snapshot, now: datetime) -> None:
        """Notes which replicas are not ready any more: no event tells."""
        unready = {
            replica.submission_id
            for replica in snapshot.replicas.values()
            if replica.status == "running" and not replica.ready and self.was_ready(replica)
        }
        self.unready = {submission: self.unready.get(submission, now) for submission in unready}

    def was_ready(self, replica: Replica) -> bool:
        """Whether a replica took requests."""
        return replica.submission_id in self.ready and not replica.unreached

    def cut_off(self, replica: Replica) -> datetime | None:
        """Since when the server can't reach a replica; None where it does, or no event tells."""
        at, reached = self.reach.get(replica.submission_id, (None, True))
        return at if replica.cut_off and not reached else None

    def forget_all_but(self, snapshot: Snapshot) -> None:
        """Keeps only what concerns things that still are."""
        instances = snapshot.instances.keys()
        submissions = {replica.submission_id for replica in snapshot.replicas.values()}
        for about, left in (
            (self.unreachable, instances),
            (self.health, instances),
            (self.instance_status, instances),
            (self.job_status, submissions),
            (self.ready, submissions),
            (self.reach, submissions),
        ):
            for key in [key for key in about if key not in left]:
                del about[key]
        by_run: tuple[dict[tuple[str, int], Any], ...] = (
            self.deployments,
            self.other_server,
            self.drain_cuts,
        )
        for of_runs in by_run:
            for gone in [key for key in of_runs if key[0] not in snapshot.services]:
                del of_runs[gone]

    def _take(self, event: Event) -> None:
        said, at = told(event.message), event.recorded_at
        instances = _targets(event, "instance")
        jobs = _targets(event, "job")
        if said.subject is Subject.UNREACHABLE:
            _note(self.unreachable, instances, at)
        elif said.subject is Subject.HEALTH:
            _note(self.health, instances, at)
        elif said.subject is Subject.INSTANCE_STATUS:
            _note(self.instance_status, instances, at)
        elif said.subject is Subject.JOB_STATUS:
            _note(self.job_status, jobs, at)
        elif said.subject in REACH:
            for key in jobs:
                news = (at, said.subject is Subject.JOB_REACHABLE)
                self.reach[key] = max(self.reach.get(key, news), news)
        elif said.subject in _READY:
            _note(self.ready, jobs, at)
        elif said.subject is Subject.DRAIN_CUT and said.replica is not None:
            for run_id in _targets(event, "run"):
                self.drain_cuts[run_id, said.replica] = (at, event.message)
        elif said.replica is not None:
            for run_id in _targets(event, "run"):
                self.other_server[run_id, said.replica] = at
        elif said.deployment is not None:
            for run_id in _targets(event, "run"):
                self.deployments[run_id, said.deployment] = at


def since_of(events: Collection[Event]) -> Since:
    """What events say of since when things are as they are."""
    since = Since()
    since.learn(events)
    return since


def _note(about: dict[str, datetime], keys: Iterable[str], at: datetime) -> None:
    for key in keys:
        known = about.get(key)
        if known is None or known < at:
            about[key] = at


def _targets(event: Event, kind: str) -> list[str]:
    return [target.id for target in event.targets or () if target.type == kind]


def _in_time(event: Event) -> tuple[datetime, str]:
    return (event.recorded_at, event.id)
