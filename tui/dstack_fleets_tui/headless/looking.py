"""One look at a project: what a command asks for, and all that has to be read for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from dstack_api_client.analysis.health import Health, service_healths
from dstack_api_client.analysis.since import Since
from dstack_api_client.analysis.unplaced import unplaced
from dstack_api_client.errors import ApiError
from dstack_api_client.events.stream import Event
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.router import RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem, Severity
from dstack_api_client.replica.logs import LogLine
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE

if TYPE_CHECKING:
    from dstack_api_client.edits.history.past import PastDeployment
    from dstack_api_client.edits.store.audit_log import AuditLine

#: Routers that are looked at together: each over SSH is a process of its own.
_AT_ONCE = 4


@dataclass(frozen=True)
class Asked:
    """What a command asks for.

    Attributes:
        kind: Which part of the project.
        name: Just this fleet or service, or what belongs to it.
        ended: Whether services that have ended well are wanted too.
        limit: Most events.
        severity: The least severity of problems.
        ssh: Whether routers may be looked at over SSH where the server can't.
        losses: Whether services are problems that would not survive the loss of a fleet.
        group: Just the logs of this replica group.
        replica: Just those of this one.
        back: How far back logs go; to the start for None.
        columns: Just these columns, by their titles or by keys of the objects in JSON.
        wide: Whether columns are wanted too for which a table usually has no room.
    """

    kind: str
    name: str | None = None
    ended: bool = False
    limit: int = PAGE
    severity: Severity = Severity.NOTICE
    ssh: bool = True
    losses: bool = False
    group: str | None = None
    replica: int | None = None
    back: timedelta | None = None
    columns: tuple[str, ...] = ()
    wide: bool = False


class Written(NamedTuple):
    """A line of logs, and what wrote it where that is still there."""

    line: LogLine
    replica: Replica | None


@dataclass(frozen=True)
class Look:
    """What was read.

    Attributes:
        snapshot: The project.
        problems: What is wrong, where that was asked for.
        events: What happened, the oldest first, where that was asked for.
        done: What was done to a service, the oldest first, where that was asked for beside events.
        lines: What replicas wrote, the oldest first, where that was asked for.
        notes: What could not be read beside the project.
        since: What events told.
        changes: What was changed from this machine, the oldest first, where that was asked for.
        past: Deployments by the id of the event that made them, where that was asked for.
    """

    snapshot: Snapshot
    problems: tuple[Problem, ...] = ()
    events: tuple[Event, ...] = ()
    done: tuple[Event, ...] = ()
    lines: tuple[Written, ...] = ()
    notes: tuple[str, ...] = ()
    since: Since = field(default_factory=Since)
    changes: tuple[AuditLine, ...] = ()
    past: Mapping[str, PastDeployment] = field(default_factory=dict)

    @cached_property
    def healths(self) -> Mapping[str, Health]:
        """How the services are, by the id of their run."""
        return service_healths(self.snapshot, self.since)


class UnavailableError(ApiError):
    """The server is away, does not let this user in, or did not answer to the end."""


@dataclass(frozen=True)
class Source:
    """Where a command reads.

    Attributes:
        client: Of the server.
        feed: Of the project.
        again: Whether it was read before, so that what changed since is enough.
    """

    client: Client
    feed: Feed
    again: bool = False

    @property
    def since(self) -> Since:
        """What the events that were read tell of since when."""
        since = Since()
        since.learn(self.feed.events)
        return since

    async def snapshot(self) -> Snapshot:
        """The project as it is now.

        Raises:
            UnavailableError: It could not be read, or not to its end.
        """
        return await poll(self.feed, full=not self.again)


async def read_project(source: Source, asked: Asked) -> Look:
    """Reads the whole project, and nothing beside it.

    Raises:
        UnavailableError: It could not be read, or not to its end.
    """
    snapshot = await source.snapshot()
    return Look(snapshot, since=source.since)


async def read_service(source: Source, asked: Asked) -> Look:
    """Reads the service that is named and what belongs to it; the project where that won't do.

    Raises:
        UnavailableError: It could not be read, or not to its end.
    """
    if asked.name is not None:
        snapshot = await source.feed.read_service(asked.name, with_events=True)
        if snapshot is not None:
            return Look(snapshot, since=source.since)
    return await read_project(source, asked)


async def read_routers(
    client: Client, snapshot: Snapshot, services: Iterable[Service], since: Since, *, ssh: bool
) -> Snapshot:
    """The snapshot with the routers of services, several of which are read at once."""
    from dstack_api_client.routers.watch import OverSsh, read_router  # few commands need it

    turn = asyncio.Semaphore(_AT_ONCE)

    async def look(service: Service) -> RouterView | None:
        async with turn:
            return await read_router(
                client,
                snapshot.project,
                snapshot,
                service,
                over_ssh=OverSsh.OPENED if ssh else OverSsh.NONE,
                running_since={
                    replica.submission_id: since.job_status[replica.submission_id]
                    for replica in snapshot.replicas_of(service)
                    if replica.status == "running" and replica.submission_id in since.job_status
                },
            )

    with_router = [each for each in services if each.router is not None and not each.finished]
    views = await asyncio.gather(*map(look, with_router))
    return replace(snapshot, routers={view.run_id: view for view in views if view is not None})


async def poll(feed: Feed, *, full: bool = False) -> Snapshot:
    """Polls once.

    Raises:
        UnavailableError: It could not be read, or not to its end.
    """
    async for _ in feed.poll(full=full):
        continue
    if feed.snapshot is None or feed.health.state is not ConnectionState.LIVE:
        raise UnavailableError(feed.health.message or "", feed.health.hint or "")
    return feed.snapshot


async def placed(feed: Feed, snapshot: Snapshot) -> Snapshot:
    """Polls until the placement of every service was read: one poll reads some of them in full.

    What can't be read is left as it is: of that the add-on tells nothing.
    """
    left = unplaced(snapshot)
    while left:
        snapshot = await poll(feed)
        before, left = left, unplaced(snapshot)
        if not len(left) < len(before):
            break
    return snapshot
