"""Values of a profile in the fleet's form, its YAML and its plan; fields that the form lacks."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.core.models.profiles import ProfileParams
from dstack._internal.core.models.resources import GPUSpec

from dstack_api_client.edits.base.difference import changed_fields, difference
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.service.checks import FieldName
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.configuration import gpu_parts, readable
from dstack_api_client.model.profile import FIELDS, in_profile, spec_yaml
from dstack_api_client.model.short_forms import Nodes
from dstack_fleets_tui.editing import fleet_form
from tests.builders.fleet_edits import base

PROFILE = {
    "name": "thrift",
    "default": True,
    "spot_policy": "spot",
    "max_price": 3.0,
    "backends": ["aws"],
    "regions": ["eu-west-1"],
    "tags": {"cost_center": "A 17"},
}
GPU = {
    "vendor": "nvidia",
    "name": ["L4"],
    "count": {"min": 4, "max": 4},
    "compute_capability": [8, 9],
    "of_a_later_version": "x",
}


def begun(**changes: Any) -> FleetEdit:
    silent = {"backends": None, "regions": None, "spot_policy": None}
    read = base(**{**silent, **changes})
    return FleetEdit.begin(type(read)(**{**vars(read), "spec": {**read.spec, "profile": PROFILE}}))


def cells(edit: FleetEdit) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    return {
        row.key: (row.cells[1].text, row.note, row.cells[1].choices)
        for row in fleet_form.rows(edit)
        if row.key not in ("head", "nodes", "gap")
    }


def typed(edit: FleetEdit, name: str, text: str) -> FleetEdit:
    made = fleet_form.typed(edit, FieldName(name), text)
    assert isinstance(made, FleetEdit), made
    return made


def test_what_is_in_force_is_shown_and_where_it_comes_from() -> None:
    shown = cells(begun())
    policies = ("spot (profile)", "on-demand", "spot", "auto")
    assert shown["spot_policy"] == ("spot (profile)", "", policies)
    assert shown["max_price"][0] == "3 (profile)"
    assert shown["backends"][0] == "aws (profile)"
    assert shown["regions"][0] == "eu-west-1 (profile)"
    assert shown["tags"][0] == "cost_center=A 17 (profile)"
    assert shown["reservation"][0] == "–"
    assert cells(begun(max_price=2.5))["max_price"][0] == "2.5"


@pytest.mark.parametrize("name", ["spot_policy", "max_price", "backends", "regions", "tags"])
def test_a_value_of_the_profile_is_not_copied(name: str) -> None:
    edit = begun()
    assert typed(edit, name, cells(edit)[name][0]) is edit


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("spot_policy", "spot", "spot"),
        ("max_price", "4 (profile)", 4.0),
        ("regions", "eu-west-1, eu-west-2 (profile)", ["eu-west-1", "eu-west-2"]),
        ("tags", "cost_center=A 17, team=ml (profile)", {"cost_center": "A 17", "team": "ml"}),
    ],
)
def test_one_goes_on_from_the_value_of_the_profile(name: str, text: str, value: Any) -> None:
    assert typed(begun(), name, text).configuration[name] == value


@pytest.mark.parametrize("text", ["", "3 (profile)"])
def test_an_emptied_field_has_the_value_of_the_profile_again(text: str) -> None:
    edit = begun(max_price=5.0)
    emptied = typed(edit, "max_price", text)
    assert emptied.configuration["max_price"] is None
    assert cells(emptied)["max_price"][:2] == ("3 (profile)", "was 5")
    (change,) = difference(edit.base.spec, emptied.spec, "fleet", UNKNOWN)
    assert (change.old, change.new) == ("5", "3 (profile)")
    assert cells(typed(begun(spot_policy="auto"), "spot_policy", "spot (profile)"))["spot_policy"][
        :2
    ] == ("spot (profile)", "was auto")


def test_the_yaml_says_what_the_profile_adds() -> None:
    edit = begun(regions=["us-east-1"])
    text = fleets.as_text(edit)
    assert yaml.safe_load(text) == readable(edit.configuration)
    remarks = [line for line in text.splitlines() if line.startswith("#")]
    assert remarks == [
        "# From the profile, in force where nothing else is said above:",
        "# backends:",
        "# - aws",
        "# max_price: 3",
        "# spot_policy: spot",
        "# tags:",
        "#   cost_center: A 17",
    ]
    secret = {"profile": {"backend_options": [{"type": "a", "token": "hunter2"}]}}
    assert "hunter2" not in spec_yaml(secret)
    assert spec_yaml({"profile": None, "configuration": {"type": "fleet"}}) == "type: fleet\n"


def test_the_profile_is_merged_as_dstack_merges_it() -> None:
    assert set(FIELDS) == set(ProfileParams.model_fields)
    configuration = {"type": "fleet", "name": "a", "nodes": "0..1", "regions": ["us"]}
    spec = {"configuration": configuration, "profile": PROFILE}
    theirs = FleetSpec.model_validate(spec).merged_profile
    assert theirs.regions == ["us"]
    assert theirs.max_price == in_profile(spec, "max_price")
    assert theirs.tags == in_profile(spec, "tags")


def test_fields_that_the_form_does_not_know_are_kept() -> None:
    edit = begun(
        resources={"gpu": GPU, "disk": {"size": {"min": 100.0, "max": None}, "kind": "ssd"}},
        nodes={"min": 1, "max": 4, "of_a_later_version": 3},
    )
    shown = cells(edit)
    assert shown["gpu"][:2] == (
        "nvidia:L4:4", "and compute_capability 8.9, of_a_later_version x",
    )  # fmt: skip
    assert shown["disk"][:2] == ("100GB..", "and kind ssd")
    for name in ("gpu", "disk"):
        assert not typed(edit, name, shown[name][0]).changed
    resources = typed(edit, "gpu", "L4,A10:24GB..:2").configuration["resources"]
    assert resources["gpu"] == {
        "compute_capability": [8, 9],
        "of_a_later_version": "x",
        "name": ["L4", "A10"],
        "memory": "24GB..",
        "count": "2",
    }
    assert resources["disk"] == {"size": {"min": 100.0, "max": None}, "kind": "ssd"}
    fewer = typed(edit, "gpu", "nvidia:L4:2")
    assert list(changed_fields(edit.spec, fewer.spec)) == [
        ("configuration", "resources", "gpu", "count")
    ], "what was typed as it is changes nothing"
    disk = typed(edit, "disk", "200GB").configuration["resources"]["disk"]
    assert disk == {"kind": "ssd", "size": "200GB"}
    nodes = edit.with_nodes(Nodes(0, 2, 6)).configuration["nodes"]
    assert nodes == {"min": 0, "target": 2, "max": 6, "of_a_later_version": 3}
    assert readable(edit.configuration)["resources"]["gpu"]["compute_capability"] == "8.9"


@pytest.mark.parametrize(
    "text",
    ["H100:8", "24GB..", "nvidia:80GB:2", "H100,H200:1..8", "amd:MI300X", "4", "tpu:v5litepod-4"],
)
def test_a_text_stands_for_the_fields_that_dstack_reads(text: str) -> None:
    assert GPUSpec.model_validate(gpu_parts(text)) == GPUSpec.model_validate(text)


def test_what_readable_says_of_a_gpu_is_what_dstack_reads_back() -> None:
    known = {key: value for key, value in GPU.items() if key != "of_a_later_version"}
    for gpu in (known, {"total_memory": {"min": 80.0, "max": None}}):
        there = json_of(GPUSpec.model_validate(gpu))
        shown = readable({"resources": {"gpu": there}})["resources"]["gpu"]
        assert json_of(GPUSpec.model_validate(shown)) == there


def json_of(spec: GPUSpec) -> dict[str, Any]:
    return dict(spec.model_dump(mode="json"))
