"""An applied change, followed until the replicas are where they should be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Set
from dataclasses import dataclass, replace
from enum import Enum

from dstack_api_client import errors
from dstack_api_client.clock import ServerClock, utc_now
from dstack_api_client.edits.base.base import Base, service_of
from dstack_api_client.edits.follow.run_events import RunEvents
from dstack_api_client.edits.outlook.dryrun import NEVER, dry_run, without_room
from dstack_api_client.edits.outlook.outlooks import DryRun, LaneOutlook
from dstack_api_client.edits.service.service import SERVICE, ServiceEdit
from dstack_api_client.join.join import Answers, Joined, build
from dstack_api_client.model.capabilities import PLACEMENT, Capabilities
from dstack_api_client.model.cordon import Occupant
from dstack_api_client.model.labels import counted, in_status, labels_of
from dstack_api_client.model.replica import STOPPING, Replica
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.model.stranded import stranded
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client

#: Seconds between two looks: the server's pipelines are no faster.
EVERY = 2.0


class State(str, Enum):
    """How far a change has come."""

    MOVING = "moving"
    """Replicas start, stop or move, or wait."""
    DONE = "done"
    FAILED = "failed"
    """The service has ended, or is ending."""
    SUPERSEDED = "superseded"
    """A later change has taken its place."""
    STILL_WAITING = "still waiting"
    """It was not done within the limit; the server goes on with it."""


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """The replicas of one lane on their way."""

    pool: str
    fleet: str
    name: str
    """What it is called: `gpu-spot`, `1 prefill/gpu-spot`."""
    ready: int
    running: int
    """Those that are ready included."""
    starting: int
    stopping: int
    goal: int
    """Replicas here in the end."""


@dataclass(frozen=True)
class Progress:
    """How far a change has come at one look.

    Attributes:
        state: Where it stands; anything but `MOVING` is the last one.
        elapsed: Seconds since it was applied.
        lanes: In the order of filling.
        at_latest: Active replicas at the latest deployment.
        active: Active replicas.
        waiting: What is waited for, a line each; of a failure, why.
        trouble: Why the last look failed; empty when it went well.
        left: Of a drain, what is still there.
    """

    state: State
    elapsed: float
    lanes: tuple[LaneProgress, ...] = ()
    at_latest: int = 0
    active: int = 0
    waiting: tuple[str, ...] = ()
    trouble: str = ""
    left: tuple[Occupant, ...] = ()

    @property
    def final(self) -> bool:
        """Whether no further one follows."""
        return self.state is not State.MOVING


async def follow(
    client: Client,
    base: Base,
    capabilities: Capabilities,
    *,
    planned: DryRun | None = None,
    limit: float = 600.0,
    every: float = EVERY,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    rebalance: bool = False,
    restarts: bool = True,
) -> AsyncIterator[Progress]:
    """Looks at a service until it has what its spec says.

    A server that can't be read is asked again; what was applied goes on without being looked at.

    Args:
        client: Where.
        base: The service as it was right after the change (`Applied.now`).
        capabilities: What the server can do.
        planned: What the plan said, for the goals until the server goes by the new spec.
        limit: Seconds after which looking ends.
        every: Seconds between two looks.
        sleep: How to wait.
        rebalance: Whether replicas are moved until the lanes have their targets.
        restarts: Whether replicas may be started again for the change.

    Yields:
        How far it has come; the last one is `final`.
    """
    joined: Joined | None = None
    events = RunEvents(client, base.target.project, base.id)

    # What a service that ends for it has lacked: once it ends, nothing is to start any more.
    lacked: tuple[str, ...] = ()

    async def look() -> Progress:
        nonlocal joined, lacked
        try:
            now, joined = await _look(client, base, capabilities, joined, events)
            edit = ServiceEdit.begin(now, capabilities)
            outlook = await dry_run(client, edit, joined.snapshot, rebalance=rebalance)
        except errors.NotFoundError as error:
            # Whatever else fails, what was applied is applied: lanes, too, are judged here with
            # fleets that may have gone since.
            if not error.said_by_server:
                raise
            return Progress(State.FAILED, 0.0, waiting=("The run is not there any more.",))
        found = progress(base, now, joined.snapshot, outlook, planned, restarts=restarts)
        if now.gone:
            return replace(found, waiting=(*found.waiting, *lacked))
        lacked = tuple(_without_room(outlook))
        return found

    async for last in polled(look, limit=limit, every=every, sleep=sleep):
        yield last


async def polled(
    look: Callable[[], Awaitable[Progress]],
    *,
    limit: float,
    every: float,
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[Progress]:
    """Looks until a look is the last one, or the time is over.

    A server that can't be read is asked again.

    Args:
        look: Says how far it has come; `elapsed` is set here.
        limit: Seconds after which looking ends.
        every: Seconds between two looks.
        sleep: How to wait.

    Yields:
        How far it has come; the last one is `final`.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    last = Progress(State.MOVING, 0.0)
    while True:
        try:
            last = await look()
        except errors.ApiError as error:
            last = replace(last, trouble=error.message)
        last = replace(last, elapsed=loop.time() - start)
        if not last.final and last.elapsed >= limit:
            last = replace(last, state=State.STILL_WAITING)
        yield last
        if last.final:
            return
        await sleep(every)


