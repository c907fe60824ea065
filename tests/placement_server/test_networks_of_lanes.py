"""Lanes that a router can't reach take no workers, and are said to be so."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from dstack_placement.engine import (
    Group,
    GroupSpec,
    Lane,
    Reason,
    Replica,
    ReplicaState,
    Room,
    Service,
    ServiceSpec,
    place,
    preview,
)
from dstack_placement.server.networks.networks import Place, Site
from dstack_placement.server.networks.unreachable import (
    UnreachableLane,
    is_one_network,
    lanes_out_of_reach,
    limited,
    marked,
    workers_there,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
NEAR, FAR = Lane("near", priority=10), Lane("far")
FULL = Room(0, why="2 of at most 2 nodes exist, none is idle")
WHY = "the router in near can't reach it: elsewhere"


def barred(*, used: bool = False) -> UnreachableLane:
    return UnreachableLane("near", "elsewhere", used)


def shared(*, near: Room, far: Room) -> tuple[Service, ServiceSpec]:
    """A router and a worker that share two lanes; both wait for one."""
    waits = ReplicaState.PENDING
    service = Service(
        lanes=(NEAR, FAR),
        groups=(Group("router", router=True), Group("worker")),
        replicas=(
            Replica("r", 0, "router", state=waits),
            Replica("w", 1, "worker", state=waits),
        ),
        rooms={"near": near, "far": far},
    )
    groups = (GroupSpec("router", router=True), GroupSpec("worker"))
    return service, ServiceSpec(lanes=(NEAR, FAR), groups=groups)


def test_a_lane_out_of_reach_is_passed_over_by_workers_only() -> None:
    service, lanes = shared(near=FULL, far=Room(4))
    told = limited(service, lanes, {("", "far"): barred()})
    worker = place(told, "w", now=NOW)
    assert (worker.fleet, worker.reason) == (None, Reason.PENDING)
    assert f"far has no room, {WHY}" in worker.why
    assert place(told, "r", now=NOW).fleet == "far"
    assert service.rooms["far"] == Room(4), "what it was told is not changed"


def test_room_that_is_not_known_is_no_room_for_workers_either() -> None:
    service, lanes = shared(near=FULL, far=Room())
    assert place(service, "w", now=NOW).fleet == "far"
    told = limited(service, lanes, {("", "far"): barred()})
    assert place(told, "w", now=NOW).fleet is None


def test_a_lane_that_is_all_there_is_is_used() -> None:
    service, lanes = shared(near=FULL, far=Room(4))
    unreachable = {("", "near"): barred(used=True), ("", "far"): barred(used=True)}
    assert limited(service, lanes, unreachable) == service
    line = barred(used=True).line("far")
    assert line.startswith(f"Workers go to fleet far, which is all they have, although {WHY}.")


def test_a_lane_of_workers_alone_has_no_room_at_all() -> None:
    own = (Lane("near"), Lane("far", min_replicas=1))
    service = Service(
        lanes=(Lane("near"),),
        groups=(Group("router", router=True), Group("worker", lanes=own)),
        replicas=(Replica("w", 1, "worker", state=ReplicaState.PENDING),),
        rooms={"near": Room(4), "far": Room(4)},
    )
    lanes = ServiceSpec(
        lanes=(Lane("near"),),
        groups=(GroupSpec("router", router=True), GroupSpec("worker", lanes=own)),
    )
    told = limited(service, lanes, {("worker", "far"): barred()})
    assert told.rooms["far"] == Room(0, why=WHY)
    worker = place(told, "w", now=NOW)
    assert (worker.fleet, worker.reason) == ("near", Reason.FALLBACK)
    assert worker.why == f"baseline 1 of 1: far has no room, {WHY}"
    plan = preview(told, now=NOW)
    far = next(lane for lane in marked(plan.lanes, {("worker", "far"): barred()}) if lane.deficit)
    assert far.reason.count(WHY) == 1


def test_a_full_lane_whose_own_reason_is_another_tells_it_too() -> None:
    service, lanes = shared(near=Room(4), far=Room(0, why=f"it is full, although {WHY}"))
    barring = {("", "far"): barred()}
    _, lane = marked(preview(limited(service, lanes, barring), now=NOW).lanes, barring)
    assert lane.reason == f"far has no room, it is full, although {WHY}; {WHY}"


def test_why_it_can_not_be_reached_is_told_while_its_minimum_is_restored() -> None:
    service, lanes = shared(near=Room(4), far=Room(4))
    far = Lane("far", min_replicas=2)
    service = replace(
        service,
        lanes=(Lane("near"), far),
        replicas=(
            Replica("a", 1, "worker", fleet="far", state=ReplicaState.READY),
            Replica("b", 2, "worker", fleet="far", state=ReplicaState.STARTING),
        ),
    )
    barring = {("", "far"): barred()}
    (_, lane) = marked(preview(limited(service, lanes, barring), now=NOW).lanes, barring)
    assert lane.reason == f"baseline 1 of 2: being restored, 1 starting; {WHY}"


EAST = Site("1", "p", places=frozenset({Place("aws", "us-east-1")}))
WEST = Site("2", "p", places=frozenset({Place("aws", "us-west-2")}))
ANY = Site("3", "p", places=frozenset({Place("aws", None)}))


def groups(*own: tuple[Lane, ...] | None) -> ServiceSpec:
    """A router and a group of workers for each argument, with lanes of its own or the shared."""
    workers = (GroupSpec(f"w{number}", lanes=lanes) for number, lanes in enumerate(own))
    router = GroupSpec("router", router=True)
    return ServiceSpec(lanes=(NEAR, FAR), groups=(router, *workers))


def test_which_lanes_are_out_of_reach() -> None:
    lanes = groups(None, (FAR,), (NEAR,), (FAR, Lane("unknown"), Lane("deleted")))
    found = lanes_out_of_reach(lanes, "near", EAST, {"near": EAST, "far": WEST, "unknown": ANY})
    cause = "aws us-west-2 shares no network with aws us-east-1"
    assert found == {
        ("", "far"): UnreachableLane("near", cause, used=False),
        ("w1", "far"): UnreachableLane("near", cause, used=True),
        ("w3", "far"): UnreachableLane("near", cause, used=False),
    }
    assert lanes_out_of_reach(groups(None), "far", ANY, {"near": EAST, "far": WEST}) == {}


def test_workers_that_are_there_already_are_counted() -> None:
    service, lanes = shared(near=Room(4), far=Room(4))
    placed = (
        Replica("r", 0, "router", fleet="far"),
        Replica("w", 1, "worker", fleet="far"),
        Replica("x", 2, "worker", fleet="far", state=ReplicaState.STOPPING),
        Replica("y", 3, "worker", fleet="near"),
        Replica("z", 4, "worker", state=ReplicaState.PENDING),
    )
    found = workers_there(replace(service, replicas=placed), lanes, {("", "far"): barred()})
    assert found == {("", "far"): 1}


def test_the_operator_can_say_that_all_is_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_one_network()
    monkeypatch.setenv("DSTACK_FLEETS_ONE_NETWORK", "1")
    assert is_one_network()


def test_the_reason_of_a_lane_tells_it_where_the_engine_does_not() -> None:
    service, lanes = shared(near=Room(4), far=Room(4))
    unreachable = {("", "far"): barred()}
    plan = preview(limited(service, lanes, unreachable), now=NOW)
    near, far = marked(plan.lanes, unreachable)
    assert WHY not in near.reason
    assert far.reason == f"far has room for 4 more; {WHY}"
