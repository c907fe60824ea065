"""What is counted once for all lanes and replicas of an edit is what counting each alone gives."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.service.service import LANE_FIELDS, ServiceEdit
from dstack_api_client.edits.spec.views import lane_of
from dstack_api_client.model.replica import Replica
from tests.builders import projects, service_edits
from tests.builders.generation import seeds
from tests.builders.projects import ADDON

FLEETS = ("a", "b", "c", "d")


def spread(rng: random.Random) -> tuple[ServiceEdit, list[Replica]]:
    """A service in random lanes, edited at random, and its replicas."""
    entries = [
        {"name": name, **{field: rng.randrange(3) for field in ("min_replicas", "priority")}}
        for name in rng.sample(FLEETS, rng.randint(1, 4))
    ]
    here = [
        projects.replica(number, rng.choice(FLEETS), price=rng.choice((None, 1.0, 2.5, 7.0)))
        for number in range(rng.randrange(12))
    ]
    base = service_edits.base(fleets=entries, replicas={"min": 12, "max": 12})
    edit = ServiceEdit.begin(replace(base, id="s-chat"), ADDON)
    for lane in edit.lanes():
        if rng.random() < 0.5:
            edit = edit.with_lane("", lane.fleet, priority=rng.randrange(4))
    return edit.with_replicas("0", rng.randrange(8, 20)), here


@pytest.mark.parametrize("seed", seeds(200))
def test_lanes_and_prices_add_up(seed: int) -> None:
    edit, here = spread(random.Random(seed))
    service = projects.service(here)
    fleets = [projects.fleet(name, nodes_max=5) for name in FLEETS]
    found = dry_run_here(edit, projects.project((service, here), fleets=fleets))
    if found is None:
        return
    for lane in found.lanes:
        rows = [row for row in found.replicas if row.action != "stay"]
        to = [row.action for row in rows if row.to == lane.fleet]
        gone = [row.action for row in rows if row.fleet == lane.fleet and row.to != lane.fleet]
        assert (lane.start, lane.enter) == (to.count("start"), to.count("move")), found
        assert (lane.stop, lane.leave) == (gone.count("stop"), gone.count("move")), found
    for action in ("stay", "start", "stop", "move", "pending"):
        assert found.count(action) == sum(row.action == action for row in found.replicas)
    if found.price_after is not None:
        change = 0.0
        for row in found.replicas:
            if row.action in ("start", "move"):
                own = [r.price for r in here if r.fleet_name == row.to and r.price is not None]
                change += sum(own) / len(own)
            if row.action in ("stop", "move"):
                change -= next(r.price or 0.0 for r in here if r.key.replica_num == row.number)
        assert found.price_change == pytest.approx(change)


@pytest.mark.parametrize("seed", seeds(200))
def test_each_lane_is_found_as_it_is_listed(seed: int) -> None:
    edit, _ = spread(random.Random(seed))
    entries = edit.configuration["fleets"]
    assert edit.lanes() == tuple(map(lane_of, entries))
    for fleet in FLEETS:
        entry = next((each for each in entries if each["name"] == fleet), {})
        assert edit.raw_lane("", fleet) == entry
        was = next(
            (each for each in edit.begun.configuration["fleets"] if each["name"] == fleet), None
        )
        assert edit.lane_before("", fleet) == (lane_of(was) if was else None)
        assert all(key in LANE_FIELDS or key in ("name", "project") for key in entry)
