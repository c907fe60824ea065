"""Replica groups with lanes of their own, without a router, and lanes in lent fleets."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

import pytest

from dstack_simulator import SimulatorError
from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import service
from tests.servers.stories import (
    PROBES,
    Look,
    Stories,
    Story,
    Watch,
    answers,
    by_group,
    lender_scenario,
    placed,
)

pytestmark = pytest.mark.e2e


async def _pair(sim: Handle) -> None:
    """Two groups with lanes of their own in the same fleets, and no router."""
    command = "python -m sglang.launch_server --model acme/chat-8b --port 8000"
    groups: list[dict[str, Any]] = [
        {
            "name": "prefill",
            "replicas": 2,
            "commands": [f"{command} --disaggregation-mode prefill"],
            "resources": {"gpu": "H100:8"},
            "fleets": [
                {"name": "pair-reserved", "max_replicas": 1, "priority": 5},
                {"name": "pair-spot"},
            ],
        },
        {
            "name": "decode",
            "replicas": 2,
            "commands": [f"{command} --disaggregation-mode decode"],
            "resources": {"gpu": "H100:8"},
            "fleets": [
                {"name": "pair-spot", "priority": 1},
                {"name": "pair-reserved", "min_replicas": 1},
            ],
        },
    ]
    given = service("pair", replicas=None, commands=None, resources=None, fleets=None)
    await sim.apply({**given, "probes": PROBES, "groups": groups})
    watch = Watch(sim, "pair")
    await watch.at_rest({"pair-reserved": 2, "pair-spot": 2})
    spread = {"pair-reserved": 1, "pair-spot": 1}
    assert await by_group(sim, "pair") == {"prefill": spread, "decode": spread}

    def never_fewer(look: Look) -> None:
        assert sum(look.ready.values()) >= 4, look

    watch.check = never_fewer
    stored = (await sim.run("pair"))["run_spec"]["configuration"]["groups"]
    stored[1]["fleets"][1]["min_replicas"] = 2
    await sim.touch_run("pair", groups=stored)
    await watch.at_rest({"pair-reserved": 3, "pair-spot": 1})
    assert await by_group(sim, "pair") == {"prefill": spread, "decode": {"pair-reserved": 2}}
    await answers(sim, "pair")


def _lend(sim: Handle) -> None:
    """Writes what dstack keeps of a lent fleet: its own API for that is not in every edition."""
    export, made, at = uuid.uuid4().hex, uuid.uuid4().hex, "2026-01-01 00:00:00.000000"
    with sqlite3.connect(sim.folder.server / "data" / "sqlite.db", timeout=30) as database:
        database.execute(
            "INSERT INTO exports (id, name, project_id, is_global, created_at)"
            " SELECT ?, 'gpu', id, 0, ? FROM projects WHERE name = 'lender'",
            (export, at),
        )
        database.execute(
            "INSERT INTO imports (id, project_id, export_id, created_at)"
            " SELECT ?, id, ?, ? FROM projects WHERE name = ?",
            (made, export, at, sim.project),
        )
        database.execute(
            "INSERT INTO exported_fleets (id, export_id, fleet_id)"
            " SELECT ?, ?, fleets.id FROM fleets JOIN projects ON fleets.project_id = projects.id"
            " WHERE projects.name = 'lender'",
            (made, export),
        )
    database.close()


async def _lent(sim: Handle) -> None:
    """A lane in a fleet that another project lends, named `project/name`."""
    lanes = [
        {"name": "lender/gpu", "min_replicas": 1, "max_replicas": 1, "priority": 10},
        "lent-spot",
    ]
    with pytest.raises(SimulatorError, match=r"Fleet lender/gpu in `fleets` does not exist\."):
        await sim.apply(service("lent", fleets=lanes))
    lender = await sim.add_project("lender", lender_scenario())
    await lender.settled()
    _lend(sim)

    await sim.apply(service("lent", fleets=lanes))
    await Watch(sim, "lent").at_rest({"lender/gpu": 1, "lent-spot": 1})
    # The same, with the project beside the name; it is no change.
    run = await sim.run("lent")
    stored = run["run_spec"]["configuration"]["fleets"]
    assert (stored[0]["project"], stored[0]["name"]) == ("lender", "gpu")
    lane = (await placed(sim, "lent"))["lanes"][0]
    assert (lane["fleet"], lane["running"], lane["room"]) == ("lender/gpu", 1, 0)
    await answers(sim, "lent")


STORIES: dict[str, Story] = {"pair": _pair, "lent": _lent}


async def test_groups_have_lanes_without_a_router_too(life_stories: Stories) -> None:
    await life_stories["pair"]


async def test_a_lane_may_be_in_a_fleet_of_another_project(life_stories: Stories) -> None:
    await life_stories["lent"]
