"""How a service and a fleet are, in one word: what users feel, before any cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.reach import out_of_reach
from dstack_api_client.analysis.rollout import SURGE
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.engines import ROLES
from dstack_api_client.model.fleet import INSTANCE_GONE, Fleet, Instance
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.roles import every_request_fails, lacking, roles_of
from dstack_api_client.model.router import RouterStatus, RouterView, Sync, Worker
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.stranded import stranded

#: A service that has served nothing yet starts for so long; afterwards it is down.
FIRST_START = timedelta(minutes=15)
#: A service that failed is news for the shift that follows, and history afterwards.
FAILED_SHOWN = timedelta(hours=24)

_NEVER = Since()
#: Of these the router's list of workers is known.
_LISTED = frozenset({RouterStatus.READY, RouterStatus.NOT_READY})
#: With these no request reaches a worker.
_ROUTES_NOTHING = frozenset({RouterStatus.DOWN, RouterStatus.NOT_READY})


class HealthState(str, Enum):
    """How something is, the worst first."""

    DOWN = "down"
    """Serves nothing; nothing of a fleet can be used."""
    DEGRADED = "degraded"
    """Serves less than desired; a part of a fleet can't be used."""
    STARTING = "starting"
    """Has served nothing yet, and was submitted not long ago."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Health:
    """How a service or a fleet is.

    Attributes:
        state: In one word.
        serving: Replicas that take requests; of a fleet, instances that can be used.
        desired: Replicas that a service should have now; of a fleet, the instances that it has.
    """

    state: HealthState
    serving: int
    desired: int

    def __str__(self) -> str:
        """`DOWN`, `DEGRADED 5/7`, `OK`."""
        word = self.state.value.upper()
        if self.state is HealthState.DEGRADED:
            return f"{word} {self.serving}/{self.desired}"
        return word


def service_healths(
    snapshot: Snapshot, since: Since = _NEVER, time: Moment | None = None
) -> Mapping[str, Health]:
    """How the services of a project are, by the id of their run.

    Args:
        snapshot: What is.
        since: What events told of which replicas took requests.
        time: The time; without it, that of the snapshot.

    Returns:
        One for each service of which it can be told: not for those that ended well, are being
        stopped or wait for their time, nor while their replicas are not read.
    """
    time = time or Moment(snapshot.observed_at)
    alive = {each.name for each in snapshot.services.values() if not each.finished}
    found = {}
    for service in snapshot.services.values():
        if service.status == "failed" and service.name not in alive:
            ended = service.ended_at or service.submitted_at
            if not time.past(ended, FAILED_SHOWN):
                found[service.id] = Health(HealthState.DOWN, 0, service.replicas_min)
        elif service.stopping and not service.failing:
            continue
        elif not service.finished and not service.waits_for_its_time and service.jobs_known:
            found[service.id] = service_health(snapshot, service, since, time)
    return found


def service_health(
    snapshot: Snapshot, service: Service, since: Since = _NEVER, time: Moment | None = None
) -> Health:
    """How a service that has not ended is.

    A replica serves when it is ready, its instance can be reached, and its router, where the list
    of that is known, calls it ready. A service that is being ended is down, whatever still serves.

    Args:
        snapshot: Where it is.
        service: The service.
        since: What events told of which replicas took requests.
        time: The time; without it, that of the snapshot.
    """
    time = time or Moment(snapshot.observed_at)
    view = snapshot.routers.get(service.id)
    listed = view is not None and view.status in _LISTED
    workers = {w.replica: w for w in view.workers if w.replica} if view and listed else {}
    replicas = snapshot.replicas_of(service)
    serving = [each for each in replicas if _serves(each, snapshot, workers, listed=listed)]
    if service.stopping:
        return Health(HealthState.DOWN, len(serving), service.replicas_min)
    desired = desired_of(snapshot, service)
    takes = [each for each in serving if not each.is_router]
    to_serve = sum(_desired(each, service, replicas) for each in service.groups if not each.router)
    if to_serve and (not takes or not _passes(snapshot, service, view, serving)):
        starts = (
            not time.past(_begun(service, replicas), FIRST_START)
            and not any(each.restarts or _seeks_again(each) for each in replicas)
            and not _has_served(service, replicas, since)
            and not stranded(snapshot, service)
        )
        state = HealthState.STARTING if starts else HealthState.DOWN
    elif len(serving) < desired or lost_parts(snapshot, service):
        state = HealthState.DEGRADED
    else:
        state = HealthState.OK
    return Health(state, len(serving), desired)


def _begun(service: Service, replicas: list[Replica]) -> datetime:
    """Since when a service starts: its replicas may be of later, as one at zero has none.

    What had to look for a place starts once it has one.
    """
    standing = [each for each in replicas if each.standing]
    found = [each.since for each in standing if each.sought_before and each.has_place]
    if found:
        return max(found)
    first = min((each.submitted_at for each in standing), default=service.submitted_at)
    return max(first, service.submitted_at)


def _seeks_again(replica: Replica) -> bool:
    """Whether no place was to be had for a replica, and none is yet."""
    return replica.submission_num > 0 and not replica.has_place


def _has_served(service: Service, replicas: list[Replica], since: Since) -> bool:
    """Whether requests were answered: a router alone, or one part of several, answers none."""
    took = [each for each in replicas if not each.is_router and since.was_ready(each)]
    role_of = {group.name: group.role for group in service.groups if group.role}
    roles = roles_of(service.groups)
    lacked = lacking(roles, {role_of[each.group] for each in took if each.group in role_of})
    return bool(took) and not (lacked and every_request_fails(lacked, roles))


def desired_of(snapshot: Snapshot, service: Service) -> int:
    """How many replicas a service should have now.

    The add-on tells. Without it, the server keeps the autoscaler's number to itself: what it has
    submitted, and never less than the minimum, is the best that can be read. The extra replica of
    a rolling deployment does not count.

    Args:
        snapshot: Where it is.
        service: The service.
    """
    if service.gone or service.waits_for_its_time:
        return 0
    placement = snapshot.placements.get(service.id)
    if placement is not None and placement.desired.keys() >= {g.name for g in service.groups}:
        return sum(placement.desired.values())
    replicas = snapshot.replicas_of(service)
    return sum(_desired(group, service, replicas) for group in service.groups)


def _desired(group: Group, service: Service, replicas: list[Replica]) -> int:
    if group.replicas_min == group.replicas_max:
        return group.replicas_min
    standing = [each for each in replicas if each.group == group.name and each.standing]
    latest = sum(each.deployment_num == service.deployment_num for each in standing)
    surge = SURGE if 0 < latest < len(standing) else 0
    return max(group.replicas_min, len(standing) - surge)


def _serves(
    replica: Replica, snapshot: Snapshot, workers: Mapping[ReplicaKey, Worker], *, listed: bool
) -> bool:
    if not replica.ready:
        return False
    if out_of_reach(snapshot, replica):
        return False
    if replica.is_router or not listed:
        return True
    worker = workers.get(replica.key)
    return worker is not None and worker.router_health == "ready" and worker.sync is not Sync.DRIFT


def lost_parts(snapshot: Snapshot, service: Service) -> tuple[str, ...]:
    """The parts of a service that no worker plays while others are played.

    No replica of theirs runs that can be reached, or the router calls none ready.

    Args:
        snapshot: Where it is.
        service: The service.
    """
    if service.gone:
        return ()
    view = snapshot.routers.get(service.id)
    lost = {*unreached_parts(snapshot, service), *(view.lacking if view is not None else ())}
    return tuple(role for role in ROLES if role in lost)


def unreached_parts(snapshot: Snapshot, service: Service) -> tuple[str, ...]:
    """The parts of a service for which no replica that can be reached runs while others do.

    Args:
        snapshot: Where it is.
        service: The service.
    """
    role_of = {group.name: group.role for group in service.groups if group.role}
    if not role_of or service.gone or not service.jobs_known:
        return ()
    running = {
        role_of[each.group]
        for each in snapshot.replicas_of(service)
        if each.group in role_of and each.status == "running" and not out_of_reach(snapshot, each)
    }
    return lacking(roles_of(service.groups), running)


def _passes(
    snapshot: Snapshot, service: Service, view: RouterView | None, serving: list[Replica]
) -> bool:
    """Whether requests come from the router to a worker of each part."""
    if not any(group.router for group in service.groups):
        return True
    if not any(replica.is_router for replica in serving):
        return False
    if view is not None and view.status in _ROUTES_NOTHING:
        return False
    lost = lost_parts(snapshot, service)
    return not (lost and every_request_fails(lost, roles_of(service.groups)))


def fleet_health(snapshot: Snapshot, fleet: Fleet) -> Health:
    """How a fleet is: whether what it has can be used.

    Args:
        snapshot: Where its instances are.
        fleet: The fleet.
    """
    there = _instances(snapshot, fleet)
    usable = sum(map(_usable, there))
    total = len(there) + len(fleet.failed)
    if fleet.status == "failed" or (total and not usable):
        state = HealthState.DOWN
    elif usable < total:
        state = HealthState.DEGRADED
    else:
        state = HealthState.OK
    return Health(state, usable, total)


@dataclass(frozen=True, slots=True)
class FleetRoom:
    """What a fleet has left.

    Attributes:
        idle: Instances on which nothing runs.
        blocks: Blocks that are free on instances on which something runs.
        may_start: Instances that it may start beside those it has; None without a limit.
    """

    idle: int
    blocks: int
    may_start: int | None


def fleet_room(snapshot: Snapshot, fleet: Fleet) -> FleetRoom:
    """What a fleet has left, as its own limits say: whether a backend has capacity is not known.

    Args:
        snapshot: Where its instances are.
        fleet: The fleet.
    """
    there = _instances(snapshot, fleet)
    usable = [each for each in there if _usable(each)]
    idle = sum(each.status == "idle" for each in usable)
    blocks = sum(each.total_blocks - each.busy_blocks for each in usable if each.status == "busy")
    if fleet.kind == "ssh" or fleet.status != "active":
        return FleetRoom(idle, blocks, 0)
    if fleet.nodes_max is None:
        return FleetRoom(idle, blocks, None)
    return FleetRoom(idle, blocks, max(0, fleet.nodes_max - len(there)))


def _instances(snapshot: Snapshot, fleet: Fleet) -> list[Instance]:
    """Those that a fleet has and keeps."""
    here = map(snapshot.instances.get, fleet.instance_ids)
    return [each for each in here if each is not None and each.status not in INSTANCE_GONE]


def _usable(instance: Instance) -> bool:
    return not instance.unreachable and instance.health != "failure"
