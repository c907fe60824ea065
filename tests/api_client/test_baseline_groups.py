"""Replica groups that are bought in different ways: a baseline and overflow without lanes."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.model.purchases import baselines, purchase_of, replica_purchase
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.watch import problems_of
from dstack_fleets_tui.headless.kinds import distribution, replicas
from dstack_fleets_tui.tables import group_rows as table
from dstack_fleets_tui.tables import replicas as list_of_replicas
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import plain_text
from tests.builders import answers, baseline_and_overflow
from tests.builders.baseline_and_overflow import NO_OFFERS, groups, snapshot

LOOKS = Looks(answers.START)


def steady(made: Snapshot) -> Service:
    return made.services[baseline_and_overflow.RUN]


def rows_of(made: Snapshot) -> list[list[str]]:
    shown = distribution_of(made, steady(made))
    return [
        [plain_text(cell) for cell in table.cells(row, shown.labels, shown, LOOKS)]
        for row in shown.by_group
    ]


def test_each_group_says_how_it_is_bought_and_within_which_limits() -> None:
    made = snapshot("running", "running", "running")
    rows = rows_of(made)
    assert [row[:4] for row in rows] == [
        ["baseline", "on-demand, reservation cr-77aa", "2", "2"],
        ["overflow", "spot", "1", "3"],
    ]
    assert [row[8] for row in rows] == ["pool", "pool"]
    shown = distribution_of(made, steady(made))
    told = list(distribution.cells(shown, steady(made), made))
    assert [row[10] for row in told] == [
        "baseline 2 (on-demand, reservation cr-77aa)",
        "overflow 1 (spot)",
    ]
    groups = distribution.item(shown, steady(made), made)["groups"]
    assert [(each["name"], each["baseline"], each["min"], each["max"]) for each in groups] == [
        ("baseline", True, 2, 2),
        ("overflow", False, 1, 3),
    ]


def test_no_note_says_that_there_are_no_minimums() -> None:
    made = snapshot("running", "running", "running")
    notes = " ".join(distribution_of(made, steady(made)).notes)
    assert "without minimum" not in notes
    assert "Each replica group has its own minimum and maximum." in notes


def test_each_replica_says_how_it_was_bought() -> None:
    made = snapshot("running", "running", "running", "submitted")
    bought = [replica_purchase(each) for each in made.replicas.values()]
    assert bought == ["reserved", "reserved", "spot", "spot"]
    keys = [column.key for column in list_of_replicas.columns(steady(made))]
    assert "purchase" in keys
    assert [replicas.cells(each, made)[8] for each in made.replicas.values()] == [
        "reserved",
        "reserved",
        "spot",
        "spot",
    ]


@pytest.mark.parametrize("status", ["submitted", "terminating", "failed"])
def test_a_lost_baseline_is_graver_than_lost_overflow(status: str) -> None:
    (lost,) = problems_of(snapshot("running", status, "running"), answers.START)
    assert (lost.kind.value, lost.severity.name) == ("baseline", "CRITICAL")
    assert lost.text.startswith("baseline 1 of 2 (on-demand, reservation cr-77aa): baseline 1: no")
    (less,) = problems_of(snapshot("running", "running", status), answers.START)
    assert (less.kind.value, less.severity.name) == ("replica", "WARNING")
    assert less.text.startswith("overflow 2: no place yet")


def test_both_lost_are_two_problems() -> None:
    found = problems_of(snapshot("running", "failed", "failed"), answers.START)
    assert [each.severity.name for each in found] == ["CRITICAL", "WARNING"]


@pytest.mark.parametrize("status", ["terminating", "failed"])
def test_a_row_says_what_it_lacks(status: str) -> None:
    rows = rows_of(snapshot("running", status, status))
    assert rows[0][0].endswith("baseline")
    # A line below the table has the cause.
    assert rows[0][-1] == "BASELINE 1 of 2 for 10m"
    assert rows[1][-1] == f"no place yet: {NO_OFFERS}"
    assert [row[6] for row in rows] == ["1", "1"]


def changed(**changes: Any) -> list[dict[str, Any]]:
    first, second = groups()
    return [{**first, **changes.get("first", {})}, {**second, **changes.get("second", {})}]


@pytest.mark.parametrize(
    ("given", "firm"),
    [
        (groups(), {"baseline"}),
        (changed(second={"spot_policy": "auto"}), {"baseline"}),
        (changed(first={"reservation": None, "spot_policy": None}), {"baseline"}),
        (changed(second={"spot_policy": "on-demand"}), set()),
        (changed(first={"spot_policy": "spot", "reservation": None}), set()),
        (changed(first={"replicas": {"min": 0, "max": 2}}), set()),
        (changed(second={"router": {"type": "sglang"}}), set()),
    ],
    ids=["as it is", "auto", "by default", "all firm", "all spot", "no minimum", "router"],
)
def test_which_groups_are_the_baseline(given: list[dict[str, Any]], firm: set[str]) -> None:
    assert baselines(steady(snapshot("running", "running", given=given))) == firm


def test_parts_of_a_disaggregated_service_are_no_baseline_of_one_another() -> None:
    prefill = ["python -m sglang.launch_server --disaggregation-mode prefill"]
    decode = ["python -m sglang.launch_server --disaggregation-mode decode"]
    given = changed(first={"commands": prefill}, second={"commands": decode})
    made = snapshot("running", "running", "running", given=given)
    assert baselines(steady(made)) == set()
    assert len(distribution_of(made, steady(made)).by_group) == 2


def test_what_a_group_does_not_say_is_the_service_s() -> None:
    given = changed(first={"spot_policy": None, "reservation": None})
    made = steady(snapshot("running", "running", given=given))
    assert [purchase_of(group) for group in made.groups] == ["on-demand", "spot"]
