"""Moving: what makes a running replica change its fleet, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_placement.engine import (
    Action,
    Group,
    Lane,
    ReplicaState,
    Service,
    after_failure,
    next_actions,
    preview,
)
from tests.builders.edited_states import edited
from tests.builders.placement_cases import cases, lane_lists, services
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


def test_recovered_capacity_makes_good_a_minimum() -> None:
    state = service(BURST, 2, "spot spot", room={"reserved": 1})
    plan = next_actions(state, now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "move reserved"}
    assert plan.replicas[1].why == "restores the minimum of reserved"
    assert plan.lanes[0].reason == "baseline 0 of 1: 1 more to come"


def test_the_new_replica_is_ready_before_the_old_one_stops() -> None:
    begun = carry_out(state := service(BURST, 2, "spot spot"), next_actions(state, now=NOW))
    assert where(next_actions(begun, now=NOW)) == {"r0": "stay", "r1": "stay", "r2": "stay"}
    ready = all_ready(begun)
    assert where(next_actions(ready, now=NOW)) == {"r0": "stay", "r1": "stop", "r2": "stay"}


def test_a_move_whose_start_failed_is_given_up() -> None:
    begun = service(BURST, 2, "spot spot -")
    cooldown = after_failure(None, now=NOW, started=NOW)
    begun = replace(begun, cooldowns={("", "reserved"): cooldown})
    plan = next_actions(begun, now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "stay", "r2": "stop"}
    assert not next_actions(carry_out(begun, plan), now=NOW).doing(Action.MOVE)


def test_one_moves_at_a_time() -> None:
    lanes = (Lane("reserved", 3, priority=10), Lane("spot"))
    plan = next_actions(service(lanes, 4, "spot spot spot spot"), now=NOW)
    assert len(plan.doing(Action.MOVE)) == 1


def test_nothing_moves_while_anything_starts_or_stops() -> None:
    assert not next_actions(service(BURST, 3, "spot spot"), now=NOW).doing(Action.MOVE)
    state = service((Lane("reserved", 2, priority=1), Lane("spot")), 2, "spot spot spot")
    assert not next_actions(state, now=NOW).doing(Action.MOVE)


@pytest.mark.parametrize(
    "under_way",
    ["spot/starting", "spot/pending", "spot spot/stopping"],
    ids=["one starts", "one was given a lane", "one stops"],
)
@pytest.mark.parametrize("rebalance", [False, True])
def test_nothing_moves_while_anything_is_under_way(under_way: str, rebalance: bool) -> None:
    state = service(BURST, 2, f"spot {under_way}", room={"reserved": 1})
    plan = next_actions(state, now=NOW, rebalance=rebalance)
    assert {row.action for row in plan.replicas} == {Action.STAY}
    assert plan.lanes[0].deficit == 1
    assert preview(state, now=NOW).doing(Action.MOVE), "a preview looks to the end"
    settled = next_actions(all_ready(state), now=NOW, rebalance=rebalance)
    assert len(settled.doing(Action.MOVE)) == 1


def test_a_replica_that_runs_without_traffic_holds_no_move_up() -> None:
    state = service(BURST, 2, "spot spot/running", room={"reserved": 1})
    assert where(next_actions(state, now=NOW)) == {"r0": "stay", "r1": "move reserved"}


@cases(services(placed=True), most=60)
def test_a_move_is_all_that_is_done(state: Service) -> None:
    plan = next_actions(state, now=NOW, rebalance=True)
    if plan.doing(Action.MOVE):
        under_way = {ReplicaState.STARTING, ReplicaState.STOPPING}
        assert not any(replica.state in under_way for replica in state.replicas)
        assert len(plan.doing(Action.MOVE)) == 1
        assert not plan.doing(Action.START)
        assert not plan.doing(Action.STOP)


def test_a_lowered_maximum_moves_what_is_above_it() -> None:
    lanes = (Lane("reserved", max_replicas=1, priority=10), Lane("spot"))
    state = service(lanes, 3, "reserved reserved reserved")
    plan = next_actions(state, now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "stay", "r2": "move spot"}
    assert plan.replicas[2].why == "reserved has 3 of at most 1"
    assert plan.lanes[0].reason == "3 of at most 1"
    assert counts(settle(state)) == {"reserved": 1, "spot": 2}


def test_a_removed_lane_is_left() -> None:
    state = service(BURST, 2, "gone gone")
    plan = next_actions(state, now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "move reserved"}
    assert plan.replicas[1].why == "gone is not a lane of the service"
    assert counts(settle(state)) == {"reserved": 2}


def test_a_mere_change_of_priority_moves_nothing() -> None:
    lanes = (Lane("reserved", priority=1), Lane("spot", priority=9))
    assert not next_actions(service(lanes, 3, "reserved reserved spot"), now=NOW).doing(Action.MOVE)


def test_rebalance_moves_towards_the_priorities() -> None:
    lanes = (Lane("reserved", 1, priority=1), Lane("spot", priority=9))
    state = service(lanes, 3, "reserved reserved spot")
    plan = next_actions(state, now=NOW, rebalance=True)
    assert where(plan) == {"r0": "stay", "r1": "move spot", "r2": "stay"}
    assert plan.replicas[1].why == "spot goes before reserved"
    assert counts(settle(state, rebalance=True)) == {"reserved": 1, "spot": 2}


def test_no_minimum_gives_to_another() -> None:
    lanes = (Lane("a", 2, priority=1), Lane("b", 2))
    state = service(lanes, 2, "b b")
    assert not next_actions(state, now=NOW).doing(Action.MOVE)
    line = "baseline 0 of 2: only 2 desired"
    assert next_actions(state, now=NOW).lanes[0].reason == line


@pytest.mark.parametrize("cause", ["", "no capacity"])
def test_nothing_moves_into_a_lane_that_cools_down(cause: str) -> None:
    cooldown = after_failure(None, now=NOW, started=NOW, cause=cause)
    state = replace(service(BURST, 2, "spot spot"), cooldowns={("", "reserved"): cooldown})
    plan = next_actions(state, now=NOW)
    assert not plan.doing(Action.MOVE)
    tail = f", {cause}" if cause else ""
    assert plan.lanes[0].reason == f"baseline 0 of 1: reserved is in cooldown until 14:05:30{tail}"


def test_a_router_stays_where_it_is() -> None:
    groups = (Group("router", 1, router=True), Group("worker", 1))
    now = (*replicas("spot", group="router"), *replicas("reserved", group="worker", first=1))
    lanes = (Lane("reserved", 1, priority=1), Lane("spot", max_replicas=0))
    state = Service(lanes, groups, now)
    assert where(next_actions(state, now=NOW, rebalance=True)) == {"r0": "stay", "r1": "stay"}


@cases(services(placed=True))
def test_it_comes_to_rest_without_a_minimum_short_beside_a_surplus(state: Service) -> None:
    rested = settle(state)
    plan = next_actions(rested, now=NOW)
    for pool in {lane.pool for lane in plan.lanes}:
        lanes = [lane for lane in plan.lanes if lane.pool == pool]
        groups = [g for g in state.groups if (g.name if g.lanes else "") == pool]
        workers = {g.name for g in groups if not g.router}

        def here(fleet: str, names: set[str] = workers) -> int:
            return sum(r.group in names and r.fleet == fleet for r in rested.replicas)

        open_and_short = [
            lane
            for lane in lanes
            if here(lane.fleet) < lane.lane.min_replicas
            and lane.until is None
            and lane.room != 0
            and (lane.lane.max_replicas is None or lane.placed < lane.lane.max_replicas)
        ]
        spare = [lane for lane in lanes if here(lane.fleet) > lane.lane.min_replicas]
        assert not (open_and_short and spare)


@cases(services(several=False, placed=True), most=60)
def test_a_rebalance_reaches_the_targets(state: Service) -> None:
    rested = settle(state, rebalance=True)
    for lane in next_actions(rested, now=NOW).lanes:
        full = lane.lane.max_replicas is not None and lane.placed > lane.lane.max_replicas
        assert lane.placed == lane.target or full


@cases(services(several=False, placed=True, cooling=False), lane_lists(least=4))
def test_only_priorities_changed_moves_nothing(state: Service, order: tuple[Lane, ...]) -> None:
    rested = settle(state)
    priority = {lane.fleet: lane.priority for lane in order}
    changed = tuple(replace(lane, priority=priority[lane.fleet]) for lane in rested.lanes)
    assert not next_actions(edited(rested, lanes=changed), now=NOW).doing(Action.MOVE)


@cases(services(several=False, placed=True))
def test_fewer_are_never_ready_than_wanted_or_there_were(state: Service) -> None:
    def ready(now: Service) -> int:
        return sum(r.state is ReplicaState.READY for r in now.replicas)

    floor = min(ready(state), state.groups[0].wanted)

    def watch(now: Service) -> None:
        assert ready(now) >= floor
        assert len(now.replicas) <= max(len(state.replicas), now.groups[0].wanted) + 1

    settle(state, watch=watch)


@cases(services(placed=True), most=60)
def test_a_preview_says_where_all_ends(state: Service) -> None:
    foreseen = {(lane.pool, lane.fleet): lane.after for lane in preview(state, now=NOW).lanes}
    rested = next_actions(settle(state), now=NOW)
    assert {(lane.pool, lane.fleet): lane.placed for lane in rested.lanes} == foreseen
