"""Placing: which lane a replica gets, and the reason it is given."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import strategies as st

from dstack_placement.engine import (
    Action,
    Group,
    Lane,
    Part,
    Reason,
    Replica,
    ReplicaState,
    Room,
    Service,
    after_failure,
    next_actions,
    place,
    take_part,
)
from dstack_placement.engine.board import Rooms
from tests.builders.edited_states import edited
from tests.builders.placement_cases import cases, services
from tests.builders.placement_services import (
    BURST,
    NOW,
    PENDING,
    all_ready,
    carry_out,
    counts,
    replicas,
    service,
    where,
    without_moves,
)


def test_the_baseline_comes_before_the_overflow() -> None:
    plan = next_actions(service(BURST, 2, room={"reserved": 1}), now=NOW)
    assert where(plan) == {"new-0": "start reserved (baseline)", "new-1": "start spot (fallback)"}
    assert [row.why for row in plan.replicas] == [
        "baseline 1 of 1",
        "reserved has room for 1 more only",
    ]


def test_the_rest_goes_by_priority_up_to_the_maximum() -> None:
    lanes = (Lane("spot"), Lane("reserved", 1, 2, priority=10))
    plan = next_actions(service(lanes, 3), now=NOW)
    assert where(plan) == {
        "new-0": "start reserved (baseline)",
        "new-1": "start reserved (priority)",
        "new-2": "start spot (priority)",
    }
    assert plan.replicas[2].why == "reserved is at its maximum of 2"


def test_the_only_lane_is_not_called_the_first() -> None:
    (alone,) = next_actions(service((Lane("spot"),), 1), now=NOW).replicas
    (first,) = next_actions(service((Lane("spot"), Lane("far")), 1), now=NOW).replicas
    assert (alone.reason, alone.why) == (Reason.PRIORITY, "the only fleet")
    assert (first.reason, first.why) == (Reason.PRIORITY, "first by priority")


def test_all_minimums_are_filled_before_any_rest() -> None:
    lanes = (Lane("a", 1, priority=2), Lane("b", 1), Lane("c", 1, priority=1))
    plan = next_actions(service(lanes, 4), now=NOW)
    assert [row.to for row in plan.replicas] == ["a", "c", "b", "a"]


def test_a_minimum_that_falls_back_says_so_and_stays_visible() -> None:
    lanes = (Lane("reserved", 2, priority=10), Lane("spot"))
    cooldown = after_failure(None, now=NOW, started=NOW, cause="no capacity in us-east-1")
    state = replace(
        service(lanes, 3, "reserved"),
        cooldowns={("", "reserved"): cooldown},
    )
    plan = next_actions(state, now=NOW)
    line = "baseline 1 of 2: reserved is in cooldown until 14:05:30, no capacity in us-east-1"
    assert plan.lanes[0].reason == line
    assert plan.lanes[0].deficit == 1
    assert where(plan)["new-1"] == "start spot (fallback)"
    assert plan.replicas[1].why == line.replace("baseline 1", "baseline 2")
    assert plan.replicas[2].why == line.removeprefix("baseline 1 of 2: ")
    assert next_actions(carry_out(state, plan), now=NOW).lanes[0].deficit == 1


def test_a_lane_is_tried_again_when_it_has_cooled_down() -> None:
    cooldown = after_failure(None, now=NOW, started=NOW)
    state = replace(service(BURST, 1), cooldowns={("", "reserved"): cooldown})
    assert where(next_actions(state, now=NOW)) == {"new-0": "start spot (fallback)"}
    later = NOW + timedelta(seconds=60)
    assert where(next_actions(state, now=later)) == {"new-0": "start reserved (baseline)"}


def test_what_fits_nowhere_is_pending_and_says_why() -> None:
    lanes = (Lane("a", max_replicas=1), Lane("b"))
    plan = next_actions(service(lanes, 3, room={"b": Room(1, why="nodes.max is 1")}), now=NOW)
    last = plan.replicas[2]
    assert (last.action, last.reason) == (Action.PENDING, Reason.PENDING)
    assert last.why == "a is at its maximum of 1; b has room for 1 more only, nodes.max is 1"


def test_room_that_is_not_known_is_unlimited_and_said() -> None:
    plan = next_actions(service(BURST, 2, room={"reserved": 4}), now=NOW)
    assert plan.notes == ("The room in spot is not known and counts as unlimited.",)
    assert plan.lanes[1].room is None


def test_a_negative_room_is_none() -> None:
    plan = next_actions(service(BURST, 1, room={"reserved": -2}), now=NOW)
    assert where(plan) == {"new-0": "start spot (fallback)"}


def test_a_router_follows_the_priority_and_fills_no_minimum() -> None:
    lanes = (Lane("cpu", priority=1), Lane("gpu", 1))
    groups = (Group("router", 1, router=True), Group("worker", 1))
    plan = next_actions(Service(lanes, groups), now=NOW)
    assert where(plan) == {"new-0": "start cpu (priority)", "new-1": "start gpu (baseline)"}


def test_a_router_counts_towards_a_maximum() -> None:
    lanes = (Lane("a", max_replicas=2, priority=1), Lane("b"))
    groups = (Group("router", 1, router=True), Group("worker", 2))
    state = Service(lanes, groups, replicas("a", group="router"))
    assert [row.to for row in next_actions(state, now=NOW).replicas] == [None, "a", "b"]


def test_a_router_leaves_free_what_a_minimum_needs() -> None:
    lanes = (Lane("a", 1, priority=1), Lane("b"))
    groups = (Group("router", 1, router=True), Group("worker", 1))
    waiting = (*replicas("-", group="router"), *replicas("-", group="worker", first=1))
    state = Service(lanes, groups, waiting, {"a": Room(1)})
    assert place(state, "r0", now=NOW).fleet == "b"
    assert place(state, "r1", now=NOW).fleet == "a"


def test_a_router_goes_before_the_workers_that_follow_it() -> None:
    groups = (Group("worker", 2), Group("router", 1, router=True))
    waiting = (*replicas("- -", group="worker"), *replicas("-", group="router", first=2))
    state = Service((Lane("a", priority=1), Lane("b")), groups, waiting, {"a": Room(2)})
    assert [place(state, key, now=NOW).fleet for key in ("r0", "r1", "r2")] == ["a", "a", "a"]
    state = Service(state.lanes, groups, waiting, {"a": Room(1)})
    assert [place(state, key, now=NOW).fleet for key in ("r0", "r1", "r2")] == ["b", "b", "a"]
    assert next_actions(state, now=NOW).replicas[2].to == "a"


def test_lanes_of_a_group_replace_those_of_the_service() -> None:
    groups = (Group("prefill", 1, lanes=(Lane("h100", 1),)), Group("decode", 1), Group("aux", 1))
    plan = next_actions(Service((Lane("l4", 1),), groups), now=NOW)
    assert [row.to for row in plan.replicas] == ["h100", "l4", "l4"]
    assert [(lane.pool, lane.fleet) for lane in plan.lanes] == [("", "l4"), ("prefill", "h100")]


def test_pools_share_the_room_of_a_fleet_and_minimums_go_first() -> None:
    groups = (
        Group("prefill", 3, lanes=(Lane("h100"), Lane("l4"))),
        Group("decode", 1, lanes=(Lane("h100", 1), Lane("l4"))),
    )
    state = Service((), groups, rooms={"h100": Room(2)})
    assert [row.to for row in next_actions(state, now=NOW).replicas] == [
        "h100",
        "l4",
        "l4",
        "h100",
    ]


def test_one_pool_leaves_free_what_a_minimum_of_another_needs() -> None:
    groups = (
        Group("prefill", 1, lanes=(Lane("h100"), Lane("l4"))),
        Group("decode", 1, lanes=(Lane("h100", 1),)),
    )
    waiting = replicas("-", group="prefill")
    state = Service((), groups, waiting, {"h100": Room(1)})
    assert place(state, "r0", now=NOW).fleet == "l4"
    assert place(replace(state, rooms={"h100": Room(2)}), "r0", now=NOW).fleet == "h100"


def test_a_group_may_need_more_room_than_others() -> None:
    groups = (Group("large", 1), Group("small", 1))
    room = Room(4, more_of={"large": 0})
    plan = next_actions(Service((Lane("a", 1), Lane("b")), groups, rooms={"a": room}), now=NOW)
    assert where(plan) == {"new-0": "start b (fallback)", "new-1": "start a (baseline)"}


def started(parts: list[Part], *, kept: int = 0, **wanted: int) -> dict[str, int]:
    """How many replicas of each group start in a fleet of some parts."""
    room = Room.of_parts(parts, wanted, kept=kept)
    groups = tuple(Group(name, number) for name, number in wanted.items())
    plan = next_actions(Service((Lane("a"),), groups, rooms={"a": room}), now=NOW)
    return dict(Counter(row.replica.group for row in plan.replicas if row.to == "a"))


SMALL, LARGE = {"small": 1}, {"large": 1}


@pytest.mark.parametrize(
    ("parts", "wanted", "starts"),
    [
        # Each group has hosts of its own.
        ([Part(1, SMALL)] * 2 + [Part(1, LARGE)] * 2, {"small": 3, "large": 3},
         {"small": 2, "large": 2}),
        # One host is for both, and is filled first.
        ([Part(1, SMALL | LARGE), Part(1, SMALL)], {"large": 1, "small": 2},
         {"large": 1, "small": 1}),
        # Blocks: one that takes four leaves half as many for those that take one.
        ([Part(8, {"large": 4, "small": 1})], {"large": 1, "small": 8}, {"large": 1, "small": 4}),
        ([Part(8, {"small": 1, "large": 4})], {"small": 5, "large": 1}, {"small": 5}),
        # What `nodes` leaves is for any of them.
        ([Part(1, SMALL), Part(2, SMALL | LARGE)], {"small": 2, "large": 2},
         {"small": 2, "large": 1}),
        # Without a limit none of them has less for the other.
        ([Part(1, LARGE), Part(None, SMALL)], {"small": 5, "large": 2}, {"small": 5, "large": 1}),
    ],
)  # fmt: skip
def test_a_replica_takes_the_room_of_those_only_that_could_have_had_it(
    parts: list[Part], wanted: dict[str, int], starts: dict[str, int]
) -> None:
    assert started(parts, **wanted) == starts


def test_places_that_are_given_away_are_of_nobody_else() -> None:
    parts = [Part(1, SMALL)] * 2 + [Part(1, LARGE)] * 2
    assert started(parts, kept=1, small=3, large=3) == {"small": 1, "large": 1}


def test_it_says_what_other_groups_have_taken() -> None:
    room = Room.of_parts([Part(8, {"large": 4, "small": 1})], ("large", "small"), why="full")
    groups = (Group("large", 1), Group("small", 5))
    plan = next_actions(Service((Lane("a"),), groups, rooms={"a": room}), now=NOW)
    assert plan.replicas[-1].why == "a has room for 4 more only, other groups start there too, full"
    assert plan.lanes[0].room == 8


@cases(
    st.lists(
        st.builds(
            Part,
            st.integers(0, 8),
            st.dictionaries(st.sampled_from("xyz"), st.integers(1, 4), min_size=1),
        ),
        max_size=4,
    ),
    st.lists(st.sampled_from("xyz"), max_size=12),
)
def test_the_room_is_what_the_parts_still_hold(parts: list[Part], order: list[str]) -> None:
    room = Room.of_parts(parts, "xyz")
    board = Rooms(Service(rooms={"a": room}))
    left = list(parts)
    for group in order:
        assert board.fits("a", group) == any(part.holds(group) for part in left)
        if board.fits("a", group):
            board.take("a", group)
            assert take_part(left, group) is not None
        assert board.more("a") == sum(part.most for part in left)


def test_a_group_without_lanes_is_left_to_the_server() -> None:
    plan = next_actions(Service((), (Group("one", 2),)), now=NOW)
    assert not plan.replicas
    assert plan.notes == ("Group one has no lanes: the server's own rule places it.",)


def test_stopping_replicas_count_nowhere() -> None:
    lanes = (Lane("a", max_replicas=1),)
    plan = next_actions(service(lanes, 1, "a/stopping"), now=NOW)
    assert where(plan) == {"new-1": "start a (priority)"}
    assert plan.lanes[0].states == {ReplicaState.STOPPING: 1}


def test_the_one_that_asks_goes_first() -> None:
    state = service(BURST, 2, "- -", room={"reserved": 1})
    assert place(state, "r1", now=NOW).reason is Reason.BASELINE
    assert place(state, "r0", now=NOW).reason is Reason.BASELINE


def test_placing_a_replica_that_does_not_wait_is_an_error() -> None:
    with pytest.raises(LookupError, match="No replica r0 waits"):
        place(service(BURST, 1, "spot"), "r0", now=NOW)


@cases(services())
def test_nothing_falls_back_where_all_have_room(state: Service) -> None:
    roomy = replace(state, rooms={}, cooldowns={})
    rows = next_actions(roomy, now=NOW).replicas
    assert Reason.FALLBACK not in {row.reason for row in rows}
    for row in rows:
        if row.reason is not None and not row.new:
            assert place(roomy, row.replica.key, now=NOW).reason is not Reason.FALLBACK


@cases(services(), st.randoms(use_true_random=False))
def test_the_order_of_the_replicas_plays_no_part(state: Service, chance: random.Random) -> None:
    mixed = list(state.replicas)
    chance.shuffle(mixed)
    shuffled = replace(state, replicas=tuple(mixed))
    for rebalance in (False, True):
        assert next_actions(shuffled, now=NOW, rebalance=rebalance) == next_actions(
            state, now=NOW, rebalance=rebalance
        )


@cases(services())
def test_no_start_breaks_a_maximum_or_the_room(state: Service) -> None:
    plan = next_actions(state, now=NOW)
    starts = Counter(row.to for row in plan.replicas if row.to is not None)
    rolling = {r.group for r in state.replicas if r.out_of_date and r.state != "stopping"}
    for fleet, number in starts.items():
        room = state.rooms.get(fleet, Room()).more
        assert room is None or number <= room
    for lane in plan.lanes:
        here = sum(
            row.to == lane.fleet
            for row in plan.replicas
            if (row.replica.group if lane.pool else "") == lane.pool
            and (lane.pool or _shared(state, row.replica.group))
        )
        assert not (here and lane.until is not None)
        if lane.lane.max_replicas is not None and here and not rolling:
            assert lane.after <= lane.lane.max_replicas or lane.placed > lane.lane.max_replicas


def test_nothing_takes_the_place_of_what_stays_until_its_relief_is_ready() -> None:
    state = Service(
        lanes=(Lane("a", max_replicas=1), Lane("b"), Lane("d", min_replicas=1)),
        groups=(Group("one", 1), Group("two", 1)),
        replicas=(
            Replica("r0", 0, "two", ReplicaState.STARTING, "d"),
            Replica("r1", 1, "two", ReplicaState.READY, "a"),
        ),
    )
    plan = next_actions(state, now=NOW)
    assert {row.replica.key: (row.action, row.to) for row in plan.replicas} == {
        "new-2": (Action.START, "b"),
        "r0": (Action.STAY, None),
        "r1": (Action.STAY, None),
    }
    assert [lane.after for lane in plan.lanes] == [1, 1, 1]


def _shared(state: Service, group: str) -> bool:
    return any(g.name == group and g.lanes is None for g in state.groups)


@cases(services(), st.randoms(use_true_random=False))
def test_one_by_one_in_any_order_ends_where_all_at_once_ends(
    state: Service, chance: random.Random
) -> None:
    groups = tuple(replace(group, lanes=None) for group in state.groups)
    there = [replace(r, out_of_date=False) for r in all_ready(state).replicas]
    new = [
        Replica(f"x{group.name}{n}", 100 + n, group.name, PENDING)
        for group in groups
        for n in range(group.wanted - sum(r.group == group.name for r in there))
    ]
    there += new
    wanted = {group.name: sum(r.group == group.name for r in there) for group in groups}
    state = edited(replace(state, replicas=tuple(there), groups=groups), wanted=wanted)
    at_once = counts(carry_out(state, without_moves(next_actions(state, now=NOW))))
    waiting = [r.key for r in state.replicas if r.fleet is None]
    chance.shuffle(waiting)
    for key in waiting:
        fleet = place(state, key, now=NOW).fleet
        if fleet is None:
            continue
        room = state.rooms.get(fleet, Room())
        state = replace(
            state,
            replicas=tuple(replace(r, fleet=fleet) if r.key == key else r for r in state.replicas),
            rooms={**state.rooms, fleet: Room(None if room.more is None else room.more - 1)},
        )
    assert counts(state) == at_once


@cases(services(several=False), st.integers(0, 6), st.integers(0, 6))
def test_two_steps_up_reach_what_one_reaches(state: Service, first: int, second: int) -> None:
    active = len([r for r in state.replicas if r.state is not ReplicaState.STOPPING])

    def scaled(now: Service, wanted: int) -> Service:
        now = edited(now, wanted={"one": wanted})
        return carry_out(now, without_moves(next_actions(now, now=NOW)))

    two = scaled(scaled(state, active + first), active + first + second)
    assert counts(two) == counts(scaled(state, active + first + second))
