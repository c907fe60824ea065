"""What a drain does to the price of services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dstack_api_client.model.cordon import DrainPlan, Occupant
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif import DrainPrice, price_of_drain
from tests.builders.two_fleets import project, with_lanes


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


def test_what_moves_costs_what_it_costs_there_and_what_stops_nothing() -> None:
    snapshot = _snapshot()
    plans = {
        18.0: [_one(0, "move", "spot")],
        14.0: [_one(0, "stop")],
        24.0: [_one(0, "stay"), _one(1, "move", "own")],
        None: [_one(0, "move", "moon")],
    }
    for after, occupants in plans.items():
        assert price_of_drain(snapshot, DrainPlan((*occupants,), ())) == DrainPrice(24.0, after)


def test_only_services_of_the_project_are_counted() -> None:
    task = _one(0, "stay", run="train", run_type="task")
    lent = _one(0, "move", "spot", project="lab")
    assert price_of_drain(_snapshot(), DrainPlan((task, lent), ())) is None
    assert price_of_drain(_snapshot(), DrainPlan((_one(0, "stay", run="new"),), ())) is None
