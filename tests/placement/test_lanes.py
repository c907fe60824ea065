"""Lanes: what is read, and the line with which each wrong thing is refused."""

from __future__ import annotations

import pytest

from dstack_placement.engine import Lane, LanesError, parse_lanes, read_configuration

KNOWN = ("reserved", "spot", "team/shared")


def service(*fleets: object, **more: object) -> dict[str, object]:
    return {"type": "service", "replicas": "1..4", "fleets": list(fleets), **more}


def refused(configuration: dict[str, object]) -> list[str]:
    with pytest.raises(LanesError) as error:
        read_configuration(configuration, known=KNOWN, project="main")
    assert str(error.value) == "\n".join(error.value.lines)
    return list(error.value.lines)


def test_strings_and_mappings_mix() -> None:
    value = [
        {"name": "reserved", "min_replicas": 1, "max_replicas": 4, "priority": 10},
        "spot",
        "team/shared",
        {"name": "x", "project": "team"},
        {"name": "team/y", "priority": None},
    ]
    assert parse_lanes(value) == (
        Lane("reserved", 1, 4, 10),
        Lane("spot"),
        Lane("team/shared"),
        Lane("team/x"),
        Lane("team/y"),
    )


def test_no_fleets_are_no_lanes() -> None:
    assert parse_lanes(None) == ()
    assert parse_lanes([]) == ()


def test_the_own_project_may_be_named() -> None:
    assert parse_lanes(["main/a", {"project": "main", "name": "b"}], project="main") == (
        Lane("a"),
        Lane("b"),
    )


def test_a_default_that_is_written_down_makes_a_lane() -> None:
    assert not parse_lanes([{"name": "a", "priority": 0}])[0].plain
    assert parse_lanes([{"name": "a", "priority": None}])[0].plain
    assert parse_lanes(["a"])[0].plain


def test_an_unknown_fleet_names_those_that_exist() -> None:
    assert refused(service({"name": "resreved", "min_replicas": 1})) == [
        "Fleet resreved in `fleets` does not exist. Use one of: reserved, spot, team/shared."
    ]


def test_without_any_fleet_the_advice_is_to_create_it() -> None:
    with pytest.raises(LanesError, match="Create it first: the project has no fleet"):
        read_configuration(service({"name": "a", "min_replicas": 1}), known=())


def test_fleets_that_are_not_known_yet_are_not_checked() -> None:
    assert read_configuration(service({"name": "a", "min_replicas": 1})).has_lanes


@pytest.mark.parametrize("second", ["spot", "main/spot", {"project": "main", "name": "spot"}])
def test_the_same_fleet_twice(second: object) -> None:
    assert refused(service({"name": "spot", "priority": 1}, second)) == [
        "Fleet spot appears twice in `fleets`. Keep one of the entries."
    ]


def test_a_maximum_below_the_minimum() -> None:
    assert refused(service({"name": "spot", "min_replicas": 3, "max_replicas": 2})) == [
        (
            "`max_replicas` of spot (2) is below its `min_replicas` (3)."
            " Raise the one or lower the other."
        )
    ]


@pytest.mark.parametrize("key", ["min_replicas", "max_replicas", "priority"])
def test_negative_numbers(key: str) -> None:
    assert f"`{key}` of spot is negative (-1). Write 0 or more." in refused(
        service({"name": "spot", key: -1})
    )


@pytest.mark.parametrize("value", [True, 1.5, "2", [1]])
def test_what_is_not_a_whole_number(value: object) -> None:
    assert refused(service({"name": "spot", "priority": value})) == [
        "`priority` of spot is not a whole number. Write 0 or more."
    ]


def test_minimums_above_the_greatest_replica_count() -> None:
    lanes = ({"name": "spot", "min_replicas": 3}, {"name": "reserved", "min_replicas": 2})
    assert refused(service(*lanes)) == [
        (
            "The `min_replicas` of `fleets` add up to 5, above the maximum replica count of 4."
            " Lower them or raise `replicas`."
        )
    ]


def test_maximums_below_the_least_replica_count() -> None:
    lanes = ({"name": "spot", "max_replicas": 1}, {"name": "reserved", "max_replicas": 1})
    assert refused(service(*lanes, replicas="3..4")) == [
        (
            "The `max_replicas` of `fleets` add up to 2, below the minimum replica count of 3."
            " Raise them or lower `replicas`."
        )
    ]
    read_configuration(service(*lanes, "team/shared", replicas="3..4"), known=KNOWN)


def test_minimums_above_the_least_replica_count_are_a_warning() -> None:
    read = read_configuration(service({"name": "spot", "min_replicas": 2}), known=KNOWN)
    assert read.warnings == (
        (
            "The `min_replicas` of `fleets` add up to 2, above the minimum replica count of 1:"
            " scaling down to it breaks the baseline."
        ),
    )
    assert not read_configuration(service({"name": "spot", "min_replicas": 1})).warnings


