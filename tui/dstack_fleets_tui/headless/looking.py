"""One look at a project: what a command asks for, and all that has to be read for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dstack_api_client.analysis.health import Health, service_healths
from dstack_api_client.analysis.since import Since
from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import ApiError, CannotConnectError, UnauthorisedError
from dstack_api_client.events.stream import Event, event_of
from dstack_api_client.feed.feed import ConnectionState, Feed
from dstack_api_client.model.capabilities import PLACEMENT_LIST
from dstack_api_client.model.router import RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem, Severity
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.routers.watch import OverSsh, read_router
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.events import FILTER_ITEMS, in_groups
from dstack_api_client.transport.requests import PAGE
from dstack_fleets_tui.headless import select
from dstack_fleets_tui.output.payload import Kind

#: Routers that are looked at together: each over SSH is a process of its own.
_AT_ONCE = 4
#: Instances of which is asked since when something is wrong with them.
_MOST_DATED = 20 * FILTER_ITEMS


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
    """

    kind: Kind
    name: str | None = None
    ended: bool = False
    limit: int = PAGE
    severity: Severity = Severity.NOTICE
    ssh: bool = True


@dataclass(frozen=True)
class Look:
    """What was read.

    Attributes:
        snapshot: The project.
        problems: What is wrong, where that was asked for.
        events: What happened, the oldest first, where that was asked for.
        notes: What could not be read beside the project.
        since: What events told.
    """

    snapshot: Snapshot
    problems: tuple[Problem, ...] = ()
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    since: Since = field(default_factory=Since)

    @cached_property
    def healths(self) -> Mapping[str, Health]:
        """How the services are, by the id of their run."""
        return service_healths(self.snapshot, self.since)


class UnavailableError(ApiError):
    """The server is away, does not let this user in, or did not answer to the end."""


async def observe(connection: Connection, asked: Asked) -> Look:
    """Reads what is asked for.

    Raises:
        UnavailableError: It could not be read, or not to its end.
        NoSuchNameError: There is nothing of that name.
    """
    async with Client(connection.url, connection.token, verify=connection.verify) as client:
        feed = Feed(client, connection.project)
        snapshot = await poll(feed, full=True)
        if asked.kind == "distribution" and asked.name is not None:
            (service,) = select.services(snapshot, asked.name)
            feed.focus(opened_service=service.id)
            snapshot = await poll(feed)
        elif asked.kind in ("distribution", "problems"):
            snapshot = await placed(feed, snapshot)
        since = Since()
        since.learn(feed.events)
        if asked.kind in ("router", "problems"):
            name = asked.name if asked.kind == "router" else None
            services = select.services(snapshot, name)
            routers = await _routers(client, snapshot, services, since, ssh=asked.ssh)
            snapshot = replace(snapshot, routers=routers)
        try:
            if asked.kind == "problems":
                notes = await _date(client, snapshot, since)
                problems = problems_of(snapshot, snapshot.observed_at, since)
                return Look(snapshot, problems, notes=notes)
            if asked.kind == "events":
                return Look(snapshot, events=await _events(client, snapshot, asked))
        except select.NoSuchNameError:
            raise
        except ApiError as error:
            raise UnavailableError(error.message, error.hint) from error
    return Look(snapshot, since=since)


async def _routers(
    client: Client, snapshot: Snapshot, services: Iterable[Service], since: Since, *, ssh: bool
) -> dict[str, RouterView]:
    """Looks at the routers of services, several at once."""
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
    return {view.run_id: view for view in views if view is not None}


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
    left = _unplaced(snapshot)
    while left:
        snapshot = await poll(feed)
        before, left = left, _unplaced(snapshot)
        if not len(left) < len(before):
            break
    return snapshot


def _unplaced(snapshot: Snapshot) -> Sequence[str]:
    """Services with lanes whose placement was not read, where the server tells it."""
    if not snapshot.capabilities.can(PLACEMENT_LIST):
        return ()
    return [
        service.id
        for service in snapshot.services.values()
        if service.has_lanes and not service.finished and service.id not in snapshot.placements
    ]


async def _events(client: Client, snapshot: Snapshot, asked: Asked) -> tuple[Event, ...]:
    """The newest events of everything or of one service or fleet, the oldest of them first."""
    if asked.name is None:
        project = await client.projects.get(snapshot.project)
        filters = [{"within_projects": [project.project_id]}]
    else:
        service_id, fleet_id = select.either(snapshot, asked.name)
        filters = [{"within_runs": [service_id]}] if service_id is not None else []
        filters += [{"within_fleets": [fleet_id]}] if fleet_id is not None else []
    found: dict[str, Event] = {}
    for each in filters:
        before = None
        read = 0
        while read < asked.limit:
            page = await client.events.newest(
                each, limit=min(PAGE, asked.limit - read), before=before
            )
            if not page:
                break
            found |= {event.id: event_of(event) for event in page}
            read += len(page)
            before = (page[-1].recorded_at, page[-1].id)
    events = sorted(found.values(), key=lambda event: (event.recorded_at, event.id))
    return tuple(events[-asked.limit :])


async def _date(client: Client, snapshot: Snapshot, since: Since) -> tuple[str, ...]:
    """Learns since when something is wrong with instances, as far as events reach.

    Returns:
        Why that is not known of all of them.
    """
    undated = _undated(snapshot, since)
    try:
        for group in in_groups(undated[:_MOST_DATED], FILTER_ITEMS):
            since.learn(await client.events.newest({"target_instances": group}))
    except (CannotConnectError, UnauthorisedError):
        raise
    except ApiError as error:
        return (f"Since when instances are as they are is not known: {error.message}",)
    if len(undated) > _MOST_DATED:
        return (f"Since when is not known of {len(undated) - _MOST_DATED} of the instances.",)
    return ()


def _undated(snapshot: Snapshot, since: Since) -> Sequence[str]:
    """Instances that something is wrong with, and no event that was read told since when."""
    return [
        instance.id
        for instance in snapshot.instances.values()
        if (instance.unreachable and instance.id not in since.unreachable)
        or (instance.health != "healthy" and instance.id not in since.health)
    ]
