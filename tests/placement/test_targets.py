"""Targets: the properties that hold for whatever lanes, capacities and counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st

from dstack_placement.engine import Lane, targets
from tests.builders.placement_cases import cases, lane_lists

UNLIMITED = 10**6


@st.composite
def situations(draw: st.DrawFn) -> tuple[tuple[Lane, ...], list[int | None], int, int]:
    lanes = draw(lane_lists())
    capacity = [draw(st.none() | st.integers(0, 8)) for _ in lanes]
    return lanes, capacity, draw(st.integers(0, 20)), draw(st.integers(0, 2))


def limits(lanes: tuple[Lane, ...], capacity: list[int | None]) -> list[int]:
    return [
        min(
            UNLIMITED if room is None else room,
            UNLIMITED if lane.max_replicas is None else lane.max_replicas,
        )
        for lane, room in zip(lanes, capacity, strict=True)
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(0, [0, 0]), (1, [1, 0]), (2, [1, 1]), (3, [2, 1]), (5, [4, 1]), (9, [4, 5])],
)
def test_minimums_first_then_by_priority_up_to_maximums(wanted: int, expected: list[int]) -> None:
    lanes = (Lane("a", 1, 4, priority=10), Lane("b", 1))
    assert targets(lanes, [None, None], wanted) == expected


def test_lanes_of_equal_priority_keep_the_order_of_the_list() -> None:
    assert targets((Lane("a"), Lane("b")), [1, None], 3) == [1, 2]
    assert targets((Lane("b"), Lane("a")), [None, 1], 3) == [3, 0]


def test_a_higher_priority_goes_before_the_order_of_the_list() -> None:
    assert targets((Lane("a"), Lane("b", priority=1)), [None, 2], 3) == [1, 2]


def test_a_minimum_that_finds_no_capacity_goes_to_the_other_lanes() -> None:
    assert targets((Lane("a", 3, priority=1), Lane("b")), [1, None], 4) == [1, 3]


def test_a_router_counts_towards_no_minimum() -> None:
    lanes = (Lane("cheap", priority=1), Lane("base", 2))
    assert targets(lanes, [None, None], workers=2, routers=1) == [1, 2]


@cases(situations())
def test_targets_sum_to_what_is_wanted_or_fits(situation) -> None:
    lanes, capacity, workers, routers = situation
    fits = sum(limits(lanes, capacity))
    assert sum(targets(lanes, capacity, workers, routers)) == min(workers + routers, fits)


@cases(situations())
def test_no_target_is_above_cap_or_capacity(situation) -> None:
    lanes, capacity, workers, routers = situation
    found = targets(lanes, capacity, workers, routers)
    assert all(0 <= t <= most for t, most in zip(found, limits(lanes, capacity), strict=True))


@cases(situations())
def test_no_lane_is_below_its_minimum_while_another_has_a_surplus(situation) -> None:
    lanes, capacity, workers, _ = situation
    found = targets(lanes, capacity, workers)
    most = limits(lanes, capacity)
    short = any(
        t < min(lane.min_replicas, m) for t, lane, m in zip(found, lanes, most, strict=True)
    )
    spare = any(t > lane.min_replicas for t, lane in zip(found, lanes, strict=True))
    assert not (short and spare)


@cases(situations(), st.data())
def test_raising_a_priority_never_lowers_the_target(situation, data) -> None:
    lanes, capacity, workers, routers = situation
    at = data.draw(st.integers(0, len(lanes) - 1))
    raised = list(lanes)
    raised[at] = replace(lanes[at], priority=lanes[at].priority + data.draw(st.integers(1, 4)))
    before = targets(lanes, capacity, workers, routers)
    assert targets(raised, capacity, workers, routers)[at] >= before[at]


@cases(situations(), st.data())
def test_removing_capacity_never_lowers_another_target(situation, data) -> None:
    lanes, capacity, workers, routers = situation
    at = data.draw(st.integers(0, len(lanes) - 1))
    room = capacity[at]
    less = list(capacity)
    less[at] = data.draw(st.integers(0, 8 if room is None else room))
    before, after = (targets(lanes, c, workers, routers) for c in (capacity, less))
    assert all(b >= a for n, (a, b) in enumerate(zip(before, after, strict=True)) if n != at)


@cases(situations())
def test_one_more_replica_goes_to_one_lane_and_moves_no_other(situation) -> None:
    lanes, capacity, workers, routers = situation
    before = targets(lanes, capacity, workers, routers)
    after = targets(lanes, capacity, workers + 1, routers)
    added = [b - a for a, b in zip(before, after, strict=True)]
    assert sorted(added)[:-1] == [0] * (len(lanes) - 1)
    assert sum(added) in (0, 1)
