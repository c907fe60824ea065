"""A change of a fleet, followed in the snapshots until its instances are as they should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from dstack_api_client.edits.fleet.fleet import nodes_of
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.follow.following import EVERY, Progress, State, polled
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.model.cordon import left_line
from dstack_api_client.model.fleet import INSTANCE_GONE, Instance
from dstack_api_client.model.labels import share_of
from dstack_api_client.model.snapshot import Snapshot

_STARTING = frozenset({"pending", "provisioning"})
_NOT_LISTED = "The server has not listed it yet."


@dataclass(frozen=True, slots=True)
class FleetGoal:
    """What a fleet comes to by a change.

    Attributes:
        least: Instances that are up in the end, or more.
        greatest: Most instances, idle ones counted; None without a limit.
        ends: Ids of instances that end.
        gone: Whether the fleet itself goes.
        empties: The id of what is drained, the fleet or an instance of it; None for no drain.
    """

    least: int = 0
    greatest: int | None = None
    ends: frozenset[str] = frozenset()
    gone: bool = False
    empties: str | None = None


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """How far a change of a fleet has come at one look.

    Attributes:
        state: Where it stands; anything but `State.MOVING` is the last one.
        waiting: What is waited for, a line each; of a failure, why.
        seen: Whether what is followed was there: the fleet, or its drain.
    """

    state: State
    waiting: tuple[str, ...] = ()
    seen: bool = True


def goal_of(plan: FleetPlan) -> FleetGoal:
    """What the plan of an edit, or of a new fleet, leads to.

    dstack starts up to `target` only when it makes a fleet; afterwards it keeps to `min`.
    """
    configuration = configuration_of(plan.expected)
    own_hosts = configuration.get("ssh_config")
    hosts = own_hosts.get("hosts") if isinstance(own_hosts, Mapping) else None
    nodes = nodes_of(configuration)
    least = nodes.least if plan.base is not None else nodes.target
    if plan.with_jobs_only:
        least = 0
    # Which ones above `max` end is the server's choice.
    ends = frozenset(each.id for each in plan.ends if each not in plan.above)
    if hosts and isinstance(hosts, list):
        return FleetGoal(len(hosts), ends=ends)
    return FleetGoal(least, nodes.greatest, ends)


async def follow_fleet(
    read: Callable[[], Awaitable[Snapshot]],
    plan: FleetPlan,
    fleet_id: str,
    *,
    limit: float = 600.0,
    every: float = EVERY,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Progress]:
    """Looks at a fleet until it has the instances that its plan leads to.

    A server that can't be read is asked again.

    Args:
        read: Reads the project, and raises `ApiError` where it can't.
        plan: What was applied.
        fleet_id: The fleet.
        limit: Seconds after which looking ends.
        every: Seconds between two looks.
        sleep: How to wait.

    Yields:
        How far it has come; the last one is `final`.
    """
    goal = goal_of(plan)

    async def look() -> Progress:
        found = fleet_progress(goal, fleet_id, await read(), seen=True)
        return Progress(found.state, 0.0, waiting=found.waiting)

    async for last in polled(look, limit=limit, every=every, sleep=sleep):
        yield last


def fleet_progress(
    goal: FleetGoal, fleet_id: str, snapshot: Snapshot, *, seen: bool
) -> FleetProgress:
    """How far a change has come, by one look.

    Args:
        goal: What it leads to.
        fleet_id: The fleet.
        snapshot: What is.
        seen: Whether it was there at an earlier look: what is new takes a moment.
    """
    fleet = snapshot.fleets.get(fleet_id)
    if goal.empties is not None and fleet is not None:
        return _of_drain(goal.empties, snapshot, seen=seen)
    if fleet is None:
        if goal.gone:
            return FleetProgress(State.DONE)
        if seen:
            return FleetProgress(State.FAILED, ("The fleet is not there any more.",))
        return FleetProgress(State.MOVING, (_NOT_LISTED,), seen=False)
    if fleet.status == "failed":
        why = fleet.status_message or "the server does not say why"
        return FleetProgress(State.FAILED, (f"The fleet failed: {why}.",))
    here = [snapshot.instances[each] for each in fleet.instance_ids if each in snapshot.instances]
    waiting = tuple(_waiting(goal, here, {each.id for each in fleet.failed}))
    return FleetProgress(State.MOVING if waiting else State.DONE, waiting)


def _of_drain(key: str, snapshot: Snapshot, *, seen: bool) -> FleetProgress:
    cordon = snapshot.cordons.get(key)
    if cordon is None or cordon.draining_since is None:
        if seen:
            return FleetProgress(State.FAILED, ("The drain was cancelled.",))
        return FleetProgress(State.MOVING, (_NOT_LISTED,), seen=False)
    if not cordon.left:
        return FleetProgress(State.DONE)
    staying = (f"{each.line}." for each in cordon.left if each.action == "stay")
    return FleetProgress(State.MOVING, (f"{left_line(cordon.left)}.", *staying))


def _waiting(goal: FleetGoal, here: Collection[Instance], failed: Collection[str]) -> Iterator[str]:
    if goal.gone:
        yield "The fleet is being deleted."
        return
    ending = [instance for instance in here if instance.id in goal.ends]
    staying = [
        instance
        for instance in here
        if instance.id not in goal.ends and instance.status not in INSTANCE_GONE
    ]
    up = [instance for instance in staying if instance.status not in _STARTING]
    if len(up) < goal.least:
        coming = len(staying) - len(up)
        more = f", {coming} starting" if coming else ""
        yield f"{share_of(len(up), goal.least, 'instance')} up{more}."
    left = len(ending) + sum(each in goal.ends for each in failed)
    if goal.greatest is not None:
        idle = sum(instance.status == "idle" for instance in staying)
        left += min(idle, max(0, len(staying) - goal.greatest))
    if left:
        yield "1 instance has not ended." if left == 1 else f"{left} instances have not ended."