def progress(
    base: Base,
    now: Base,
    snapshot: Snapshot,
    outlook: DryRun | None,
    planned: DryRun | None = None,
    *,
    restarts: bool = True,
) -> Progress:
    """How far a change has come, by one look.

    Args:
        base: The service right after the change.
        now: As it is.
        snapshot: What is known of the project.
        outlook: What its lanes would still do.
        planned: What the plan said they would do.
        restarts: Whether replicas may be started again for the change.
    """
    service = snapshot.services.get(base.id)
    if now.id != base.id or service is None:
        return Progress(State.FAILED, 0.0, waiting=("Another run has its name now.",))
    active = snapshot.active_in(service)
    standing = [replica for replica in active if replica.standing]
    at_latest = [r for r in standing if r.deployment_num >= now.deployment]
    behind = len(standing) - len(at_latest)
    lanes = _lanes(active, planned if behind and planned is not None else outlook)
    coming = 0 if outlook is None else sum(row.new for row in outlook.replicas)
    lacking = without_room(outlook.replicas) if outlook is not None else ()
    held = {(row.group, row.number) for row in lacking}
    waiting = (
        *_of_deployments(behind, now.deployment, restarts=restarts),
        *_of_replicas(service, snapshot, coming, held),
        *_of_outlook(outlook),
    )
    if now.gone:
        state = State.FAILED
        # What its spec asks for does not come any more.
        ends = active and now.status == STOPPING
        to_stop = (f"{_replicas(len(active))} to stop",) if ends else ()
        waiting = (_ending(now), *to_stop)
    elif now.deployment > base.deployment:
        state = State.SUPERSEDED
        waiting = (f"Deployment {now.deployment} has taken its place.",)
    elif waiting:
        state = State.MOVING
    else:
        state = State.DONE
    return Progress(state, 0.0, lanes, len(at_latest), len(standing), waiting)


def _of_deployments(behind: int, deployment: int, *, restarts: bool) -> Iterable[str]:
    if behind and restarts:
        yield f"{_replicas(behind)} of an earlier deployment"
    elif behind:
        # dstack gives them the new number a little later, and leaves them as they are.
        yield f"{_replicas(behind)} to be renumbered to deployment {deployment}"


