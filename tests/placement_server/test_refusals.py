"""What is refused in lanes, by the API and by `dstack-fleets apply`, each with one clear line."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dstack_simulator import Simulator, SimulatorError
from tests.placement_server.helpers import command, service

pytestmark = pytest.mark.e2e

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"fleets": [{"name": "gpu-gone", "min_replicas": 1}]},
        (
            "Fleet gpu-gone in `fleets` does not exist. Take of: dry-reserved, dry-spot,"
            " gpu-reserved, gpu-spot, plain-reserved, plain-spot, shown-reserved, shown-spot."
        ),
    ),
    (
        {"fleets": ["gpu-spot", {"name": "gpu-spot", "priority": 1}]},
        "Fleet gpu-spot stands twice in `fleets`. Keep one of the entries.",
    ),
    (
        {"fleets": [{"name": "gpu-spot", "min_replicas": 2, "max_replicas": 1}]},
        (
            "`max_replicas` of gpu-spot (1) is below its `min_replicas` (2). Raise the one or"
            " lower the other."
        ),
    ),
    (
        {"fleets": [{"name": "gpu-spot", "min_replicas": 3}]},
        (
            "The `min_replicas` of `fleets` add up to 3, above the greatest replica count of 2."
            " Lower them or raise `replicas`."
        ),
    ),
    (
        {"fleets": [{"name": "gpu-spot", "max_replicas": 1}]},
        (
            "The `max_replicas` of `fleets` add up to 1, below the least replica count of 2. Raise"
            " them or lower `replicas`."
        ),
    ),
    (
        {"fleets": [{"name": "gpu-spot", "priority": -1}]},
        "`priority` of gpu-spot is negative (-1). Write 0 or more.",
    ),
    (
        {"type": "task", "port": None, "model": None, "probes": None, "replicas": None},
        "Lanes are for services, and this is a task. Name its fleets without counts.",
    ),
]


@pytest.mark.parametrize(("changes", "line"), REFUSED)
async def test_the_api_refuses(addon: Simulator, changes: dict[str, Any], line: str) -> None:
    spec = {
        "configuration": service("refused", **changes),
        "run_name": "refused",
        "ssh_key_pub": "ssh-ed25519 AAAA",
    }
    calls = {
        "runs/get_plan": {"run_spec": spec},
        "runs/apply": {"plan": {"run_spec": spec}, "force": True},
    }
    for path, body in calls.items():
        async with addon.client() as client:
            answer = await client.post(f"/api/project/{addon.project}/{path}", json=body)
        assert answer.status_code == 400, answer.text
        assert [entry["msg"] for entry in answer.json()["detail"]] == [line]
    with pytest.raises(SimulatorError, match="not found"):
        await addon.run("refused")


async def test_what_the_stock_server_accepts_is_accepted(addon: Simulator) -> None:
    odd = service("odd", fleets=["gpu-spot", "gpu-spot", "gpu-gone"])
    plan = await addon.api("runs/get_plan", {"run_spec": {"configuration": odd}})
    assert plan["action"] == "create"


async def test_the_command_refuses(addon: Simulator) -> None:
    changes, line = REFUSED[0]
    file = addon.folder.home / "refused.dstack.yml"
    file.write_text(yaml.safe_dump(service("refused", **changes)))
    ended = command(addon, "apply", "-y", "-f", file.name)
    assert ended.returncode == 1
    assert line in ended.stdout + ended.stderr
    with pytest.raises(SimulatorError, match="not found"):
        await addon.run("refused")


async def test_the_command_accepts_lanes(addon: Simulator) -> None:
    file = addon.folder.home / "accepted.dstack.yml"
    file.write_text(yaml.safe_dump(service("accepted")))
    ended = command(addon, "apply", "-y", "-d", "-f", file.name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = await addon.run("accepted")
    assert run["run_spec"]["configuration"]["fleets"][0]["min_replicas"] == 1
    await addon.stop_run("accepted", abort=True)


async def test_lanes_are_in_the_schema(addon: Simulator) -> None:
    async with addon.client() as client:
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    lane = next(schema for name, schema in schemas.items() if name.startswith("LaneReference"))
    assert {"name", "project", "min_replicas", "max_replicas", "priority"} == {*lane["properties"]}
    groups = [schema for name, schema in schemas.items() if name.startswith("ReplicaGroup")]
    assert any("fleets" in group["properties"] for group in groups)
