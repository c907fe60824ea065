"""A stored spec that a plan would refuse: its service is placed, listed and can be repaired."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.servers.lanes import ask, service, settled, update
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_MINIMUMS = (
    "The `min_replicas` of `fleets` add up to 5, above the maximum replica count of 2. Lower them"
    " or raise `replicas`."
)


def _hosts() -> Scenario:
    """Two fleets of one host each, which several replicas share."""
    gpu = {"name": "H100", "memory_gib": 80, "count": 8}
    fleets = ("near", "far")
    hosts = [{"name": name, "cpus": 192, "memory_gib": 2048, "gpu": gpu} for name in fleets]
    steps: list[dict[str, Any]] = []
    for name in fleets:
        ssh = {"hosts": [{"hostname": name, "blocks": 8}]}
        steps.append({"apply": {"type": "fleet", "name": name, "ssh_config": ssh}})
    return Scenario.model_validate(
        {
            "description": "Two fleets of a host each",
            "hosts": hosts,
            "steps": steps,
            "expect": {"fleets": {name: {"instances": {"idle": 1}} for name in fleets}},
            "timing": {"pulling": 0, "creating": 0, "loading": 0, "stopping": 0},
        }
    )


def _lanes(minimum: int) -> list[Any]:
    return [{"name": "far"}, {"name": "near", "min_replicas": minimum}]


def _store(sim: Handle, name: str, fleets: list[Any]) -> None:
    """Stores other lanes of a run past all checks, as a plugin's policy would."""
    with closing(sqlite3.connect(sim.folder.server / "data" / "sqlite.db", timeout=60)) as database:
        run_id, stored = database.execute(
            "SELECT runs.id, run_spec FROM runs JOIN projects ON projects.id = runs.project_id"
            " WHERE run_name = ? AND projects.name = ?",
            (name, sim.project),
        ).fetchone()
        spec = json.loads(stored)
        spec["configuration"]["fleets"] = fleets
        database.execute(
            "UPDATE runs SET run_spec = ?, deployment_num = deployment_num + 1 WHERE id = ?",
            (json.dumps(spec), run_id),
        )
        database.commit()


async def test_a_stored_spec_that_a_plan_refuses_holds_up_nothing(addon_server: Handle) -> None:
    sim = await addon_server.add_project("refused-specs", _hosts())
    await sim.settled()
    one = {"resources": {"gpu": "H100:1"}}
    await sim.apply(service("chat", fleets=_lanes(1), **one))
    await sim.apply(service("other", fleets=_lanes(0), replicas=1, **one))
    await settled(sim, "chat", {"near": 1, "far": 1})
    await settled(sim, "other", {"far": 1})

    _store(sim, "chat", _lanes(5))

    # It goes on being processed: what the minimum lacks moves there, as many as there are.
    await settled(sim, "chat", {"near": 2})

    async def summaries() -> dict[str, Any]:
        listed = await ask(sim, "list", run_names=["chat", "other"])
        assert {each["run_name"] for each in listed["placements"]} == {"chat", "other"}
        return {run["run_name"]: run for run in listed["runs"]}

    found = await summaries()
    assert {name: run["warnings"] for name, run in found.items()} == {
        "chat": [_MINIMUMS],
        "other": [],
    }
    assert [run["fault"] for run in found.values()] == [None, None]
    shown = await ask(sim, "get", run_name="chat")
    assert _MINIMUMS in shown["notes"]
    near = next(lane for lane in shown["lanes"] if lane["fleet"] == "near")
    assert (near["min_replicas"], near["running"], near["deficit"]) == (5, 2, 3)

    # Somebody who edits it is told, and the repair is planned and applied in place.
    refused = await ask(sim, "preview", status=400, run_name="chat")
    assert refused["detail"][0]["msg"] == _MINIMUMS
    await update(sim, "chat", fleets=_lanes(2))

    async def repaired() -> bool:
        return not (await summaries())["chat"]["warnings"]

    await until(repaired, what="the repaired lanes are listed")
    await settled(sim, "chat", {"near": 2})
    await emptied(sim)