def _of_replicas(
    service: Service, snapshot: Snapshot, coming: int, held: Set[tuple[str, int]]
) -> tuple[str, ...]:
    """What is still to come by the replicas alone: the placement may be older than they are.

    Args:
        service: The service.
        snapshot: Where it is.
        coming: Replicas that are not made yet.
        held: By group and number, those that wait for room, of which the outlook tells.
    """
    found = []
    active = snapshot.active_in(service)
    standing = [replica for replica in active if replica.standing]
    # Those that wait for ever are told of as such.
    for_ever = {replica.key for replica in stranded(snapshot, service)}
    begun = [
        replica
        for replica in standing
        if replica.starting
        and replica.key not in for_ever
        and (replica.group, replica.key.replica_num) not in held
    ]
    starting = len(begun)
    there = {(replica.group, replica.key.replica_num) for replica in standing}
    for group in service.groups:
        number = sum(replica.group == group.name for replica in standing)
        # One between two attempts stands no more, and waits for room all the same.
        waits = sum(name == group.name for name, _ in held - there)
        few = group.replicas_min - number - waits
        if few > 0 and not coming:
            found.append(f"{_replicas(few)} to be made{_in(service, group)}")
        elif group.replicas_max is not None and number > group.replicas_max:
            many = number - group.replicas_max
            here = sum(replica.group == group.name for replica in begun)
            starting -= min(many, here)  # what starts goes first
            found.append(f"{_replicas(many)} too many{_in(service, group)}")
    if starting:
        found.append(f"{_replicas(starting)} to start")
    unready = sum(replica.status == "running" and not replica.ready for replica in standing)
    if unready:
        found.append(f"{_replicas(unready)} to be ready")
    drains = [drain for each in active if (drain := snapshot.drain_of(each)) is not None]
    if drains:
        requests = counted(sum(drain.open or 0 for drain in drains), "request")
        known = all(drain.open is not None for drain in drains)
        found.append(f"{len(drains)} draining" + (f", {requests} open" if known else ""))
    stopping = len(active) - len(standing) - len(drains)
    if stopping:
        found.append(f"{_replicas(stopping)} to stop")
    return tuple(found)


def _in(service: Service, group: Group) -> str:
    if len(service.groups) < 2:
        return ""
    return f" in group {labels_of(service.groups)[group.name]}"


def _of_outlook(outlook: DryRun | None) -> tuple[str, ...]:
    if outlook is None:
        return ()
    found = [_of_minimum(lane, outlook) for lane in outlook.lanes if _is_short(lane, outlook)]
    if outlook.still:
        return tuple(one_line(text) for text in found)
    new = Counter(row.to for row in outlook.replicas if row.new and row.action == "start")
    found += [
        f"{_replicas(number)} to {f'start in {fleet}' if fleet else 'be made'}"
        for fleet, number in new.items()
    ]
    for lane in outlook.lanes:
        parts = []
        if lane.enter:
            parts.append(f"{_replicas(lane.enter)} to move to {outlook.lane_name(lane)}")
        if lane.stop:
            parts.append(f"{_replicas(lane.stop)} to stop in {outlook.lane_name(lane)}")
        found += parts
    never = [row for row in outlook.replicas if row.reason == NEVER]
    if never:
        found.append(f"{_replicas(len(never))} that will wait for ever: {never[0].why}")
    found += _without_room(outlook)
    return tuple(one_line(text) for text in found)


def _without_room(outlook: DryRun | None) -> Iterable[str]:
    pending = without_room(outlook.replicas) if outlook is not None else []
    if pending:
        why = "; ".join(dict.fromkeys(row.why for row in pending if row.why))
        yield one_line(f"{_replicas(len(pending))} without room" + (f": {why}" if why else ""))


def _is_short(lane: LaneOutlook, outlook: DryRun) -> bool:
    """Whether a lane is below its minimum although replicas past the minimums could fill it."""
    beyond = any(
        other.pool == lane.pool and other.after > other.lane.min_replicas for other in outlook.lanes
    )
    return lane.deficit > 0 and beyond


def _of_minimum(lane: LaneOutlook, outlook: DryRun) -> str:
    why = f": {lane.reason}" if lane.reason else ""
    held = f"{lane.after} of {lane.lane.min_replicas}"
    return f"{outlook.lane_name(lane)} below its minimum, {held}{why}"


