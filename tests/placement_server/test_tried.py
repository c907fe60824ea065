"""What the add-on makes of runs in a database: previews, removed groups, warnings, ended runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers.findings import findings

_WHERE = "The `min_replicas` of `fleets` add up to"
_LOWER = "Lower them or raise `replicas`."
_BREAKS = "scaling down to it breaks the baseline."


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `tried` found."""
    found: dict[str, Any] = findings(tmp_path_factory, "stored_runs")
    return found


def test_a_preview_judges_the_lanes_by_the_counts_that_it_tries(told: dict[str, Any]) -> None:
    found = told["previews"]
    assert found["more than stored"]["notes"] == []
    assert sum(found["more than stored"]["after"].values()) == 4
    assert (
        found["fewer than stored"] == f"{_WHERE} 2, above the maximum replica count of 1. {_LOWER}"
    )
    assert found["as stored"] == f"{_WHERE} 3, above the maximum replica count of 2. {_LOWER}"
    assert found["stored still"] == {"min": 2, "max": 2}


def test_a_preview_tries_ranges(told: dict[str, Any]) -> None:
    found = told["previews"]
    assert found["a range"]["notes"] == [
        f"{_WHERE} 3, above the minimum replica count of 1: {_BREAKS}"
    ]
    assert sum(found["a range"]["after"].values()) == 2, "two are wanted, and may stay so"
    refused = f"{_WHERE} 5, above the maximum replica count of 4. {_LOWER}"
    assert found["a range that is too small"] == refused
    assert sum(found["another range"]["after"].values()) == 3, "two are wanted, and three the least"
    assert found["another range"]["notes"][0].startswith(f"{_WHERE} 6, above the minimum")


def test_a_count_that_the_autoscaler_may_choose_keeps_the_range(told: dict[str, Any]) -> None:
    found = told["previews"]
    assert sum(found["of a scaled service"]["after"].values()) == 2
    assert found["of a scaled service"]["notes"][0].startswith(f"{_WHERE} 4, above the minimum")
    assert sum(found["above the range"]["after"].values()) == 6
    assert found["negative"] == "The count of group 0 is negative (-1). Write 0 or more."


def test_a_preview_tries_counts_of_a_group(told: dict[str, Any]) -> None:
    found = told["previews"]
    assert found["of a group"] == {"after": {"near": 2, "far": 0}, "notes": []}
    assert found["of a group, too few"].startswith("The `min_replicas` of `fleets` of group one")


def test_a_preview_counts_what_dstack_starts_again(told: dict[str, Any]) -> None:
    """It does so before it scales: 3 to 5 are two more, whatever moment it is."""
    found = told["retried"]
    again = [[0, False, "stay"], [1, False, "start"], [2, False, "start"]]
    assert found["3"] == again
    assert found["5"][:3] == again
    assert [row[1:] for row in found["5"][3:]] == [[True, "start"]] * 2
    assert sorted(action for *_, action in found["2"]) == ["start", "stay", "stop"]


def test_a_waiting_replica_of_a_removed_group(told: dict[str, Any]) -> None:
    found = told["removed group"]
    assert found["pool"] is None
    assert found["pool of what stays"] == ""
    why = "group gone is not in the service any more"
    assert found["answer"] == ["_DeferSubmittedJobResult", why]
    assert found["asked dstack"] == 0, "no instance is taken for it"
    assert found["failure"] == [[], False], "its failure neither ends the run nor is tried again"
    assert found["order"] == [True], "dstack stops it in its own order"
    assert found["groups"] == ["one"]


def test_replicas_older_than_the_lanes_have_no_reason(told: dict[str, Any]) -> None:
    assert told["removed group"]["replicas"] == [["gone", None, None], ["one", None, None]]


def test_a_warning_is_an_event_of_each_edit_that_is_applied(told: dict[str, Any]) -> None:
    found = told["warned"]
    line = f"{_WHERE} 3, above the minimum replica count of 1: {_BREAKS}"
    assert found["once"] == [line.rstrip(".")]
    assert found["twice"] == 2
    assert found["refused"] == [["Resource has been changed."], 2], "what is refused tells nothing"
    assert found["plain"] == []


def test_a_warning_stands_in_the_list_the_placement_and_the_preview(told: dict[str, Any]) -> None:
    found = told["warned"]
    line = f"{_WHERE} 3, above the minimum replica count of 1: {_BREAKS}"
    assert found["list"] == {"not-warned": [], "warned": [line]}
    assert found["get"] == [line]
    assert found["preview"] == [line]


def test_places_of_a_lent_fleet_are_counted_under_both_names(told: dict[str, Any]) -> None:
    """Of four nodes, three are promised to the lender's run, and then one to the borrower's."""
    found = told["lent"]
    assert found["borrower sees"] == 1
    assert found["lender sees"] == 0
    assert found["elsewhere"] == {"any/name": 4}, "an old promise does not count"


def test_a_run_that_has_ended_has_no_plan(told: dict[str, Any]) -> None:
    ended = told["ended"]["ended"]
    assert (ended["managed"], ended["lanes"], ended["replicas"]) == (True, [], [])
    assert ended["groups"] == [{"name": "0", "desired": 0, "pool": ""}]
    assert ended["notes"] == ["The run has ended."]
    assert told["ended"]["ending"] == [["The run is ending."], [], [0]]
    assert told["ended"]["lives"] == [["near", 2]]


def test_what_begins_is_told_of_one_replica_or_more(told: dict[str, Any]) -> None:
    assert told["ended"]["rebalancing"] == [
        "Rebalancing begins: 1 replica moves",
        "Rebalancing begins: 2 replicas move",
    ]


def test_a_look_from_before_an_edit_does_not_end_a_rebalancing_asked_for_after_it(
    told: dict[str, Any],
) -> None:
    before, after, edited_again = told["ended"]["after an edit"]
    assert (before, after, edited_again) == (True, True, False)


def test_an_edit_of_the_fleet_or_of_the_lanes_ends_a_cooldown(told: dict[str, Any]) -> None:
    found = told["editions"]
    assert found["at first"] == ["far", "near"]
    assert found["fleet edited"] == ["near"]
    assert found["lanes edited"] == []


def test_a_lane_is_below_its_minimum_since_its_replica_ended(told: dict[str, Any]) -> None:
    """And not since the next submission; one that was never there is missing from now on."""
    assert told["deficits"]["lost"] == ["near", 1, True, False]
    assert told["deficits"]["never held"] == ["near", 1, False, True]
