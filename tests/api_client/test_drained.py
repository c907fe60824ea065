"""What a drain brings besides what moves away: who gives way, and the price."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dstack_api_client.model.cordon import DrainPlan, Occupant
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif import DrainOutcome, DrainPrice, GivingWay, outcome_of_drain
from tests.builders.two_fleets import contended, project, with_lanes


def _snapshot() -> Snapshot:
    """Two replicas of 10 $/h each in own and one of 4 in spot."""
    made = project(with_lanes(["own", "own", "spot"]))
    cost = {"own": 10.0, "spot": 4.0}
    replicas = {
        key: replace(each, price=cost[str(each.fleet_name)]) for key, each in made.replicas.items()
    }
    services = {key: replace(each, price=24.0) for key, each in made.services.items()}
    return replace(made, replicas=replicas, services=services)


def _one(replica: int, action: str, to: str | None = None, **changes: Any) -> Occupant:
    one = Occupant("main", "chat", "service", replica, 0, "0", "own-0", action, to, "")
    return replace(one, **changes)


def _drained(snapshot: Snapshot, occupants: list[Occupant]) -> DrainOutcome:
    return outcome_of_drain(snapshot, "own", 7, DrainPlan((*occupants,), ()))


def test_what_moves_costs_what_it_costs_there_and_what_stops_nothing() -> None:
    snapshot = _snapshot()
    plans = {
        18.0: [_one(0, "move", "spot")],
        14.0: [_one(0, "stop")],
        24.0: [_one(0, "stay"), _one(1, "move", "own")],
        None: [_one(0, "move", "moon")],
    }
    for after, occupants in plans.items():
        assert _drained(snapshot, occupants).price == DrainPrice(24.0, after)


def test_only_services_of_the_project_are_counted() -> None:
    task = _one(0, "stay", run="train", run_type="task")
    lent = _one(0, "move", "spot", project="lab")
    assert _drained(_snapshot(), [task, lent]).price is None
    assert _drained(_snapshot(), [_one(0, "stay", run="new")]).price is None


def test_who_gives_way_to_a_minimum_that_the_drain_breaks_is_told_with_the_price() -> None:
    moves = _one(0, "move", "spot", run="vision")
    found = _drained(contended("any", spot=2), [moves])
    assert found.gives == (GivingWay("chat", 0, "own", "spot", "vision"),)
    assert found.price == DrainPrice(40.0, 40.0), "of vision and of the three of chat"
    for snapshot, why in (
        (contended("off", spot=2), "vision takes no places"),
        (contended("any", spot=1), "vision has taken the only place that chat could move to"),
    ):
        found = _drained(snapshot, [moves])
        assert (found.gives, found.price) == ((), DrainPrice(10.0, 10.0)), why
    assert _drained(contended("any", spot=2), [_one(0, "stay", run="vision")]).gives == ()
