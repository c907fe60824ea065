"""The edit of a fleet as rows of fields, and typed texts as edits."""

from __future__ import annotations

import pytest

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.model.short_forms import Nodes
from dstack_fleets_tui.editing import fleet_form
from dstack_widgets.inputs.edit_grid import GridRow, Place
from tests.builders.cloud_fleet_edit import edit


def row(rows: list[GridRow], key: str) -> GridRow:
    return next(each for each in rows if each.key == key)


def typed(name: str, text: str, begun: FleetEdit | None = None) -> FleetEdit:
    read = fleet_form.typed(begun or edit(), FieldName(name), text)
    assert isinstance(read, FleetEdit), read
    return read


def refused(name: str, text: str) -> str:
    read = fleet_form.typed(edit(), FieldName(name), text)
    assert isinstance(read, Problem), "it was taken"
    assert read.field.name == name
    return read.line


def test_fields_stand_as_one_types_them():
    rows = fleet_form.rows(edit())
    shown = {each.key: [cell.text for cell in each.cells[1:]] for each in rows if each.cells}
    assert shown == {
        "head": ["MIN", "TARGET", "MAX"],
        "nodes": ["1", "1", "4"],
        "spot_policy": ["on-demand"],
        "reservation": ["–"],
        "max_price": ["120.5"],
        "backends": ["aws"],
        "regions": ["us-east-1, us-west-2"],
        "availability_zones": ["–"],
        "instance_types": ["–"],
        "gpu": ["H100:8"],
        "cpu": ["2.."],
        "memory": ["8GB.."],
        "disk": ["100GB.."],
        "tags": ["team=ml"],
    }


def test_what_is_changed_says_what_it_was_and_what_is_wrong_is_marked():
    changed = typed("regions", "", edit().with_nodes(Nodes(5, 5, 4)))
    rows = fleet_form.rows(changed, changed.problems())
    nodes = row(rows, "nodes")
    assert nodes.note == "was 1..4"
    assert [cell.style for cell in nodes.cells] == ["", "accent", "accent", "bad"]
    assert row(rows, "regions").note == "was us-east-1, us-west-2"
    assert row(rows, "tags").note == ""


@pytest.mark.parametrize(
    ("name", "text", "nodes"),
    [
        ("min", "2", Nodes(2, 2, 4)),  # a target that is the minimum goes along
        ("min", "", Nodes(0, 0, 4)),
        ("target", "3", Nodes(1, 3, 4)),
        ("target", "", Nodes(1, 1, 4)),
        ("max", "9", Nodes(1, 1, 9)),
        ("max", "0", Nodes(1, 1, 0)),
        ("max", "–", Nodes(1, 1, None)),
    ],
)
def test_typed_counts(name: str, text: str, nodes: Nodes):
    assert typed(name, text).nodes == nodes


def test_a_target_of_its_own_stays_where_it_is():
    assert typed("min", "2", edit().with_nodes(Nodes(1, 3, 4))).nodes == Nodes(2, 3, 4)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("spot_policy", "auto", "auto"),
        ("spot_policy", "default", None),
        ("spot_policy", "on-demand (default)", None),
        ("reservation", "cr-0f3a", "cr-0f3a"),
        ("max_price", "", None),
        ("max_price", "2.5", 2.5),
        ("backends", "aws gcp", ["aws", "gcp"]),
        ("regions", "", None),
        ("tags", "team=ml, cost=7", {"team": "ml", "cost": "7"}),
        ("tags", "", None),
    ],
)
def test_typed_fields(name: str, text: str, value: object):
    assert typed(name, text).configuration[name] == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gpu", "H200:4..8"),
        ("cpu", "16"),
        ("cpu", "arm:4.."),
        ("memory", "64GB..1.5TB"),
        ("disk", "..500GB"),
    ],
)
def test_typed_resources(name: str, text: str):
    resources = typed(name, text).configuration["resources"]
    assert resources[name] == text
    others = {key: item for key, item in resources.items() if key != name}
    assert others.items() <= edit().configuration["resources"].items()


@pytest.mark.parametrize("name", ["gpu", "cpu", "memory", "disk"])
def test_a_resource_that_is_not_asked_for_is_left_out(name: str):
    assert name not in typed(name, "").configuration["resources"]


def test_what_is_typed_as_it_was_changes_nothing():
    for each in fleet_form.rows(edit()):
        for cell in each.cells:
            if cell.editable and not each.heading:
                text = "" if cell.text == "–" else cell.text
                assert not typed(cell.key, text).changed, cell.key


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("min", "two", "not a whole number"),
        ("max", "-1", "negative"),
        ("max_price", "nan", "is not a price"),
        ("max_price", "-2", "is not a price"),
        ("tags", "team", "key=value"),
        ("cpu", "many", "4.."),
        ("memory", "64", "64GB"),
        ("disk", "1GB...2GB", "32GB.."),
    ],
)
def test_what_can_not_be_read_is_refused_with_a_line(name: str, text: str, line: str):
    assert line in refused(name, text)


def test_every_field_of_the_grid_is_found_back():
    for each in fleet_form.rows(edit()):
        for cell in each.cells:
            if cell.editable and not each.heading:
                assert fleet_form.place_of(FieldName(cell.key)) == Place(each.key, cell.key)


def test_the_spot_policy_in_force_is_shown_where_the_fleet_says_nothing():
    cell = row(fleet_form.rows(typed("spot_policy", "")), "spot_policy").cells[1]
    assert cell.text == "on-demand (default)"
    assert cell.choices[0] == cell.text
