"""The edit of a service as rows of fields, and typed texts as edits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.service.checks import FieldName, Problem, problems
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec.group_roles import labels_in
from dstack_api_client.model.capabilities import Capabilities
from dstack_fleets_tui.editing import form
from dstack_widgets.inputs.edit_grid import EditGrid, GridRow, Place

ADDON = Capabilities("0.22.5", lanes=True, placement_version="0.1.0")
LANES = [
    {"name": "gpu-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
    {"name": "gpu-spot"},
]


def edit(configuration: dict[str, Any], capabilities: Capabilities = ADDON) -> ServiceEdit:
    target = Target("http://server", "main", "service", "chat")
    whole = {"type": "service", "name": "chat", "port": 8000, **configuration}
    spec = {"run_name": "chat", "configuration": whole}
    now = datetime(2026, 5, 1, tzinfo=timezone.utc)
    return ServiceEdit.begin(Base(target, "id", "running", 3, spec, {}, now), capabilities)


def plain() -> ServiceEdit:
    return edit({"replicas": {"min": 3, "max": 3}, "fleets": LANES})


def grouped() -> ServiceEdit:
    prefill = {"name": "prefill", "replicas": {"min": 2, "max": 2}, "fleets": LANES}
    decode = {"name": "decode", "replicas": {"min": 1, "max": 4}, "spot_policy": "spot"}
    return edit({"groups": [prefill, decode], "fleets": ["cpu"]})


def texts(row: GridRow) -> list[str]:
    return [cell.text for cell in row.cells]


def row(rows: list[GridRow], key: str) -> GridRow:
    return next(each for each in rows if each.key == key)


def test_lanes_stand_in_the_order_of_filling_with_what_they_were():
    changed = plain().with_lane("", "gpu-spot", priority=20, min_replicas=2)
    rows = form.rows(changed)
    assert [each.key for each in rows] == [
        "group ", "run", "gap lanes", "head lanes", "lane  gpu-spot", "lane  gpu-reserved",
    ]  # fmt: skip
    assert form.first_place(changed) == Place("lane  gpu-spot", "priority")
    spot = row(rows, "lane  gpu-spot")
    assert texts(spot) == ["20", "gpu-spot", "2", "–"]
    assert spot.note == "was priority 0, min 0"
    assert [cell.style for cell in spot.cells] == ["accent", "", "accent", ""]
    assert row(rows, "lane  gpu-reserved").note == ""


def test_lanes_that_are_added_or_removed_say_so():
    changed = plain().remove_lane("", "gpu-spot").add_lane("", "lab", priority=5)
    rows = form.rows(changed)
    assert row(rows, "lane  lab").note == "added"
    gone = row(rows, "gone  gpu-spot")
    assert gone.note == "removed"
    assert not any(cell.editable for cell in gone.cells)


def test_a_service_without_lanes_says_where_its_replicas_go():
    rows = form.rows(edit({"replicas": {"min": 1, "max": 1}}))
    assert "one fleet" in row(rows, "none ").note


def test_groups_have_their_own_rows_and_lanes():
    rows = form.rows(grouped())
    assert [each.key for each in rows if each.heading] == ["head groups", "head lanes"]
    assert texts(row(rows, "head lanes")) == ["GROUP", "PRIO", "FLEET", "MIN", "MAX"]
    whose = {each.key: texts(each)[0] for each in rows if each.section == "lanes"}
    assert whose.pop("head lanes") == "GROUP"
    assert sorted(whose.values()) == ["decode", "prefill", "prefill"]
    assert texts(row(rows, "group decode")) == ["decode", "1..4", "spot", "–"]


def test_the_spot_policy_in_force_is_shown_with_where_it_comes_from():
    silent = grouped().with_group("decode", spot_policy=None)
    cell = row(form.rows(silent), "group decode").cells[2]
    assert (cell.text, cell.style, cell.editable) == ("on-demand (default)", "accent", True)
    assert cell.choices == ("on-demand (default)", "auto", "on-demand", "spot")
    groups = [{"name": "one", "replicas": {"min": 1, "max": 1}}]
    calm = edit({"groups": groups, "spot_policy": "spot", "fleets": ["cpu"]})
    cell = row(form.rows(calm), "group one").cells[2]
    assert (cell.text, cell.editable) == ("spot (service)", False), "dstack takes no second one"


def test_the_reservation_in_force_is_shown_with_where_it_comes_from():
    def of(group: dict[str, Any], *, service: str | None = None, profile: str | None = None):
        one = {"name": "one", "replicas": {"min": 1, "max": 1}, **group}
        begun = edit({"groups": [one], "reservation": service, "fleets": ["cpu"]})
        spec = {**begun.base.spec, "profile": {"reservation": profile}}
        begun = ServiceEdit.begin(replace(begun.base, spec=spec), ADDON)
        cell = row(form.rows(begun), "group one").cells[3]
        return begun, (cell.text, cell.editable)

    assert of({})[1] == ("–", True)
    assert of({"reservation": "cr-1"}, profile="cr-2")[1] == ("cr-1", True)
    assert of({}, service="cr-1")[1] == ("cr-1 (service)", False), "dstack takes no second one"
    begun, shown = of({}, profile="cr-2")
    assert shown == ("cr-2 (profile)", True)
    field = FieldName("reservation", "one")
    same, other = (form.typed(begun, field, text) for text in ("cr-2 (profile)", "cr-3"))
    assert isinstance(same, ServiceEdit)
    assert same.groups[0].reservation is None
    assert isinstance(other, ServiceEdit)
    assert other.groups[0].reservation == "cr-3"


def test_on_a_stock_server_lanes_are_shown_and_can_not_be_typed_into():
    rows = form.rows(
        edit({"replicas": {"min": 1, "max": 1}, "fleets": LANES}, Capabilities("0.22.5"))
    )
    assert not any(cell.editable for cell in row(rows, "lane  gpu-reserved").cells)
    assert row(rows, "group ").cells[1].editable


def test_what_is_wrong_is_marked_also_where_it_is_a_sum():
    changed = plain().with_lane("", "gpu-spot", min_replicas=9)
    found = problems(changed)
    rows = form.rows(changed, found)
    styles = {each.key: [cell.style for cell in each.cells] for each in rows}
    assert styles["lane  gpu-spot"][2] == styles["lane  gpu-reserved"][2] == "bad"


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        (FieldName("priority", "", "gpu-spot"), "20", 20),
        (FieldName("min_replicas", "", "gpu-spot"), "", 0),
        (FieldName("max_replicas", "", "gpu-reserved"), "", None),
        (FieldName("max_replicas", "", "gpu-reserved"), "–", None),
    ],
)
def test_a_typed_number_becomes_the_lane_s(field: FieldName, text: str, expected: int | None):
    read = form.typed(plain(), field, text)
    assert isinstance(read, ServiceEdit)
    lane = next(lane for lane in read.lanes("") if lane.fleet == field.fleet)
    assert getattr(lane, field.name) == expected


@pytest.mark.parametrize("text", ["x", "-1", "1.5"])
def test_what_is_no_number_is_refused_with_a_line(text: str):
    read = form.typed(plain(), FieldName("priority", "", "gpu-spot"), text)
    assert isinstance(read, Problem)
    assert "Write 0 or more" in read.line


def test_counts_groups_and_the_run_s_priority():
    read = form.typed(grouped(), FieldName("replicas", "decode"), "2..6")
    assert isinstance(read, ServiceEdit)
    assert (read.group("decode").least, read.group("decode").greatest) == (2, 6)
    read = form.typed(grouped(), FieldName("spot_policy", "decode"), "on-demand (default)")
    assert isinstance(read, ServiceEdit)
    assert read.group("decode").spot_policy is None
    read = form.typed(grouped(), FieldName("run_priority"), "50")
    assert isinstance(read, ServiceEdit)
    assert read.run_priority == 50
    assert isinstance(form.typed(plain(), FieldName("replicas"), "9..3"), Problem)


def test_from_whom_minimums_take_places_is_chosen_where_the_server_knows_it():
    assert not any(each.key == "reclaim" for each in form.rows(plain()))
    known = replace(ADDON, features=frozenset({"reclaim"}))
    begun = edit({"replicas": {"min": 3, "max": 3}, "fleets": LANES}, known)
    read = form.typed(begun, FieldName("reclaim"), "lower")
    assert isinstance(read, ServiceEdit)
    found = row(form.rows(read), "reclaim")
    assert texts(found) == ["reclaim", "lower"]
    assert found.note == "was off"
    assert found.cells[1].choices == ("off", "lower", "any")


def test_every_field_of_the_grid_is_found_back():
    knows = edit({"fleets": LANES}, replace(ADDON, features=frozenset({"reclaim"})))
    for one in (plain(), grouped(), knows):
        for each in form.rows(one):
            for cell in each.cells:
                if cell.editable and not each.heading:
                    place = Place(each.key, cell.key)
                    assert form.place_of(form.field_at(one, place)) == place


def test_fleets_that_have_a_lane_are_not_offered():
    assert form.addable(plain(), "", {"lab", "gpu-spot", "gpu-reserved"}) == ["lab"]


def test_a_group_without_a_name_says_what_it_does():
    sglang = "python -m sglang.launch_server --disaggregation-mode"
    one = {"min": 1, "max": 1}
    groups = [
        {"replicas": one, "router": {"type": "sglang"}, "commands": ["smg launch"]},
        {"replicas": one, "commands": [f"{sglang} prefill"], "fleets": LANES},
        {"replicas": one, "commands": [f"{sglang} decode"], "name": "fast"},
        {"replicas": one, "router": {"type": "sglang"}, "name": "front"},
    ]
    begun = edit({"groups": groups, "fleets": ["cpu"]})
    rows = form.rows(begun)
    told = [row(rows, f"group {key}") for key in ("0", "1", "fast", "front")]
    assert [each.cells[0].text for each in told] == ["0 router", "1 prefill", "fast", "front"]
    assert [each.note for each in told] == ["", "", "", "router"]
    whose = {texts(each)[0] for each in rows if each.section == "lanes" and not each.heading}
    assert whose == {"0 router, fast, front", "1 prefill"}
    labels = labels_in(begun.spec)
    assert form.subject(FieldName("min_replicas", "1", "cpu"), labels) == "1 prefill/cpu"
    assert form.subject(FieldName("replicas", "1"), labels) == "1 prefill"


async def test_where_a_spot_policy_comes_from_is_read_in_full_at_120_columns() -> None:
    """The form has 64 cells there: headings and notes give way before a field is cut."""
    groups = [
        {"name": name, "replicas": {"min": 2, "max": 2}, "fleets": LANES, "commands": ["serve"]}
        for name in ("prefill", "decode")
    ]
    changed = edit({"groups": groups}).with_replicas("prefill", 3, 3)
    grid = EditGrid()
    grid.show(form.rows(changed))
    lines = [str(line) for line in grid.lines(64)]
    (prefill,) = [line for line in lines if "prefill" in line and "on-demand (default)" in line]
    assert len(prefill) <= 64