def _lanes(active: list[Replica], outlook: DryRun | None) -> tuple[LaneProgress, ...]:
    if outlook is None:
        return ()
    own = {lane.pool for lane in outlook.lanes if lane.pool != SERVICE}
    lanes = []
    for lane in outlook.lanes:
        here = [
            replica
            for replica in active
            if replica.fleet_name == lane.fleet
            and (replica.group == lane.pool if lane.pool else replica.group not in own)
        ]
        lanes.append(
            LaneProgress(
                pool=lane.pool,
                fleet=lane.fleet,
                name=outlook.lane_name(lane),
                ready=sum(replica.ready for replica in here),
                running=sum(replica.status == "running" for replica in here),
                starting=sum(replica.starting for replica in here),
                stopping=sum(replica.stopping for replica in here),
                goal=lane.after,
            )
        )
    return tuple(lanes)


def _ending(now: Base) -> str:
    why = now.resource.get("error") or now.resource.get("termination_reason")
    said = f": {one_line(str(why)).replace('_', ' ')}" if why else ""
    return f"The service {in_status(one_line(now.status))}{said}."


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


async def _look(
    client: Client,
    base: Base,
    capabilities: Capabilities,
    previous: Joined | None,
    events: RunEvents,
) -> tuple[Base, Joined]:
    """Reads the service with its fleets, and joins them."""
    target = base.target
    # Before the run: what it says later than the events is not taken for more than they tell.
    awaits = await events.awaits()
    body = await client.runs.body(target.project, target.name)
    now = service_of(client, target.project, body)
    run = client.decode(body, wire.decode_run, f"the run {target.name}")
    known = {} if previous is None else dict(previous.answers.fleets)
    instances = {} if previous is None else dict(previous.answers.instances)
    for fleet in await _fleets(client, base, capabilities, previous):
        known[fleet.id] = fleet
        for gone in [each.id for each in instances.values() if each.fleet_id == fleet.id]:
            del instances[gone]
        for instance in fleet.instances or ():
            instance.fleet_id, instance.fleet_name = fleet.id, fleet.name
            instances[instance.id] = instance
    answers = Answers(known, instances, {run.id: run}, awaits=awaits)
    clock = ServerClock(utc_now, lambda: client.clock_offset)
    joined = build(
        answers,
        server=ServerInfo(client.url, capabilities.server_version),
        project=target.project,
        observed_at=clock.now(),
        previous=previous,
    )
    snapshot = replace(joined.snapshot, capabilities=capabilities)
    if capabilities.can(PLACEMENT) and run.id in snapshot.services:
        placed = await client.placements.get(target.project, target.name)
        snapshot = replace(snapshot, placements={run.id: placed})
    return now, replace(joined, snapshot=snapshot)


async def _fleets(
    client: Client, base: Base, capabilities: Capabilities, previous: Joined | None
) -> list[wire.Fleet]:
    """The project's fleets at first, then those that the service is in or may go to."""
    project = base.target.project
    if previous is None:
        return await client.fleets.list(project)
    snapshot = previous.snapshot
    replicas = [each for each in snapshot.replicas.values() if each.active]
    if any(each.hostname and each.fleet_id is None for each in replicas):
        return await client.fleets.list(project)
    edit = ServiceEdit.begin(base, capabilities)
    names = {lane.fleet for pool in edit.pools for lane in edit.lanes(pool)}
    ids = {each.fleet_id for each in replicas if each.fleet_id is not None}
    ids |= {fleet.id for name in names if (fleet := snapshot.fleet_named(name)) is not None}
    if any(snapshot.fleets[each].project != project for each in ids if each in snapshot.fleets):
        return await client.fleets.list(project)  # one by one, only the project's own can be read
    return list(await asyncio.gather(*(client.fleets.get(project, fleet_id=each) for each in ids)))
