"""Plans: previews of edits, what lanes report, and the lines people read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import strategies as st

from dstack_placement.engine import (
    Action,
    Cause,
    Code,
    Group,
    Lane,
    LaneWhy,
    Part,
    Replica,
    ReplicaState,
    Room,
    Service,
    after_failure,
    depends_on_rooms,
    next_actions,
    preview,
)
from tests.builders.edited_states import edited
from tests.builders.placement_cases import cases, rooms, services
from tests.builders.placement_services import BURST, NOW, replicas, service, where


def test_an_edit_is_previewed_to_its_end() -> None:
    state = service(BURST, 3, "reserved spot spot", room={"reserved": 2, "spot": 1})
    lanes = (Lane("reserved", 3, priority=10), Lane("spot", max_replicas=1))
    plan = preview(edited(state, lanes=lanes, wanted={"0": 5}), now=NOW)
    assert where(plan) == {
        "r0": "stay",
        "r1": "stay",
        "r2": "stay",
        "new-3": "start reserved (baseline)",
        "new-4": "start reserved (baseline)",
    }
    assert plan.lanes[1].reason == "2 of at most 1"
    plan = preview(edited(state, lanes=lanes), now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "move reserved", "r2": "move reserved"}
    assert [(lane.fleet, lane.placed, lane.after) for lane in plan.lanes] == [
        ("reserved", 1, 3),
        ("spot", 2, 0),
    ]


def test_a_preview_changes_nothing_that_it_was_given() -> None:
    state = service(BURST, 1, "spot spot", room={"reserved": 1})
    copy = replace(state)
    preview(edited(state, wanted={"0": 3}), now=NOW)
    assert state == copy


def test_a_preview_stops_what_waits_for_its_relief() -> None:
    state = service(BURST, 1, "reserved/starting spot")
    assert where(preview(state, now=NOW)) == {"r0": "stay", "r1": "stop"}
    assert where(next_actions(state, now=NOW)) == {"r0": "stay", "r1": "stay"}


def test_group_lanes_can_be_edited_and_taken_away() -> None:
    groups = (Group("one", 1, lanes=(Lane("a", 1),)),)
    state = Service((Lane("b", 1),), groups, replicas("a", group="one"))
    assert where(preview(state, now=NOW)) == {"r0": "stay"}
    assert where(preview(edited(state, group_lanes={"one": None}), now=NOW)) == {"r0": "move b"}
    new = edited(state, group_lanes={"one": (Lane("c"),)})
    assert where(preview(new, now=NOW)) == {"r0": "move c"}


def test_lanes_report_what_is_in_them() -> None:
    words = "reserved reserved/starting reserved/stopping reserved/running spot"
    plan = next_actions(service(BURST, 4, words, room={"spot": 3}), now=NOW)
    first, second = plan.lanes
    assert first.states == {
        ReplicaState.READY: 1,
        ReplicaState.STARTING: 1,
        ReplicaState.RUNNING: 1,
        ReplicaState.STOPPING: 1,
    }
    assert (first.placed, first.target, first.room, first.until) == (3, 4, None, None)
    assert (second.placed, second.target, second.room) == (1, 0, 3)


@pytest.mark.parametrize(
    ("lane", "wanted", "now", "room", "line"),
    [
        (Lane("a"), 1, "a", 2, "a has room for 2 more"),
        (Lane("a"), 2, "a", 2, "a has room for 2 more; 1 more to come"),
        (Lane("a"), 1, "a", None, "the room in a is not known and counts as unlimited"),
        (Lane("a", 1), 1, "a", 0, "baseline 1 of 1; a has no room"),
        (Lane("a", 0, 1), 1, "a", 4, "a is at its maximum of 1"),
        (Lane("a", 2), 1, "a", 4, "baseline 1 of 2: only 1 desired"),
        (Lane("a", 2), 2, "a", 4, "baseline 1 of 2: 1 more to come"),
        (Lane("a", 2), 2, "a/old b", 4, "baseline 1 of 2: the rolling deployment goes first"),
        (Lane("a", 2), 2, "a", 0, "baseline 1 of 2: a has no room"),
        (Lane("a", 1), 1, "a/starting", 0, "baseline 0 of 1: being restored, 1 starting"),
        (Lane("a", 1), 1, "a/pending", 0, "baseline 0 of 1: being restored, 1 starting"),
        (Lane("a", 2), 2, "a a/starting", 3, "baseline 1 of 2: being restored, 1 starting"),
        (Lane("a", 2), 3, "a a/starting", 3,
         "baseline 1 of 2: being restored, 1 starting; 1 more to come"),
        (Lane("a", 3), 3, "a a/starting", 0,
         "baseline 2 of 3: being restored, 1 starting; a has no room"),
        (Lane("a", 1), 2, "a a/starting", 0, "baseline 1 of 1; a has no room"),
        (Lane("a", 1), 1, "a/running", 0, "baseline 1 of 1; a has no room"),
    ],
)  # fmt: skip
def test_the_line_of_a_lane(lane: Lane, wanted: int, now: str, room: int | None, line: str) -> None:
    plan = next_actions(service((lane,), wanted, now, room={"a": room}), now=NOW)
    assert plan.lanes[0].reason == line


def test_a_fleet_without_a_maximum_has_no_limit_and_is_no_riddle() -> None:
    state = service((Lane("a"),), 2, "a")
    known = Room.of_parts([Part(None, {"": 1})], [""])
    (line,), notes = _told(replace(state, rooms={"a": known}))
    assert (line, notes) == ("a has no limit; 1 more to come", ())
    both = Room.of_parts([Part(None, {"": 1})], ["", "odd"], unknown={"odd"})
    (line,), notes = _told(replace(state, rooms={"a": both}))
    assert "is not known" in line
    assert len(notes) == 1


def _told(state: Service) -> tuple[list[str], tuple[str, ...]]:
    plan = next_actions(state, now=NOW)
    return [lane.reason for lane in plan.lanes], plan.notes


@pytest.mark.parametrize(
    ("lane", "wanted", "now", "room", "why"),
    [
        (Lane("a"), 1, "a", 2, LaneWhy(Code.HAS_ROOM, 0, 0, (Cause(Code.HAS_ROOM, "a", 2),))),
        (Lane("a"), 1, "a", 0,
         LaneWhy(Code.FULL, 0, 0, (Cause(Code.FULL, "a", detail="it is gone"),))),
        (Lane("a", 0, 1), 1, "a", 4,
         LaneWhy(Code.AT_MAXIMUM, 0, 0, (Cause(Code.AT_MAXIMUM, "a", 1),))),
        (Lane("a", 0, 1), 2, "a a", 4,
         LaneWhy(Code.ABOVE_MAXIMUM, 0, 0, (Cause(Code.ABOVE_MAXIMUM, number=2, limit=1),))),
        (Lane("a", 2), 1, "a", 4,
         LaneWhy(Code.BELOW_MINIMUM, 1, 2, (Cause(Code.FEW_DESIRED, number=1),))),
        (Lane("a", 1), 1, "a/starting", 4,
         LaneWhy(Code.RESTORING, 0, 1, (Cause(Code.RESTORING, number=1),))),
        (Lane("a"), 1, "a", None,
         LaneWhy(Code.ROOM_NOT_KNOWN, 0, 0, (Cause(Code.ROOM_NOT_KNOWN, "a"),))),
    ],
)  # fmt: skip
def test_why_a_lane_stands_so_for_programs(
    lane: Lane, wanted: int, now: str, room: int | None, why: LaneWhy
) -> None:
    state = service((lane,), wanted, now)
    state = replace(state, rooms={"a": Room(room, why="it is gone")})
    assert next_actions(state, now=NOW).lanes[0].why == why


@pytest.mark.parametrize(
    ("causes", "text", "here"),
    [
        ((Cause(Code.FULL, "is", 2, detail="none is idle"),),
         "is has room for 2 more only, none is idle", "room for 2 more only, none is idle"),
        ((Cause(Code.RESTORING, number=1), Cause(Code.COOLDOWN, "a", until=NOW)),
         "being restored, 1 starting; a is in cooldown until 14:04:30",
         "being restored, 1 starting; in cooldown until 14:04:30"),
        ((Cause(Code.OUT_OF_REACH, detail="a is another network"),), *["a is another network"] * 2),
    ],
)  # fmt: skip
def test_beside_its_name_a_fleet_is_not_named_again(
    causes: tuple[Cause, ...], text: str, here: str
) -> None:
    why = LaneWhy(Code.BELOW_MINIMUM, 1, 2, causes)
    assert (str(why), why.here) == (f"baseline 1 of 2: {text}", f"baseline 1 of 2: {here}")
    assert (why.cause, why.cause_here) == (text, here)


def test_a_fallback_of_a_minimum_has_its_cause_apart() -> None:
    state = replace(service((Lane("a", 2), Lane("b")), 2, ""), rooms={"a": Room(0), "b": Room(9)})
    rows = [row for row in next_actions(state, now=NOW).replicas if row.to == "b"]
    assert [(row.why, row.cause) for row in rows] == [
        ("baseline 1 of 2: a has no room", "a has no room"),
        ("baseline 2 of 2: a has no room", "a has no room"),
    ]


def test_a_baseline_that_too_few_are_wanted_for() -> None:
    lanes = (Lane("a", 1, priority=1), Lane("b", 1))
    plan = next_actions(service(lanes, 1, "a"), now=NOW)
    assert plan.lanes[1].reason == "baseline 0 of 1: only 1 desired"


def test_a_lane_says_until_when_it_cools_down() -> None:
    cooldown = after_failure(None, now=NOW, started=NOW, cause="no capacity in us-east-1")
    state = replace(service(BURST, 1, "reserved"), cooldowns={("", "reserved"): cooldown})
    lane = next_actions(state, now=NOW).lanes[0]
    assert lane.until == cooldown.until
    text = "reserved is in cooldown until 14:05:30, no capacity in us-east-1"
    assert lane.reason == f"baseline 1 of 1; {text}"


def test_a_fleet_with_room_is_in_cooldown_for_the_group_whose_start_failed_only() -> None:
    cooldown = after_failure(None, now=NOW, started=NOW, cause="no capacity in us-east-1")
    groups = (Group("one", 1, lanes=(Lane("a"),)), Group("two", 1, lanes=(Lane("a"),)))
    state = Service((), groups, rooms={"a": Room(5)}, cooldowns={("two", "a"): cooldown})
    one, two = next_actions(state, now=NOW).lanes
    assert one.reason == "a has room for 5 more; 1 more to come"
    assert two.reason == "a is in cooldown until 14:05:30, no capacity in us-east-1"


def test_why_there_is_no_room_is_told_on() -> None:
    room = {"reserved": Room(0, why="nodes.max is 1")}
    plan = next_actions(service(BURST, 1, room=room), now=NOW)
    assert plan.replicas[0].why == "baseline 1 of 1: reserved has no room, nodes.max is 1"


@cases(services())
def test_every_replica_has_one_line_and_what_is_new_adds_up(state: Service) -> None:
    for plan in (next_actions(state, now=NOW), preview(state, now=NOW, rebalance=True)):
        keys = [row.replica.key for row in plan.replicas]
        there = {r.key for r in state.replicas if r.state is not ReplicaState.STOPPING}
        assert len(keys) == len(set(keys))
        assert {row.replica.key for row in plan.replicas if not row.new} == there
        assert all(row.why for row in plan.replicas if row.action is not Action.STAY)
        assert all(lane.reason for lane in plan.lanes)
        for row in plan.replicas:
            assert (row.to is not None) == (row.action in (Action.START, Action.MOVE))


def test_the_server_places_and_stops_by_its_own_rule_what_has_no_lanes() -> None:
    groups = (Group("one", 1, lanes=(Lane("a"),)), Group("two", 3), Group("three", 1))
    there = [
        Replica("r0", 0, "one", fleet="a"),
        Replica("r1", 1, "two", ReplicaState.PENDING),
        Replica("r2", 2, "three", fleet="b"),
        Replica("r3", 3, "three", ReplicaState.PENDING),
    ]
    state = Service((), groups, tuple(there))
    stay = {"r0": "stay", "r1": "stay", "r2": "stay"}
    assert where(preview(state, now=NOW)) == {
        **stay,
        "new-4": "start",
        "new-5": "start",
        "r3": "stop",
    }
    assert where(next_actions(state, now=NOW)) == {**stay, "r3": "stay"}, "it does so itself"


@cases(services(some_without=True))
def test_groups_end_up_with_what_they_want(state: Service) -> None:
    plan = preview(state, now=NOW)
    rolling = {
        r.group for r in state.replicas if r.out_of_date and r.state is not ReplicaState.STOPPING
    }
    for group in state.groups:
        rows = [row for row in plan.replicas if row.replica.group == group.name]
        if group.name not in rolling:
            assert sum(row.action is not Action.STOP for row in rows) == group.wanted


@cases(services(), st.data())
def test_what_does_not_depend_on_rooms_is_the_same_with_any(
    state: Service, data: st.DataObject
) -> None:
    """Lanes as they would have to be for what is there, or as they are."""
    if data.draw(st.booleans()):
        active = [r for r in state.replicas if r.state is not ReplicaState.STOPPING and r.fleet]
        fleets = [*dict.fromkeys(replica.fleet for replica in active if replica.fleet)]
        counts = Counter(replica.group for replica in active)
        groups = tuple(
            replace(group, lanes=None, wanted=data.draw(st.integers(0, counts[group.name])))
            for group in state.groups
        )
        lanes = tuple(Lane(fleet) for fleet in fleets)
        state = replace(state, lanes=lanes, groups=groups, replicas=tuple(active))
        assert not depends_on_rooms(state)
    if depends_on_rooms(state):
        return
    plan = next_actions(state, now=NOW)
    other = next_actions(replace(state, rooms=data.draw(rooms)), now=NOW)
    assert where(plan) == where(other)
    assert [row.why for row in plan.replicas] == [row.why for row in other.replicas]
    assert not plan.doing(Action.MOVE)
    for lane, same in zip(plan.lanes, other.lanes, strict=True):
        assert (lane.deficit, lane.after) == (0, same.after)


@pytest.mark.parametrize(
    ("lanes", "wanted", "words", "depends"),
    [
        (BURST, 3, "reserved spot spot", False),
        (BURST, 3, "reserved/starting spot spot", False),
        (BURST, 2, "reserved spot spot", False),
        (BURST, 3, "reserved spot -", True),
        (BURST, 4, "reserved spot spot", True),
        (BURST, 3, "spot spot spot", True),
        (BURST, 3, "reserved/stopping spot spot spot", True),
        (BURST, 3, "reserved spot gone", True),
        ((Lane("a", 0, 1), Lane("b")), 3, "a a b", True),
    ],
)
def test_rooms_count_while_a_replica_waits_or_a_lane_is_not_as_it_should_be(
    lanes: tuple[Lane, ...], wanted: int, words: str, depends: bool
) -> None:
    assert depends_on_rooms(service(lanes, wanted, words)) is depends
