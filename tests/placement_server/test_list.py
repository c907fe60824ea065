"""The list of all services costs few queries, however many there are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers.findings import findings


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The list of 2 services, and of 12, with what they cost."""
    found: list[dict[str, Any]] = findings(tmp_path_factory, "counted_lists")
    return found


def test_more_services_cost_no_more_queries(lists: list[dict[str, Any]]) -> None:
    few, many = lists
    assert (len(few["runs"]), len(many["runs"])) == (2, 12)
    assert few["statements"] == many["statements"] <= 12


def test_what_is_told_of_a_service(lists: list[dict[str, Any]]) -> None:
    run = lists[0]["runs"][0]
    assert run["managed"] is True
    assert run["groups"] == [{"name": "0", "desired": 3, "pool": ""}]
    (deficit,) = run["deficits"]
    assert (deficit["fleet"], deficit["missing"]) == ("near", 1)
    assert deficit["reason"] == "baseline 0 of 1"
    (cooldown,) = run["cooldowns"]  # that of lanes that were edited since is over
    assert (cooldown["fleet"], cooldown["cause"]) == ("near", "no capacity")
    assert (run["fallback_replicas"], run["pending_replicas"]) == (2, 3)
    (pending,) = run["pending"]
    assert (pending["replica_num"], pending["why"]) == (0, "no room")
    assert run["rebalancing"]["left"] == 2
    assert run["warnings"] == ["Fleet near is skipped."]


def test_what_all_machines_of_a_gateway_counted_is_told(lists: list[dict[str, Any]]) -> None:
    for found in lists:
        run_id = found["runs"][0]["run_id"]
        counted = {"window": 60, "requests": 120, "request_time": 0.3}
        assert found["traffic"] == [{"run_id": run_id, **counted}], "of the others nothing is known"