@pytest.mark.parametrize("kind", ["task", "dev-environment"])
def test_lanes_are_for_services(kind: str) -> None:
    assert refused(service({"name": "spot", "min_replicas": 1}, type=kind)) == [
        f"Lanes are for services, and this is a {kind}. Name its fleets without counts."
    ]
    assert not read_configuration(service("spot", type=kind), known=KNOWN).has_lanes


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (1, "Entry 1 of `fleets` is neither a fleet's name nor a mapping. Write `name: FLEET`."),
        (
            "",
            "Entry 1 of `fleets` names no fleet. Write `name: FLEET` or `name: PROJECT/FLEET`.",
        ),
        (
            {"min_replicas": 1},
            "Entry 1 of `fleets` names no fleet. Write `name: FLEET` or `name: PROJECT/FLEET`.",
        ),
        (
            "a/b/c",
            "Entry 1 of `fleets` names more than a project and a fleet. Write `PROJECT/FLEET`.",
        ),
        (
            {"name": "a", "weight": 1},
            (
                "Entry 1 of `fleets` has the unknown key weight."
                " Use one of: name, project, min_replicas, max_replicas, priority."
            ),
        ),
    ],
)
def test_malformed_entries(entry: object, line: str) -> None:
    assert refused(service(entry, {"name": "spot", "priority": 1})) == [line]


@pytest.mark.parametrize("value", ["spot", {"name": "spot"}, 3])
def test_fleets_are_a_list(value: object) -> None:
    with pytest.raises(LanesError, match="`fleets` is not a list"):
        parse_lanes(value)


def test_every_reason_has_its_line() -> None:
    lanes = ({"name": "a", "min_replicas": -1}, {"name": "b", "priority": -2}, "c", "c")
    assert len(refused(service(*lanes))) == 3


def test_names_alone_are_left_to_the_stock_server() -> None:
    read = read_configuration(service("unknown", "spot"), known=KNOWN)
    assert not read.has_lanes
    assert read.lanes == (Lane("unknown"), Lane("spot"))
    assert not read_configuration(service("spot", "spot", replicas="many"), known=KNOWN).has_lanes
    assert not read_configuration({"type": "task", "fleets": "spot"}).has_lanes
    assert not read_configuration(service("spot", "spot"), known=KNOWN).has_lanes


def test_fleets_of_a_group_are_lanes_be_they_names_only() -> None:
    def asked(*fleets: str) -> dict[str, object]:
        return service("spot", groups=[{"name": "decode", "replicas": 1, "fleets": [*fleets]}])

    assert refused(asked("unknown")) == [
        (
            "Fleet unknown in `fleets` of group decode does not exist."
            " Use one of: reserved, spot, team/shared."
        )
    ]
    assert refused(asked("spot", "spot")) == [
        "Fleet spot appears twice in `fleets` of group decode. Keep one of the entries."
    ]
    assert read_configuration(asked("spot"), known=KNOWN).has_lanes


def test_a_group_is_checked_against_its_own_counts() -> None:
    groups = [
        {"name": "prefill", "replicas": 1, "fleets": [{"name": "spot", "min_replicas": 2}]},
        {"replicas": {"min": 1, "max": 3}},
        {"name": "router", "count": 1, "router": {"type": "smg"}},
    ]
    assert refused(service({"name": "reserved", "min_replicas": 4}, groups=groups)) == [
        (
            "The `min_replicas` of `fleets` add up to 4, above the maximum replica count of 3."
            " Lower them or raise `replicas`."
        ),
        (
            "The `min_replicas` of `fleets` of group prefill add up to 2, above the maximum"
            " replica count of 1. Lower them or raise `replicas`."
        ),
    ]


def test_a_router_needs_a_place_below_the_maximums() -> None:
    groups = [
        {"name": "router", "replicas": 1, "router": {"type": "smg"}},
        {"name": "worker", "replicas": 1},
    ]
    assert refused(service({"name": "spot", "max_replicas": 1}, groups=groups)) == [
        (
            "The `max_replicas` of `fleets` add up to 1, below the minimum replica count of 2."
            " Raise them or lower `replicas`."
        )
    ]


def test_groups_are_read() -> None:
    groups = [
        {"name": "prefill", "replicas": "1..", "fleets": ["spot"]},
        {"replicas": 2},
        {"name": "router", "count": 1, "router": {"type": "smg"}, "fleets": []},
    ]
    read = read_configuration(service({"name": "reserved", "priority": 1}, groups=groups))
    assert [(g.name, g.least, g.greatest, g.router, g.lanes) for g in read.groups] == [
        ("prefill", 1, None, False, (Lane("spot"),)),
        ("1", 2, 2, False, None),
        ("router", 1, 1, True, None),
    ]
    older = {"type": "service", "replicas": groups, "fleets": ["reserved"]}
    assert read_configuration(older).groups == read.groups


def test_lanes_that_apply_to_no_group_are_a_warning() -> None:
    groups = [{"name": "one", "replicas": 1, "fleets": ["spot"]}]
    read = read_configuration(service({"name": "reserved", "min_replicas": 1}, groups=groups))
    assert read.warnings == ("`fleets` applies to no group: each has `fleets` of its own.",)


def test_a_count_that_is_none() -> None:
    with pytest.raises(LanesError, match=r"`replicas` is not a count \(many\)"):
        read_configuration(service({"name": "spot", "priority": 1}, replicas="many"))
