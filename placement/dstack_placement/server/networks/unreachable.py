"""Lanes that a service's router can't reach: what the engine is told, and what people are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dstack_placement.engine import (
    Cause,
    Code,
    LanePlan,
    Line,
    ReplicaState,
    Room,
    Service,
    ServiceSpec,
    code_of,
)
from dstack_placement.server.networks.networks import Reach, Site, reach

#: Set to 1 where all fleets share a network that dstack does not know of (VPN, peering, routes).
ONE_NETWORK_VARIABLE = "DSTACK_FLEETS_ONE_NETWORK"

#: By pool and fleet.
UnreachableLanes = Mapping[tuple[str, str], "UnreachableLane"]


@dataclass(frozen=True, slots=True)
class UnreachableLane:
    """One lane that the router can't reach.

    Attributes:
        router_fleet: The router's fleet.
        cause: Why it can't.
        used: Whether workers go there all the same, as they have no other lane.
    """

    router_fleet: str
    cause: str
    used: bool

    @property
    def why(self) -> str:
        """One line on it, after the fleet's name."""
        return f"the router in {self.router_fleet} can't reach it: {self.cause}"

    def line(self, fleet: str) -> str:
        """The whole in words.

        Args:
            fleet: The lane's fleet.
        """
        if self.used:
            return (
                f"Workers go to fleet {fleet}, which is all they have, although {self.why}. The"
                " router won't use them"
            )
        return f"Fleet {fleet} is skipped for workers: {self.why}"


def is_one_network() -> bool:
    """Whether the operator says that all fleets share a network."""
    return os.environ.get(ONE_NETWORK_VARIABLE) == "1"


def lanes_out_of_reach(
    lanes: ServiceSpec, router_fleet: str, router: Site, sites: Mapping[str, Site]
) -> dict[tuple[str, str], UnreachableLane]:
    """The lanes of workers that are known not to share a network with their router.

    Args:
        lanes: The lanes of the service.
        router_fleet: The fleet of its router.
        router: Where the router is or will be.
        sites: Where the instances of the lanes are or may come to be, by fleet.
    """
    workers = [group.name for group in lanes.groups if not group.router]
    pools = dict(pool for name in workers if (pool := lanes.pool_of(name)) is not None)
    found = {}
    for name, own in pools.items():
        causes = {}
        for lane in own:
            if lane.fleet in sites:
                verdict, cause = reach(router, sites[lane.fleet])
                if verdict is Reach.UNREACHABLE:
                    causes[lane.fleet] = cause
        used = all(lane.fleet in causes for lane in own)
        for fleet, cause in causes.items():
            found[name, fleet] = UnreachableLane(router_fleet, cause, used)
    return found


def limited(service: Service, lanes: ServiceSpec, unreachable: UnreachableLanes) -> Service:
    """The service with no room for workers in the lanes that are skipped."""
    rooms = dict(service.rooms)
    for fleet in {fleet for (_, fleet), lane in unreachable.items() if not lane.used}:
        whose = {
            group.name: pool[0]
            for group in lanes.groups
            if (pool := lanes.pool_of(group.name)) is not None
            and any(lane.fleet == fleet for lane in pool[1])
        }
        routers = {group.name for group in lanes.groups if group.router}
        barred = {
            group: lane
            for group, pool_name in whose.items()
            if group not in routers
            and (lane := unreachable.get((pool_name, fleet))) is not None
            and not lane.used
        }
        why = Line(next(iter(barred.values())).why, Code.OUT_OF_REACH)
        room = rooms.get(fleet, Room())
        if barred.keys() == whose.keys():
            rooms[fleet] = Room(0, why=why)
        else:
            limits = {**room.more_of, **dict.fromkeys(barred, 0)}
            rooms[fleet] = replace(room, more_of=limits, why=why if room.more != 0 else room.why)
    return replace(service, rooms=rooms)


def workers_there(
    service: Service, lanes: ServiceSpec, unreachable: UnreachableLanes
) -> Counter[tuple[str, str]]:
    """How many workers are in lanes that can't be reached, by pool and fleet."""
    routers = {group.name for group in lanes.groups if group.router}
    found: Counter[tuple[str, str]] = Counter()
    for replica in service.replicas:
        pool = lanes.pool_of(replica.group)
        if pool is None or replica.fleet is None or replica.group in routers:
            continue
        if (pool[0], replica.fleet) in unreachable and replica.state is not ReplicaState.STOPPING:
            found[pool[0], replica.fleet] += 1
    return found


def marked(lanes: Iterable[LanePlan], unreachable: UnreachableLanes) -> list[LanePlan]:
    """The lanes of a plan, with the reason of those that can't be reached told too."""
    shown = []
    for lane in lanes:
        found = unreachable.get((lane.pool, lane.fleet))
        told = Code.OUT_OF_REACH.value in (code_of(each.detail) for each in lane.why.causes)
        if found is not None and not told:
            cause = Cause(Code.OUT_OF_REACH, detail=found.why)
            lane = replace(lane, why=replace(lane.why, causes=(*lane.why.causes, cause)))
        shown.append(lane)
    return shown
