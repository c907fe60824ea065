"""Edits as values: what changes, what stays as received, and what is wrong with it."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dstack_api_client.edits.base.difference import ChangeKind, difference
from dstack_api_client.edits.base.merging import three_way
from dstack_api_client.edits.errors import EditError, InvalidEditError
from dstack_api_client.edits.service import assignments, checks
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.fields import ABSENT, ORDER
from dstack_api_client.model.configuration import MASK
from tests.builders.service_edits import SCALING, SECRET, STOCK, WITH_LANES, base, edit, group

KNOWN = {"gpu-reserved", "gpu-spot", "gpu-new", "other/gpu"}


def test_what_is_not_touched_stays_as_received() -> None:
    begun = edit()
    changed = begun.with_lane("", "gpu-spot", priority=20)
    assert begun.spec is begun.base.spec, "an edit is a value"
    expected = copy.deepcopy(dict(begun.base.spec))
    expected["configuration"]["fleets"][1]["priority"] = 20
    assert json.dumps(changed.spec) == json.dumps(expected)


EDITS: dict[str, Callable[[ServiceEdit], ServiceEdit]] = {
    "priority of a lane": lambda e: e.with_lane("", "gpu-spot", priority=20),
    "a maximum taken away": lambda e: e.with_lane("", "gpu-reserved", max_replicas=None),
    "a lane more": lambda e: e.add_lane("", "other/gpu", min_replicas=1),
    "a lane less": lambda e: e.remove_lane("", "gpu-reserved"),
    "no lanes": lambda e: e.remove_lane("", "gpu-reserved").remove_lane("", "gpu-spot"),
    "the other order": lambda e: e.with_order("", ["gpu-spot", "gpu-reserved"]),
    "moved up": lambda e: e.move_lane("", "gpu-spot", -1),
    "replicas": lambda e: e.with_replicas("0", 4),
    "run priority": lambda e: e.with_priority(50),
    "scaled": lambda e: e.with_values({("configuration", "scaling"): SCALING}),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_can_be_taken_back_to_the_byte(name: str) -> None:
    begun = edit()
    changed = EDITS[name](begun)
    assert changed.changed
    back = {path: was for path, (was, _) in changed.changes.items()}
    restored = fields.with_fields(changed.spec, back)
    assert fields.digest(restored) == begun.base.digest
    again = {path: now for path, (_, now) in changed.changes.items()}
    assert fields.digest(fields.with_fields(restored, again)) == fields.digest(changed.spec)


@given(st.lists(st.sampled_from(sorted(EDITS)), max_size=6))
def test_several_edits_can_be_taken_back_too(names: list[str]) -> None:
    changed = begun = edit()
    for name in names:
        with contextlib.suppress(EditError):  # the lane is there already, or not any more
            changed = EDITS[name](changed)
    back = {path: was for path, (was, _) in changed.changes.items()}
    assert fields.digest(fields.with_fields(changed.spec, back)) == begun.base.digest


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "min", "max", "fleets", "name"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_specs = st.dictionaries(st.sampled_from(["a", "fleets", "groups", "min"]), _json, max_size=4)


@given(_specs, _specs)
@example({"groups": [{}, {}, {}]}, {"groups": [{}, {"a": None}, {}]})
@example({"groups": [{}, {"a": None}, {}]}, {"groups": [{}, {}, {}]})
@example({"groups": [{"name": "a", "b": {"c": 1}}, {}]}, {"groups": [{}, {"name": "a"}]})
@example({"fleets": ["a", "b"]}, {"fleets": [{"name": "a", "min": 1}, "b"]})
def test_a_difference_makes_one_spec_of_the_other(old: Any, new: Any) -> None:
    found = fields.changes(old, new)
    made = fields.with_fields(old, {path: now for path, (_, now) in found.items()})
    assert fields.same(made, new)
    assert bool(found) == (not fields.same(old, new))


def test_a_value_that_comes_back_is_no_change() -> None:
    begun = edit()
    there = begun.with_lane("", "gpu-spot", min_replicas=2, priority=5)
    back = there.with_lane("", "gpu-spot", min_replicas=0, priority=0)
    assert not back.changed
    assert not begun.with_replicas("0", 3).with_replicas("0", 2).changed
    removed = begun.remove_lane("", "gpu-spot")
    assert not removed.add_lane("", "gpu-spot").changed
    added = removed.add_lane("", "gpu-spot", priority=3)
    assert added.lane_before("", "gpu-spot") is not None


@pytest.mark.parametrize(
    ("priorities", "lane", "by", "filled"),
    [
        ({"a": 9, "b": 5, "c": 0}, "c", -1, ["a", "c", "b"]),
        ({"a": 9, "b": 5, "c": 0}, "a", 2, ["b", "c", "a"]),
        ({"a": 0, "b": 0, "c": 0}, "c", -2, ["c", "a", "b"]),
        ({"a": 5, "b": 5, "c": 0}, "b", -1, ["b", "a", "c"]),
        ({"a": 5, "b": 5, "c": 0}, "a", -1, ["a", "b", "c"]),
    ],
)
def test_a_lane_moves_in_the_order_of_filling(
    priorities: dict[str, int], lane: str, by: int, filled: list[str]
) -> None:
    begun = edit(
        fleets=[{"project": None, "name": n, "priority": p} for n, p in priorities.items()]
    )
    moved = begun.move_lane("", lane, by)
    assert [view.fleet for view in moved.filled()] == filled
    assert sorted(view.priority for view in moved.lanes()) == sorted(priorities.values())


def test_scaling_goes_with_the_range() -> None:
    begun = edit(replicas={"min": 2, "max": 4}, scaling=SCALING)
    fixed = begun.with_replicas("0", 3)
    assert fixed.configuration["scaling"] is None
    assert fixed.configuration["replicas"] == {"min": 3, "max": 3}
    again = fixed.with_replicas("0", 1, 5)
    assert again.configuration["scaling"] == SCALING
    assert not again.with_replicas("0", 2, 4).changed


def test_lanes_of_a_group() -> None:
    begun = edit(groups=[group("front"), group("decode")], replicas=None)
    own = begun.with_own_lanes("decode", own=True)
    assert [view.fleet for view in own.lanes("decode")] == ["gpu-reserved", "gpu-spot"]
    assert "fleets" not in own.configuration["groups"][0]
    changed = own.with_lane("decode", "gpu-spot", priority=30).remove_lane("decode", "gpu-reserved")
    assert own.pools == ("", "decode")
    assert changed.configuration["groups"][1]["fleets"] == [
        {"project": None, "name": "gpu-spot", "priority": 30}
    ]
    assert not changed.with_own_lanes("decode", own=False).changed
    assert not changed.remove_lane("decode", "gpu-spot").changed
    assert changed.with_replicas("front", 3).group("front").least == 3
    with pytest.raises(EditError, match="no replica group back"):
        changed.with_replicas("back", 1)


def test_lanes_that_are_bare_names_or_stand_in_the_profile() -> None:
    names = edit(fleets=["gpu-reserved", "other/gpu"])
    changed = names.with_lane("", "other/gpu", priority=1)
    assert changed.configuration["fleets"] == [
        {"project": None, "name": "gpu-reserved"},
        {"project": "other", "name": "gpu", "priority": 1},
    ]
    begun = edit(fleets=None)
    spec = {**begun.spec, "profile": {"fleets": ["gpu-spot"]}}
    profile = ServiceEdit(begun.base, WITH_LANES, spec)
    assert [view.fleet for view in profile.lanes()] == ["gpu-spot"]
    assert profile.with_lane("", "gpu-spot", priority=1).configuration["fleets"] == [
        {"project": None, "name": "gpu-spot", "priority": 1}
    ]


def test_a_server_without_lanes_offers_what_it_can() -> None:
    begun = edit(lanes=False)
    for change in (EDITS["priority of a lane"], EDITS["a lane more"], EDITS["a lane less"]):
        with pytest.raises(EditError, match="dstack-fleets server"):
            change(begun)
    changed = begun.with_replicas("0", 3).with_priority(1)
    assert set(changed.changes) == {("configuration", "replicas"), ("configuration", "priority")}
    kinds = difference(begun.base.spec, EDITS["a lane more"](edit()).spec, "service", STOCK)
    assert {change.kind for change in kinds} == {ChangeKind.NOT_IN_PLACE}


@pytest.mark.parametrize(
    ("change", "field", "pool", "fleet"),
    [
        (lambda e: e.with_lane("", "gpu-spot", min_replicas=-1), "min_replicas", "", "gpu-spot"),
        (
            lambda e: e.with_lane("", "gpu-spot", min_replicas=2, max_replicas=1),
            "max_replicas",
            "",
            "gpu-spot",
        ),
        (lambda e: e.add_lane("", "gpu-none"), "fleet", "", "gpu-none"),
        (lambda e: e.with_lane("", "gpu-spot", min_replicas=9), "min_replicas", "", None),
        (lambda e: e.with_lane("", "gpu-spot", max_replicas=0), "max_replicas", "", None),
        (lambda e: e.with_priority(101), "run_priority", "", None),
        (lambda e: e.with_replicas("0", 3, 2), "replicas", "", None),
        (lambda e: e.with_replicas("0", 1, 4), "replicas", "", None),
    ],
)
def test_a_problem_stands_beside_its_field(
    change: Callable[[ServiceEdit], ServiceEdit], field: str, pool: str, fleet: str | None
) -> None:
    (problem,) = checks.problems(change(edit()), KNOWN)
    assert problem.field == checks.FieldName(field, pool, fleet)
    assert problem.line.endswith(".")


def test_what_a_service_has_already_is_not_held_against_it() -> None:
    gone = edit(fleets=["gpu-gone", "gpu-spot"], replicas={"min": 1, "max": 4}, scaling=SCALING)
    assert checks.problems(gone.with_priority(3), KNOWN) == ()
    (problem,) = checks.problems(gone.with_lane("", "gpu-spot", priority=1), KNOWN)
    assert problem.field.fleet == "gpu-gone", "lanes are checked as the server checks them"


def test_a_range_wants_a_gateway() -> None:
    begun = edit(scaling=SCALING, replicas={"min": 1, "max": 4})
    wider = begun.with_replicas("0", 1, 6)
    assert checks.problems(wider, KNOWN) == (), "it was scaled before"
    scaled = edit().with_values({("configuration", "scaling"): SCALING})
    (problem,) = checks.problems(scaled.with_replicas("0", 2, 5), KNOWN)
    assert "gateway" in problem.line


def test_warnings_of_the_engine() -> None:
    begun = edit(scaling=SCALING, replicas={"min": 1, "max": 4})
    (line,) = checks.warnings(begun.with_lane("", "gpu-spot", min_replicas=2))
    assert "scaling down to it breaks the baseline" in line


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("gpu-spot.min_replicas=2", ("fleets", "gpu-spot", "min_replicas"), 2),
        ("gpu-reserved.max_replicas=none", ("fleets", "gpu-reserved", "max_replicas"), ABSENT),
        ("gpu-reserved.max_replicas=", ("fleets", "gpu-reserved", "max_replicas"), ABSENT),
        ("gpu-new.priority=5", ("fleets", "gpu-new", "priority"), 5),
        ("other/gpu.priority=5", ("fleets", "other/gpu", "priority"), 5),
        ("priority=7", ("priority",), 7),
        ("replicas=3", ("replicas",), {"min": 3, "max": 3}),
    ],
)
def test_assignments(text: str, path: tuple[str, ...], value: object) -> None:
    changed = assignments.assign(edit(), assignments.parse(text))
    assert changed.changes[("configuration", *path)][1] == value


def test_assignments_to_groups() -> None:
    begun = edit(groups=[group("front"), group("decode")], replicas=None)
    changed = begun
    for text in ("decode/gpu-spot.priority=5", "decode.replicas=2", "front.spot_policy=spot"):
        changed = assignments.assign(changed, assignments.parse(text))
    front, decode = changed.groups
    assert (front.spot_policy, decode.least, decode.own_lanes) == ("spot", 2, True)
    assert changed.filled("decode")[0].priority == 10
    with pytest.raises(EditError, match=r"GROUP\.replicas=3"):
        assignments.with_replicas(begun, "3")
    with pytest.raises(EditError, match="without replica groups can't be changed in place"):
        assignments.assign(edit(), assignments.parse("spot_policy=spot"))
    for text in ("replicas=3", "spot_policy=spot"):
        with pytest.raises(EditError, match=rf"GROUP\.{text}, with one of: front, decode"):
            assignments.assign(begun, assignments.parse(text))
    assert assignments.remove(changed, "decode/gpu-spot").lanes("decode")[0].fleet == "gpu-reserved"


@pytest.mark.parametrize(
    "text",
    ["gpu-spot", "gpu-spot.min=1", "=3", "gpu-spot.=3", "max_replicas=3", "gpu-spot.min_replicas"],
)
def test_assignments_that_say_nothing(text: str) -> None:
    with pytest.raises(EditError, match=r"Write FLEET\.FIELD=VALUE"):
        assignments.parse(text)


@pytest.mark.parametrize("text", ["gpu-spot.priority=soon", "gpu-spot.min_replicas=-1"])
def test_assignments_of_no_number(text: str) -> None:
    with pytest.raises(InvalidEditError):
        assignments.assign(edit(), assignments.parse(text))


@pytest.mark.parametrize(
    ("text", "expected"), [("3", (3, 3)), (" 3 .. 10 ", (3, 10)), ("0..4", (0, 4))]
)
def test_ranges(text: str, expected: tuple[int, int]) -> None:
    assert checks.replica_range(text) == expected


@pytest.mark.parametrize("text", ["", "x", "3..", "..3", "9..1", "-1", "1-3"])
def test_no_ranges(text: str) -> None:
    assert isinstance(checks.replica_range(text), checks.Problem)


def test_differences_are_masked_and_told_once() -> None:
    begun = edit()
    changed = (
        begun.add_lane("", "gpu-new", min_replicas=1)
        .with_replicas("0", 4)
        .with_values(
            {
                ("configuration", "env", "HF_TOKEN"): "other",
                ("configuration", "registry_auth", "password"): "other",
                ("configuration", "commands"): ["\x1b[31mred"],
                ("configuration", "tags"): {"team": "a"},
            }
        )
    )
    found = {
        change.name: change
        for change in difference(begun.base.spec, changed.spec, "service", WITH_LANES)
    }
    told = {name: (change.old, change.new, change.kind.value) for name, change in found.items()}
    assert told == {
        "replicas": ("2", "4", "no restart"),
        "commands": ("serve --model acme", "\ufffd[31mred", "rolling deployment"),
        "env HF_TOKEN": ("********", "********", "rolling deployment"),
        "registry_auth password": ("********", "********", "not possible in place"),
        "fleets order": ("gpu-reserved, gpu-spot", "gpu-reserved, gpu-spot, gpu-new", "no restart"),
        "fleets gpu-new min_replicas": ("–", "1", "no restart"),
        "tags team": ("–", "a", "not possible in place"),
    }
    assert SECRET not in repr(told)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"replicas": 3}, {"replicas": ("1 (default)", "3")}),
        ({"replicas": 3}, {"replicas": None}, {"replicas": ("3", "1 (default)")}),
        (
            {"replicas": 3},
            {"groups": [group("a")]},
            {"replicas": ("3", "–"), "groups order": ("–", "a")},
        ),
        ({"priority": None}, {"priority": 7}, {"priority": ("0 (default)", "7")}),
        ({}, {"retry": True}, {"retry": ("false (default)", "true")}),
        ({"docker": None}, {"docker": True}, {"docker": ("false (default)", "true")}),
        ({}, {"image": "acme/x"}, {"image": ("–", "acme/x")}),
        ({}, {"stop_duration": 90}, {"stop_duration": ("10m (profile)", "90s")}),
        (
            {"scaling": {"metric": "rps", "target": 10, "window": None}},
            {"scaling": {"metric": "rps", "target": 10, "window": 300}},
            {"scaling window": ("1m (default)", "5m")},
        ),
        (
            {"fleets": [{"name": "a", "priority": None}]},
            {"fleets": [{"name": "a", "priority": 5}]},
            {"fleets a priority": ("0 (default)", "5")},
        ),
        (
            {"groups": [group("a"), group("b", spot_policy="spot")]},
            {"groups": [group("a", spot_policy="auto"), group("b")]},
            {
                "groups a spot_policy": ("on-demand (default)", "auto"),
                "groups b spot_policy": ("spot", "on-demand (default)"),
            },
        ),
        (
            {"image": "acme/x", "groups": [group("a", image=None)]},
            {"image": "acme/x", "groups": [group("a", image="acme/y")]},
            {"groups a image": ("acme/x (service)", "acme/y")},
        ),
    ],
)
def test_what_is_left_out_is_shown_as_what_is_in_force(
    before: dict[str, Any], after: dict[str, Any], said: dict[str, tuple[str, str]]
) -> None:
    old, new = (
        {"configuration": {"type": "service", **each}, "profile": {"stop_duration": 600}}
        for each in (before, after)
    )
    found = difference(old, new, "service", WITH_LANES)
    told = {change.name: (change.old, change.new) for change in found}
    assert said.items() <= told.items()


def test_three_ways() -> None:
    was = base()
    mine = edit().with_lane("", "gpu-spot", priority=5).with_priority(7)
    theirs = edit().with_lane("", "gpu-spot", min_replicas=1).with_priority(9)
    now = base()
    now = type(now)(**{**vars(now), "spec": theirs.spec, "deployment": 4})
    found = three_way(was, now, mine.spec)
    assert [row.path[-1] for row in found.conflicts] == ["priority"]
    both = ServiceEdit(now, WITH_LANES, found.merged())
    assert (both.run_priority, both.lanes()[1].priority, both.lanes()[1].min_replicas) == (7, 5, 1)
    assert ServiceEdit(now, WITH_LANES, found.merged(keep="theirs")).run_priority == 9
    assert not any(ORDER in row.path for row in found.rows)
    assert {row.label: row.texts for row in found.rows} == {
        "priority": ("0", "9", "7"),
        "fleets gpu-spot priority": ("0 (default)", "0 (default)", "5"),
        "fleets gpu-spot min_replicas": ("0 (default)", "1", "0 (default)"),
    }


def _counted(name: str, count: int, **changes: Any) -> dict[str, Any]:
    """A replica group as dstack 0.20 sends it."""
    entry = group(name, **changes)
    del entry["replicas"]
    return {**entry, "count": {"min": count, "max": count}}


def test_groups_of_dstack_0_20_are_shown_and_not_overwritten() -> None:
    groups = [_counted("router", 1, router={"type": "sglang"}), _counted("worker", 3)]
    begun = edit(lanes=False, replicas=groups, groups=None)
    assert [(each.name, each.least, each.greatest, each.router) for each in begun.groups] == [
        ("router", 1, 1, True),
        ("worker", 3, 3, False),
    ]
    for change in (
        lambda: begun.with_replicas("worker", 2),
        lambda: begun.with_replicas("0", 2),
        lambda: begun.with_group("worker", spot_policy="spot"),
    ):
        with pytest.raises(EditError, match="list under `replicas`") as refused:
            change()
        assert "as text, or update dstack" in str(refused.value)
    assert checks.problems(begun.with_priority(7)) == ()


def test_the_difference_of_groups_of_dstack_0_20() -> None:
    groups = [_counted("worker", 3, env={"HF_TOKEN": SECRET})]
    begun = edit(lanes=False, replicas=groups, groups=None)
    path = ("configuration", "replicas", "worker")
    more = begun.with_values(
        {
            (*path, "count"): {"min": 4, "max": 4},
            (*path, "commands"): ["other"],
            (*path, "env", "HF_TOKEN"): f"{SECRET}2",
        }
    )
    assert more.configuration["replicas"][0]["count"] == {"min": 4, "max": 4}
    told = difference(begun.spec, more.spec, "service", STOCK)
    assert {change.name: (change.old, change.new, change.kind.value) for change in told} == {
        "replicas worker count": ("3", "4", "no restart"),
        "replicas worker commands": ("serve", "other", "rolling deployment"),
        "replicas worker env HF_TOKEN": (MASK, MASK, "rolling deployment"),
    }


def _told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    changes = difference({"configuration": before}, {"configuration": after}, "service", STOCK)
    return [(change.old, change.new) for change in changes]


def test_values_are_told_as_a_file_has_them() -> None:
    probe = {"type": "http", "url": "/health", "until_ready": True, "headers": [{"name": "a"}]}
    found = _told({"probes": [probe]}, {"probes": [{**probe, "url": "/ready"}]})
    assert found == [
        (
            "{type: http, url: /health, until_ready: true, headers: [{name: a}]}",
            "{type: http, url: /ready, until_ready: true, headers: [{name: a}]}",
        )
    ]
    assert _told({"privileged": False}, {"privileged": True}) == [("false", "true")]


def test_values_whose_short_forms_are_the_same_are_told_apart() -> None:
    serve = f"vllm serve acme/{'large' * 40}"
    ((old, new),) = _told({"commands": [f"{serve} -tp 4"]}, {"commands": [f"{serve} -tp 8"]})
    assert (old[:1], old[-6:], new[-6:]) == ("…", " -tp 4", " -tp 8")
    keys = ({"commands": [f"vllm serve acme/a --api-key {key}"]} for key in ("k-1", "k-2"))
    ((old, new),) = _told(*keys)
    assert old == "vllm serve acme/a --api-key ********"
    assert new == f"{old} (what is masked differs)"


@pytest.mark.parametrize("text", ["default", "none", "-", ""])
def test_a_spot_policy_goes_back_to_the_default(text: str) -> None:
    decode = {"name": "decode", "replicas": {"min": 1, "max": 1}, "spot_policy": "spot"}
    begun = edit(groups=[decode], replicas=None)
    back = assignments.assign(begun, assignments.parse(f"decode.spot_policy={text}"))
    assert back.group("decode").spot_policy is None
    assert not checks.problems(back)
