"""Stopping: who goes when there are more replicas than wanted, or out-of-date ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st

from dstack_placement.engine import (
    Action,
    Group,
    Lane,
    Reason,
    Replica,
    ReplicaState,
    Room,
    Service,
    next_actions,
    place,
    stopping_order,
)
from tests.builders.edited_states import edited
from tests.builders.placement_cases import cases, services
from tests.builders.placement_services import (
    BURST,
    NOW,
    PENDING,
    READY,
    all_ready,
    carry_out,
    counts,
    replicas,
    service,
    settle,
    where,
    without_moves,
)


def order(state: Service, group: str = "0") -> list[str]:
    return [replica.key for replica in stopping_order(state, group, now=NOW)]


def stopped(state: Service) -> list[str]:
    return [row.replica.key for row in next_actions(state, now=NOW).doing(Action.STOP)]


def test_the_lowest_priority_above_its_minimum_goes_first() -> None:
    lanes = (Lane("spot", 1), Lane("reserved", 1, priority=10), Lane("other", priority=5))
    state = service(lanes, 5, "spot spot reserved reserved other")
    assert order(state) == ["r1", "r4", "r3", "r0", "r2"]


def test_equal_priorities_go_from_the_end_of_the_list() -> None:
    assert order(service((Lane("a"), Lane("b")), 2, "a b")) == ["r1", "r0"]


def test_inside_a_lane_the_servers_order_holds() -> None:
    lanes = (Lane("a"),)
    words = "a a/starting a/running a/pending a a/starting"
    assert order(service(lanes, 6, words)) == ["r3", "r5", "r1", "r2", "r4", "r0"]


def test_those_without_a_lane_go_before_all() -> None:
    assert order(service(BURST, 3, "spot - spot")) == ["r1", "r2", "r0"]


def test_fleets_that_are_no_lane_any_more_go_before_lanes() -> None:
    assert order(service(BURST, 3, "gone spot reserved")) == ["r0", "r1", "r2"]


def test_a_lane_above_its_maximum_goes_before_lower_priorities() -> None:
    lanes = (Lane("reserved", max_replicas=1, priority=10), Lane("spot"))
    assert order(service(lanes, 3, "reserved reserved spot")) == ["r1", "r2", "r0"]


def test_a_minimum_is_kept_while_another_lane_has_a_surplus() -> None:
    lanes = (Lane("spot", 2), Lane("reserved", priority=10))
    state = service(lanes, 2, "spot spot reserved reserved")
    assert stopped(state) == ["r2", "r3"]


def test_scaling_below_the_minimums_breaks_the_lowest_priority_first() -> None:
    lanes = (Lane("spot", 1), Lane("reserved", 1, priority=10))
    plan = next_actions(service(lanes, 1, "spot reserved"), now=NOW)
    assert where(plan) == {"r0": "stop", "r1": "stay"}
    assert plan.replicas[0].why == "2 replicas, 1 desired"


def test_a_group_scales_down_its_own_replicas_on_shared_lanes() -> None:
    groups = (Group("one", 1), Group("two", 2))
    now = (*replicas("reserved spot", group="one"), *replicas("spot spot", group="two", first=2))
    assert stopped(Service(BURST, groups, now)) == ["r1"]


def test_a_router_goes_from_the_lowest_priority_though_it_holds_no_minimum() -> None:
    groups = (Group("router", 1, router=True), Group("worker", 2))
    workers = replicas("spot reserved", group="worker", first=2)
    now = (*replicas("reserved spot", group="router"), *workers)
    lanes = (Lane("reserved", priority=1), Lane("spot", 1))
    assert stopped(Service(lanes, groups, now)) == ["r1"]


def test_the_last_ready_one_stays_until_as_many_as_wanted_are_ready() -> None:
    state = service(BURST, 2, "reserved/starting spot spot")
    plan = next_actions(state, now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "stay", "r2": "stay"}
    assert plan.replicas[2].why == "stops when as many as desired are ready"
    assert stopped(all_ready(state)) == ["r2"]


def test_of_a_larger_surplus_one_stays_at_most() -> None:
    state = service(BURST, 1, "reserved/starting spot spot spot")
    assert stopped(state) == ["r2", "r3"]


def test_replicas_of_a_group_that_is_gone_stop() -> None:
    state = Service(BURST, (Group("one", 0),), replicas("spot", group="two"))
    plan = next_actions(state, now=NOW)
    assert plan.replicas[0].why == "group two is not in the service any more"
    assert where(plan) == {"r0": "stop"}


def test_who_goes_first_needs_lanes() -> None:
    with pytest.raises(LookupError, match="Group x has no lanes"):
        order(service(BURST, 1), "x")


def test_groups_that_scale_down_together_leave_each_other_what_minimums_need() -> None:
    lanes = (Lane("a", 1), Lane("b", priority=1))
    groups = (Group("one", 1), Group("two", 0))
    now = (*replicas("a b", group="one"), *replicas("a", group="two", first=2))
    assert stopped(Service(lanes, groups, now)) == ["r1", "r2"]


# Rolling deployments


def test_a_rolling_deployment_is_neither_scaled_nor_moved() -> None:
    plan = next_actions(service(BURST, 1, "spot/old spot"), now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "stay"}
    assert plan.notes[-1].startswith("Group 0 is in a rolling deployment")


def test_out_of_date_goes_first_and_without_traffic_before_all() -> None:
    words = "reserved/old spot/old spot spot/starting/old"
    assert order(service(BURST, 4, words)) == ["r3", "r0", "r1", "r2"]


def test_the_extra_replica_goes_where_one_is_about_to_leave_a_minimum() -> None:
    lanes = (Lane("spot", priority=10), Lane("reserved", 1))
    state = service(lanes, 1, "reserved/old -")
    placed = place(state, "r1", now=NOW)
    assert (placed.fleet, placed.why) == ("reserved", "baseline 1 of 1")


@pytest.mark.parametrize("least", [0, 1])
def test_the_extra_replica_stays_below_the_maximum_where_it_can(least: int) -> None:
    lanes = (Lane("reserved", least, max_replicas=1, priority=10), Lane("spot"))
    placed = place(service(lanes, 1, "reserved/old -"), "r1", now=NOW)
    assert (placed.fleet, placed.reason) == ("spot", Reason.PRIORITY)


def test_the_extra_replica_may_exceed_a_maximum_where_it_could_not_start_at_all() -> None:
    lanes = (Lane("reserved", 1, 1), Lane("spot", max_replicas=1))
    state = service(lanes, 2, "reserved/old spot/old -")
    placed = place(state, "r2", now=NOW)
    assert (placed.fleet, placed.reason) == ("reserved", Reason.PRIORITY)
    dry = replace(state, rooms={"spot": Room(0)}, lanes=(lanes[0], Lane("spot", max_replicas=2)))
    assert place(dry, "r2", now=NOW).reason is Reason.FALLBACK
    full = replace(state, rooms={"reserved": Room(0), "spot": Room(0)})
    assert place(full, "r2", now=NOW).fleet is None
    assert place(edited(state, wanted={"0": 3}), "r2", now=NOW).fleet is None


def test_a_maximum_is_exceeded_by_one_at_most() -> None:
    state = service((Lane("a", max_replicas=1),), 2, "a/old a/starting -")
    assert place(state, "r2", now=NOW).fleet is None


def roll_out(state: Service) -> Service:
    """A rolling deployment as the server does it: one more, ready, then the first to go stops."""
    old = [replace(replica, out_of_date=True) for replica in state.replicas]
    state = replace(state, replicas=tuple(old))
    number = 100
    while any(replica.out_of_date for replica in state.replicas):
        number += 1
        new = Replica(f"r{number}", number, "0", PENDING)
        state = replace(state, replicas=(*state.replicas, new))
        to = place(state, new.key, now=NOW).fleet
        assert to is not None
        goes = stopping_order(state, "0", now=NOW)[0]
        assert goes.out_of_date
        left = [r for r in state.replicas if r.key not in (new.key, goes.key)]
        rooms = dict(state.rooms)
        for fleet, change in ((to, -1), (goes.fleet, 1)):
            if fleet in rooms and rooms[fleet].more is not None:
                rooms[fleet] = Room((rooms[fleet].more or 0) + change)
        placed = replace(new, fleet=to, state=READY)
        state = replace(state, replicas=(*left, placed), rooms=rooms)
    return state


@pytest.mark.parametrize(
    ("lanes", "now", "room"),
    [
        (BURST, "reserved spot", {"reserved": 0}),
        (BURST, "reserved reserved spot spot", {"reserved": 0, "spot": 1}),
        ((Lane("a", 1, 2, priority=1), Lane("b", 1)), "a a b b", {}),
        ((Lane("a", priority=1), Lane("b", 2)), "a b b", {"a": 0}),
        ((Lane("a", 2, 2),), "a a", {}),
    ],
)
def test_a_rolling_deployment_ends_on_the_lanes_it_began_on(
    lanes: tuple[Lane, ...], now: str, room: dict[str, int | Room | None]
) -> None:
    state = service(lanes, len(now.split()), now, room=room)
    assert counts(roll_out(state)) == counts(state)


@cases(services(several=False), st.integers(0, 4), st.integers(0, 4))
def test_two_steps_down_reach_what_one_reaches(state: Service, first: int, second: int) -> None:
    def scaled(now: Service, wanted: int) -> Service:
        return carry_out(
            now, without_moves(next_actions(edited(now, wanted={"one": wanted}), now=NOW))
        )

    state = all_ready(state)
    placed = tuple(r for r in state.replicas if r.fleet is not None)
    state = replace(state, replicas=placed)
    half, least = max(0, len(placed) - first), max(0, len(placed) - first - second)
    assert counts(scaled(scaled(state, half), least)) == counts(scaled(state, least))


@cases(services(several=False, cooling=False), st.integers(0, 8), st.integers(0, 8))
def test_up_and_down_again_returns_the_targets_and_the_replicas(
    state: Service, wanted: int, more: int
) -> None:
    empty = edited(replace(state, replicas=()), wanted={"one": wanted})
    there = settle(empty)
    if len(there.replicas) < wanted:
        more = 0  # what is pending already stays so

    def target(now: Service) -> list[int]:
        return [lane.target for lane in next_actions(now, now=NOW).lanes]

    up = settle(edited(there, wanted={"one": wanted + more}))
    back = settle(edited(up, wanted={"one": wanted}))
    assert counts(back) == counts(there)
    freed = replace(back, rooms=there.rooms)
    assert target(freed) == target(there)


@cases(services(placed=True, cooling=False), st.integers(0, 6))
def test_no_stop_breaks_a_minimum_while_the_group_has_a_surplus_elsewhere(
    state: Service, wanted: int
) -> None:
    scaled = state.groups[0].name
    there = {g.name: sum(r.group == g.name for r in state.replicas) for g in state.groups}
    state = edited(state, wanted={**there, scaled: wanted})
    plan = next_actions(state, now=NOW)
    for lane in plan.lanes:
        groups = {g.name for g in state.groups if (g.name if g.lanes else "") == lane.pool}
        workers = {g.name for g in state.groups if g.name in groups and not g.router}
        gone = [
            row.replica
            for row in plan.doing(Action.STOP)
            if row.replica.group in workers and row.replica.fleet == lane.fleet
        ]
        here = [r for r in state.replicas if r.group in workers and r.fleet == lane.fleet]
        if len(here) - len(gone) >= lane.lane.min_replicas or not gone:
            continue
        for other in plan.lanes:
            if other.pool != lane.pool or other.fleet == lane.fleet:
                continue
            left = [
                r
                for r in state.replicas
                if r.group in workers
                and r.fleet == other.fleet
                and r.key not in {row.replica.key for row in plan.doing(Action.STOP)}
            ]
            same = [r for r in left if any(r.group == g.group for g in gone)]
            assert len(left) <= other.lane.min_replicas or not same or _held(plan, same)


def _held(plan, same: list[Replica]) -> bool:
    kept = {row.replica.key for row in plan.replicas if row.why.startswith("stops when")}
    return any(replica.key in kept for replica in same) or all(
        replica.state is not ReplicaState.READY for replica in same
    )
