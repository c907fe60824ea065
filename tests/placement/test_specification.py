"""One reader for every form in which dstack takes replica groups, counts and fleets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from dstack_placement.engine import (
    GroupSpec,
    Lane,
    LanesError,
    Reclaim,
    ServiceSpec,
    read_configuration,
    read_stored,
)
from tests.builders.placement_cases import cases, lane_lists

PROJECT = "main"


@st.composite
def written_counts(draw: st.DrawFn) -> tuple[Any, tuple[int, int | None]]:
    """A count in one of its forms, and what it means."""
    least = draw(st.integers(0, 5))
    greatest = draw(st.integers(least, 9))
    forms: list[Any] = [{"min": least, "max": greatest}, f"{least}..{greatest}"]
    forms += [f"{least} .. {greatest}"]
    if least == 0:
        forms += [f"..{greatest}", {"max": greatest}, {"min": None, "max": greatest}]
    if least == greatest:
        forms += [least, str(least), float(least)]
    if (least, greatest) == (1, 1):
        forms += [None]
    return draw(st.sampled_from(forms)), (least, greatest)


@st.composite
def written_lanes(draw: st.DrawFn, *, lanes: tuple[Lane, ...]) -> list[Any]:
    """Lanes in one of their forms each."""
    entries: list[Any] = []
    for lane in lanes:
        counts = {
            name: value
            for name in ("min_replicas", "max_replicas", "priority")
            if (value := getattr(lane, name)) != getattr(Lane(""), name) or draw(st.booleans())
        }
        names = [{"name": lane.fleet}, {"name": f"{PROJECT}/{lane.fleet}"}]
        names += [{"name": lane.fleet, "project": owner} for owner in (PROJECT, None)]
        if lane.plain:
            forms = [lane.fleet, f"{PROJECT}/{lane.fleet}"]
            entries.append(draw(st.sampled_from(forms)))
        else:
            entries.append({**draw(st.sampled_from(names)), **counts})
    return entries


@st.composite
def services(draw: st.DrawFn) -> tuple[dict[str, Any], ServiceSpec]:
    """A spec in one of its forms, and what it means."""
    lanes = draw(lane_lists(least=0))
    entries: list[Any] | None = draw(written_lanes(lanes=lanes))
    configuration: dict[str, Any] = {"type": "service"}
    profile: dict[str, Any] | None = draw(st.sampled_from([None, {}, {"fleets": None}]))
    if not entries and profile is None:
        entries = draw(st.sampled_from([None, []]))
    if entries and draw(st.booleans()):
        profile, entries = {"fleets": entries}, None
    if entries is not None or draw(st.booleans()):
        configuration["fleets"] = entries
        if entries is not None:
            profile = draw(st.sampled_from([profile, {"fleets": ["another"]}]))
    number = draw(st.integers(0, 3))
    groups = []
    names = []
    counts = []
    owned = []
    for at in range(number):
        written, count = draw(written_counts())
        own = draw(st.none() | lane_lists(least=0))
        group: dict[str, Any] = {"replicas": written}
        if own is not None or draw(st.booleans()):
            group["fleets"] = None if own is None else draw(written_lanes(lanes=own))
        if draw(st.booleans()):
            group["name"] = f"group-{at}"
        elif draw(st.booleans()):
            group["name"] = None
        names.append(group.get("name") or str(at))
        counts.append(count)
        owned.append(own or None)
        groups.append(group)
    if number and draw(st.booleans()):
        count_key = draw(st.sampled_from(["replicas", "count"]))
        configuration["replicas"] = [
            {count_key if key == "replicas" else key: value for key, value in group.items()}
            for group in groups
        ]
    elif number:
        configuration["groups"] = groups
        if draw(st.booleans()):
            configuration["replicas"] = None
    else:
        written, count = draw(written_counts())
        names, counts, owned = ["0"], [count], [None]
        configuration["replicas"] = written
        if draw(st.booleans()):
            configuration["groups"] = None
    spec = {"configuration": configuration, "profile": profile}
    meant = zip(names, counts, owned, strict=True)
    return spec, ServiceSpec(
        lanes, tuple(GroupSpec(name, *count, lanes=own) for name, count, own in meant)
    )


@cases(services(), most=400)
def test_every_form_means_the_same(case: tuple[dict[str, Any], ServiceSpec]) -> None:
    spec, meant = case
    configuration, profile = spec["configuration"], spec["profile"]
    read = ServiceSpec.of(spec, project=PROJECT)
    assert read == meant
    assert not read.wrong
    stored = read_stored(configuration, profile=profile, project=PROJECT)
    assert (stored.lanes, stored.groups) == (meant.lanes, meant.groups)
    own = any(group.lanes for group in meant.groups)
    has_lanes = own or any(lane != Lane(lane.fleet) or lane.explicit for lane in read.lanes)
    assert read.has_lanes == stored.has_lanes == has_lanes
    assert read.counted == isinstance(configuration.get("replicas"), list)
    assert not ServiceSpec.read({**configuration, "type": "task"}, profile=profile).has_lanes


@pytest.mark.parametrize(
    ("configuration", "profile", "lanes"),
    [
        ({"fleets": None}, {"fleets": [{"name": "a", "priority": 1}]}, True),
        ({}, {"fleets": [{"name": "a", "priority": 1}]}, True),
        ({"fleets": []}, {"fleets": [{"name": "a", "priority": 1}]}, False),
        ({"fleets": ["a"]}, {"fleets": [{"name": "a", "priority": 1}]}, False),
        ({"fleets": [{"name": "a", "priority": None}]}, None, False),
        ({"fleets": [{"name": "a", "priority": 0}]}, None, True),
        ({"groups": [{"name": "g", "replicas": 1, "fleets": None}]}, None, False),
        ({"groups": [{"name": "g", "replicas": 1, "fleets": []}]}, None, False),
        ({"groups": [{"name": "g", "replicas": 1, "fleets": ["a"]}]}, None, True),
        ({"replicas": [{"name": "g", "count": 1, "fleets": ["a"]}]}, None, True),
    ],
)
def test_null_and_an_empty_list(
    configuration: dict[str, Any], profile: dict[str, Any] | None, lanes: bool
) -> None:
    read = read_configuration({"type": "service", **configuration}, profile=profile)
    assert read.has_lanes is lanes


def test_the_fleets_that_a_service_names() -> None:
    groups = [{"replicas": 1, "fleets": ["main/a", {"name": "b", "project": "lent"}]}]
    profile = {"fleets": ["c", "main/d"]}
    read = ServiceSpec.of({"configuration": {"groups": groups}, "profile": profile}, project="main")
    assert read.named_fleets == {"a", "lent/b", "c", "d"}
    assert not ServiceSpec.read({}).named_fleets


@pytest.mark.parametrize(
    "configuration",
    [
        {"groups": [], "replicas": [{"name": "g", "count": 3}]},
        {"groups": None, "replicas": [{"name": "g", "count": 3}]},
        {"groups": [{"name": "g", "replicas": None, "count": 3}]},
    ],
)
def test_what_is_null_or_empty_leaves_it_to_the_older_form(configuration: dict[str, Any]) -> None:
    (group,) = ServiceSpec.read(configuration).groups
    assert (group.name, group.least, group.greatest) == ("g", 3, 3)


@pytest.mark.parametrize("spec", [{}, {"configuration": None, "profile": 3}])
def test_a_spec_without_a_configuration_has_one_replica(spec: dict[str, Any]) -> None:
    read = ServiceSpec.of(spec)
    assert [(group.name, group.least, group.greatest) for group in read.groups] == [("0", 1, 1)]
    assert not read.has_lanes


@pytest.mark.parametrize(
    "count",
    ["many", "1.5", [1], {"min": "x"}, 10**5000, {"max": 10**5000}, float("inf"), float("nan")],
    ids=lambda count: type(count).__name__,
)
def test_a_count_that_is_none_is_any(count: object) -> None:
    read = ServiceSpec.read({"replicas": count})
    (group,) = read.groups
    assert (group.least, group.greatest) == (0, None)
    assert [line.code for line in read.wrong] == ["not_a_count"]


@pytest.mark.parametrize(
    ("written", "reclaim"),
    [
        (None, Reclaim.OFF),
        (False, Reclaim.OFF),  # as YAML reads `off`
        ("off", Reclaim.OFF),
        ("lower", Reclaim.LOWER),
        ("any", Reclaim.ANY),
    ],
)
def test_from_whom_minimums_take_places(written: object, reclaim: Reclaim) -> None:
    configuration = {"fleets": [{"name": "a", "min_replicas": 1}], "reclaim": written}
    assert read_configuration(configuration).reclaim is reclaim


def test_a_reclaim_that_is_none_is_refused_and_off_where_it_is_stored() -> None:
    configuration = {"fleets": [{"name": "a", "min_replicas": 1}], "reclaim": True}
    with pytest.raises(LanesError) as refused:
        read_configuration(configuration)
    assert refused.value.lines == ("`reclaim` is True. Use one of: off, lower, any.",)
    stored = read_stored(configuration)
    assert stored.reclaim is Reclaim.OFF
    assert list(stored.warnings) == list(refused.value.lines)
