"""Edits of fleets as values, and what the server does after them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.edits.base.difference import NotInPlaceError, difference
from dstack_api_client.edits.errors import EndedError
from dstack_api_client.edits.fleet.fleet import FleetEdit, why_not
from dstack_api_client.edits.fleet.fleet_effects import Effects, can_be_deleted, effects
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.short_forms import Nodes
from tests.builders import snapshots
from tests.builders.fleet_edits import BUSY, base, edit, idle, shot


def after(change: FleetEdit, *instances: Instance) -> Effects:
    found = effects(change, shot(*instances))
    assert found is not None
    return found


def names(found: Effects) -> list[str]:
    return [each.name for each in found.ends]


def test_an_edit_leaves_the_rest_of_the_spec_alone():
    changed = edit().with_nodes(Nodes(2, 3, None)).with_field("tags", {"team": "ml"})
    assert changed.configuration["nodes"] == {"min": 2, "target": 3, "max": None}
    assert changed.configuration["of_a_later_version"] == {"kept": True}
    assert edit().with_nodes(Nodes(1, 1, 4)).changed is False


@pytest.mark.parametrize(
    ("nodes", "field"),
    [(Nodes(-1, 0, 4), "min"), (Nodes(3, 2, 4), "target"), (Nodes(2, 5, 4), "max")],
)
def test_what_is_wrong_names_its_field(nodes: Nodes, field: str):
    (problem,) = edit().with_nodes(nodes).problems()
    assert problem.field.name == field


def test_a_fleet_may_be_emptied_and_a_price_has_to_be_one():
    assert edit().with_nodes(Nodes(0, 0, 0)).problems() == ()
    (problem,) = edit().with_field("max_price", 0.0).problems()
    assert problem.field.name == "max_price"


def test_ssh_and_imported_fleets_say_why_they_are_not_edited_here():
    ssh = why_not(base(ssh_config={"hosts": ["10.0.0.1"]}, nodes=None))
    assert ssh is not None
    assert "no file is named" in ssh[0]
    with pytest.raises(NotInPlaceError, match="belongs to project other"):
        FleetEdit.begin(base(project="other"))


@pytest.mark.parametrize(
    ("status", "told"), [("terminating", "is being deleted"), ("failed", "has failed")]
)
def test_one_that_is_going_is_called_what_the_screens_call_it(status: str, told: str):
    with pytest.raises(EndedError, match=f"The fleet gpu {told}: nothing is changed"):
        replace(base(), status=status).refuse_gone()


def test_the_server_starts_up_to_min_and_ends_idle_ones_above_max():
    found = after(edit().with_nodes(Nodes(3, 3, 4)), idle(), BUSY)
    assert (found.now, found.starts, names(found), found.after) == (2, 1, [], 3)
    found = after(edit().with_nodes(Nodes(0, 0, 1)), idle(), BUSY, idle())
    assert (names(found), found.after, found.warnings) == (["gpu-0", "gpu-2"], 1, ())


@pytest.mark.parametrize(
    ("backends", "starts", "told"),
    [
        (["kubernetes"], 0, "kubernetes starts instances with jobs only."),
        (["vastai", "runpod"], 0, "vastai, runpod start instances with jobs only."),
        (["kubernetes", "aws"], 2, ""),
    ],
)
def test_where_instances_start_with_jobs_only_a_minimum_starts_none(
    backends: list[str], starts: int, told: str
):
    change = edit(backends=backends).with_nodes(Nodes(2, 2, 5))
    found = after(change)
    assert (found.starts, found.with_jobs_only) == (starts, not starts)
    lines = [each.line for each in found.warnings]
    assert lines == (
        [f"{told} A minimum has no effect there; write `nodes: 0..5`."] if told else []
    )
    assert not after(change.with_nodes(Nodes(0, 0, 5))).warnings
    of_the_project = replace(shot(), backends=("kubernetes",))
    unnamed = effects(edit(backends=None).with_nodes(Nodes(1, 1, None)), of_the_project)
    assert unnamed is not None
    assert unnamed.starts == 0
    assert unnamed.warnings[0].line.endswith("write `nodes: 0..`.")


def test_busy_ones_above_max_stay_and_are_told():
    found = after(edit().with_nodes(Nodes(0, 0, 1)), BUSY, BUSY)
    assert names(found) == []
    assert [warning.key for warning in found.warnings] == ["above-maximum"]


@pytest.mark.parametrize(
    ("name", "value", "ends"),
    [
        ("spot_policy", "spot", True),
        ("spot_policy", "on-demand", False),
        ("regions", ["US-EAST-1"], False),
        ("regions", ["us-west-2"], True),
        ("backends", ["gcp"], True),
        ("instance_types", ["p4d.24xlarge"], True),
        ("max_price", 50.0, True),
        ("max_price", 98.32, False),
        ("availability_zones", ["us-east-1b"], False),  # not known of the instance
        ("reservation", "cr-1", False),
        ("tags", {"team": "ml"}, False),
    ],
)
def test_unused_instances_that_no_longer_fit_end(name: str, value: object, ends: bool):
    found = after(edit().with_field(name, value), idle(), BUSY)
    assert names(found) == (["gpu-0"] if ends else [])
    # With it gone, one is left for the minimum of one.
    assert found.starts == 0


def test_what_ends_because_it_does_not_fit_is_started_anew_below_min():
    found = after(edit().with_field("regions", ["us-west-2"]), idle(), idle())
    assert (found.starts, len(found.unfit), found.after) == (1, 2, 1)


def test_what_did_not_fit_before_is_not_the_edit_s_doing():
    found = after(edit().with_field("tags", {"a": "b"}), idle(region="eu-west-1"), BUSY)
    assert names(found) == []


def test_instances_that_are_going_do_not_count():
    going = snapshots.instance("g", status="terminating")
    assert after(edit().with_nodes(Nodes(2, 2, 4)), going, BUSY).starts == 1


def test_other_resources_are_warned_of_since_only_the_server_can_tell():
    changed = edit().with_field("resources", {"gpu": "H200:8"})
    assert [warning.key for warning in after(changed, idle()).warnings] == ["resources"]


def test_what_a_field_means_for_instances_that_are_there():
    changed = edit().with_field("regions", ["us-west-2"]).with_field("tags", {"a": "b"})
    found = difference(changed.base.spec, changed.spec, "fleet", UNKNOWN)
    notes = {change.path[1]: change.note for change in found}
    assert "no longer fit" in notes["regions"]
    assert "to come" in notes["tags"]


@pytest.mark.parametrize(
    ("instance", "can"),
    [
        (idle(), True),
        (snapshots.instance("s", status="provisioning", busy_blocks=0), True),
        (replace(idle(), unreachable=True), True),
        (BUSY, False),
        (replace(idle(), status="busy"), False),
        (replace(idle(), status="provisioning", jobs=(("chat", 0, 0),)), False),
        (replace(idle(), status="terminating"), False),
    ],
)
def test_instances_that_no_job_holds_can_be_deleted(instance: Instance, can: bool):
    assert can_be_deleted(instance) is can


def test_numbers_put_back_to_what_they_were_have_the_form_in_which_they_were_stored():
    for stored in ("1..4", 2, {"min": "1", "max": 4}):
        begun = edit(nodes=stored)
        changed = begun.with_nodes(Nodes(0, 0, 9))
        assert changed.configuration["nodes"] == {"min": 0, "max": 9}
        assert not changed.with_nodes(begun.nodes).changed


def test_prices_written_as_text_are_prices():
    assert edit(max_price="1.5").problems() == ()
    assert [each.field.name for each in edit(max_price="-1").problems()] == ["max_price"]
    dear = idle(price=9.0)
    changed = edit(max_price="10")
    assert names(after(changed.with_field("max_price", "8.5"), dear)) == ["gpu-0"]
    assert names(after(changed.with_field("max_price", "9"), dear)) == []
    with pytest.raises(NotInPlaceError, match="`max_price` of gpu is not as this client knows it"):
        edit(max_price="cheap")
