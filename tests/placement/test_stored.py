"""Lanes of stored services: what can't be accepted is placed as far as it can be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from dstack_placement.engine import (
    Action,
    Group,
    Lane,
    LanesError,
    Service,
    ServiceSpec,
    next_actions,
    parse_lanes,
    preview,
    read_configuration,
    read_stored,
)
from dstack_placement.engine.lane import GREATEST_COUNT
from dstack_placement.engine.lanes import MOST_LANES
from tests.builders.placement_cases import FLEETS, cases
from tests.builders.placement_services import NOW, carry_out


def service(*fleets: object, **more: object) -> dict[str, object]:
    return {"type": "service", "replicas": 2, "fleets": list(fleets), **more}


def as_placed(read: ServiceSpec) -> Service:
    groups = (Group(g.name, g.least, g.router, g.lanes) for g in read.groups)
    return Service(read.lanes, tuple(groups))


def test_a_minimum_above_the_replicas_is_met_as_far_as_they_go() -> None:
    stored = service({"name": "near", "min_replicas": 5}, "far")
    with pytest.raises(LanesError) as refused:
        read_configuration(stored)
    read = read_stored(stored)
    assert read.warnings == refused.value.lines
    assert read.lanes == (Lane("near", 5), Lane("far"))
    plan = preview(as_placed(read), now=NOW)
    assert [(lane.fleet, lane.target, lane.after) for lane in plan.lanes] == [
        ("near", 2, 2),
        ("far", 0, 0),
    ]
    assert plan.lanes[0].deficit == 5


def test_maximums_below_the_replicas_leave_some_pending() -> None:
    stored = service({"name": "near", "max_replicas": 1})
    read = read_stored(stored)
    assert "add up to 1, below the minimum replica count of 2" in read.warnings[0]
    plan = preview(as_placed(read), now=NOW)
    assert [row.action for row in plan.replicas] == [Action.START, Action.PENDING]


@pytest.mark.parametrize(
    ("fleets", "lanes", "line"),
    [
        (
            [{"name": "a", "min_replicas": 3, "max_replicas": 1}],
            (Lane("a", 1, 1),),
            "`max_replicas` of a (1) is below its `min_replicas` (3).",
        ),
        ([{"name": "a", "min_replicas": -1}], (Lane("a"),), "`min_replicas` of a is negative"),
        ([{"name": "a", "max_replicas": -1}], (Lane("a"),), "`max_replicas` of a is negative"),
        ([{"name": "a", "priority": "high"}], (Lane("a"),), "is not a whole number"),
        (
            [{"name": "a", "priority": 10**4000}],
            (Lane("a", priority=GREATEST_COUNT),),
            f"`priority` of a is above {GREATEST_COUNT}.",
        ),
        (
            [{"name": "a", "priority": 1}, "b", "a"],
            (Lane("a", priority=1), Lane("b")),
            "Fleet a appears twice",
        ),
        ([{"name": "a", "priority": 1}, {"min_replicas": 1}], (Lane("a", priority=1),), "Entry 2"),
        ([{"name": "a", "priority": 1}, "a/b/c", 7], (Lane("a", priority=1),), "Entry 3"),
        ([{"name": "a", "priority": 1, "weight": 2}], (Lane("a", priority=1),), "key weight"),
        (
            [{"name": "a", "priority": 1}, *(f"f{number}" for number in range(MOST_LANES))],
            (Lane("a", priority=1), *(Lane(f"f{number}") for number in range(MOST_LANES - 1))),
            f"has {MOST_LANES + 1} entries. Write at most {MOST_LANES}.",
        ),
    ],
)
def test_what_is_wrong_is_a_warning_and_the_rest_counts(
    fleets: list[object], lanes: tuple[Lane, ...], line: str
) -> None:
    with pytest.raises(LanesError) as refused:
        parse_lanes(fleets)
    read = read_stored(service(*fleets))
    assert read.has_lanes
    assert read.lanes == lanes
    assert any(line in warning for warning in read.warnings)
    assert set(refused.value.lines) <= set(read.warnings)


def test_what_is_accepted_reads_the_same() -> None:
    groups = [
        {"name": "router", "replicas": 1, "router": {"type": "smg"}},
        {"name": "worker", "replicas": "1..4", "fleets": [{"name": "far", "min_replicas": 2}]},
    ]
    for accepted in (service("near"), service({"name": "near", "priority": 1}, groups=groups)):
        assert read_stored(accepted) == read_configuration(accepted)


def test_a_group_keeps_its_replicas_though_its_count_can_t_be_read() -> None:
    groups = [{"name": "one", "replicas": "many", "fleets": ["near"]}]
    read = read_stored({"type": "service", "groups": groups})
    assert [(group.name, group.least, group.greatest) for group in read.groups] == [
        ("one", 0, None)
    ]
    assert read.warnings[0].startswith("`replicas` is not a count (many).")


def test_thousands_of_names_are_read_at_once() -> None:
    names = [f"fleet-{number}" for number in range(100_000)]
    assert len(read_configuration(service(*names)).lanes) == MOST_LANES


counts = st.none() | st.integers(-2, 5) | st.sampled_from([True, "3", 10**30, 1.5])
names = st.sampled_from([*FLEETS, "a/b", "a/b/c", "", None, 3])
lanes = names | st.fixed_dictionaries(
    {"name": names},
    optional=dict.fromkeys(("min_replicas", "max_replicas", "priority", "other"), counts),
)
groups = st.fixed_dictionaries(
    {"replicas": st.integers(0, 4) | st.sampled_from(["1..3", "many", None])},
    optional={
        "name": st.sampled_from(["one", "two"]),
        "fleets": st.lists(lanes, max_size=4),
        "router": st.just({"type": "smg"}),
    },
)
stored = st.fixed_dictionaries(
    {"type": st.just("service"), "fleets": st.none() | st.lists(lanes, max_size=4)},
    optional={
        "replicas": st.integers(0, 4),
        "groups": st.lists(groups, max_size=2, unique_by=lambda group: group.get("name")),
    },
)


@cases(stored, most=300)
def test_whatever_is_stored_is_placed_and_comes_to_rest(configuration: dict[str, Any]) -> None:
    read = read_stored(configuration, project="main")
    lines: tuple[str, ...] = ()
    accepted = read
    try:
        accepted = read_configuration(configuration, project="main")
    except LanesError as refused:
        lines = refused.lines
    assert read == accepted
    assert set(lines) <= set(read.warnings)
    state = as_placed(read)
    for _ in range(30):
        plan = next_actions(state, now=NOW)
        if all(row.action in (Action.STAY, Action.PENDING) for row in plan.replicas):
            break
        state = carry_out(state, plan)
    else:
        raise AssertionError("it does not come to rest")
    for lane in plan.lanes:
        assert lane.lane.max_replicas is None or lane.placed <= lane.lane.max_replicas
