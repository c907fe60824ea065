"""Draining: replicas that move away from instances that are taken out of service."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from dstack_placement.engine import (
    Group,
    Lane,
    Replica,
    ReplicaState,
    Room,
    Service,
    depends_on_rooms,
    next_actions,
    preview,
    stopping_order,
)
from tests.builders.placement_cases import cases, services
from tests.builders.placement_services import (
    BURST,
    NOW,
    all_ready,
    carry_out,
    counts,
    replicas,
    service,
    settle,
    where,
)


def draining(state: Service, *keys: str) -> Service:
    """The service with replicas on an instance that is drained."""
    marked = tuple(
        replace(replica, leaves=True) if replica.key in keys else replica
        for replica in state.replicas
    )
    return replace(state, replicas=marked)


def test_a_replica_leaves_for_another_instance_of_its_fleet_first() -> None:
    state = draining(service(BURST, 2, "reserved spot", room={"reserved": 1}), "r0")
    plan = next_actions(state, now=NOW)
    assert where(plan) == {"r0": "move reserved", "r1": "stay"}
    assert plan.replicas[0].why == "its instance is drained"
    assert counts(settle(state)) == {"reserved": 1, "spot": 1}


def test_it_leaves_for_the_next_lane_where_its_own_has_no_room() -> None:
    state = draining(service(BURST, 2, "reserved spot", room={"reserved": 0}), "r0")
    assert where(next_actions(state, now=NOW)) == {"r0": "move spot", "r1": "stay"}
    rested = settle(state)
    assert counts(rested) == {"spot": 2}
    assert [replica.key for replica in rested.replicas] == ["r1", "r2"]


def test_a_lane_at_its_maximum_takes_the_relief_of_its_own_replica() -> None:
    lanes = (Lane("a", max_replicas=2),)
    state = draining(service(lanes, 2, "a a", room={"a": 1}), "r0")
    assert where(next_actions(state, now=NOW)) == {"r0": "move a", "r1": "stay"}
    assert [replica.key for replica in settle(state).replicas] == ["r1", "r2"]


def test_the_new_one_is_ready_before_the_drained_one_stops() -> None:
    state = draining(service(BURST, 2, "reserved spot", room={"reserved": 0}), "r0")
    begun = carry_out(state, next_actions(state, now=NOW))
    assert where(next_actions(begun, now=NOW)) == {"r0": "stay", "r1": "stay", "r2": "stay"}
    ready = all_ready(begun)
    assert where(next_actions(ready, now=NOW)) == {"r0": "stop", "r1": "stay", "r2": "stay"}


def test_what_stays_says_why() -> None:
    groups = (Group("router", 1, router=True), Group("worker", 2))
    now = (
        *replicas("a", group="router"),
        *replicas("a a/old", group="worker", first=1),
    )
    state = draining(Service((Lane("a"),), groups, now, {"a": Room(0, why="full")}), "r0", "r1")
    said = {row.replica.key: row.why for row in preview(state, now=NOW).replicas}
    assert said["r0"] == "a router stays where it is"
    assert said["r1"] == "the rolling deployment goes first"
    full = draining(service((Lane("a"),), 1, "a", room={"a": Room(0, why="full")}), "r0")
    assert preview(full, now=NOW).replicas[0].why == "a has no room, full"


def test_scaling_down_stops_the_drained_one() -> None:
    state = draining(service(BURST, 2, "reserved spot spot"), "r1")
    assert where(next_actions(state, now=NOW)) == {"r0": "stay", "r1": "stop", "r2": "stay"}
    order = stopping_order(state, "0", now=NOW)
    assert order[0].key == "r1"


def test_a_drain_that_is_cancelled_leaves_what_was_started_to_the_rules() -> None:
    state = draining(service(BURST, 2, "reserved spot", room={"reserved": 0}), "r0")
    begun = all_ready(carry_out(state, next_actions(state, now=NOW)))
    cancelled = replace(
        begun, replicas=tuple(replace(each, leaves=False) for each in begun.replicas)
    )
    assert counts(settle(cancelled)) == {"reserved": 1, "spot": 1}


def test_a_drain_depends_on_rooms() -> None:
    state = service((Lane("a"), Lane("b")), 2, "a a")
    assert not depends_on_rooms(state)
    assert depends_on_rooms(draining(state, "r0"))


def _workers(state: Service) -> dict[str, Replica]:
    routers = {group.name for group in state.groups if group.router}
    return {each.key: each for each in state.replicas if each.group not in routers}


@cases(services(placed=True), st.sets(st.integers(0, 20)))
def test_cordoned_capacity_is_never_used_and_a_drain_ends(
    state: Service, drained: set[int]
) -> None:
    """A drained replica's fleet has no room of its own; the rest is any service."""
    left = {f"r{number}" for number in drained} & _workers(state).keys()
    cordoned = {each.fleet for each in state.replicas if each.key in left and each.fleet}
    rooms = {**state.rooms, **{fleet: Room(0, why="cordoned") for fleet in cordoned}}
    state = draining(replace(state, rooms=rooms), *left)
    here = {each.key for each in state.replicas}
    ready = {
        group.name: min(group.wanted, sum(r.group == group.name for r in state.replicas))
        for group in state.groups
    }

    def watch(now: Service) -> None:
        new = [each for each in now.replicas if each.key not in here]
        assert not cordoned & {each.fleet for each in new}
        for name, least in ready.items():
            count = sum(r.group == name and r.state is ReplicaState.READY for r in now.replicas)
            assert count >= least

    rested = settle(state, watch=watch)
    plan = preview(rested, now=NOW)
    stay = [row for row in plan.replicas if row.replica.leaves]
    assert all(row.why for row in stay), stay
