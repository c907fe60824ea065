"""The add-on's endpoints on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_simulator import Simulator
from tests.placement_server.helpers import lanes, settled

pytestmark = pytest.mark.e2e


async def _call(addon: Simulator, path: str, body: dict[str, Any], status: int = 200) -> Any:
    async with addon.client() as client:
        answer = await client.post(f"/api/project/{addon.project}/placement/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_what_the_add_on_can_do(addon: Simulator) -> None:
    info = await addon.api("/api/placement/get_info")
    assert info["name"] == "dstack-fleets"
    assert info["dstack_version"].startswith("0.22.")
    assert {"lanes", "placement", "preview"} <= {*info["capabilities"]}


async def test_nobody_without_a_token_sees_anything(addon: Simulator) -> None:
    paths = [f"project/{addon.project}/placement/{name}" for name in ("get", "preview")]
    async with addon.client() as client:
        for path in ("placement/get_info", *paths):
            for header in ("", "Bearer wrong"):
                answer = await client.post(f"/api/{path}", headers={"Authorization": header})
                assert answer.status_code in (401, 403), (path, answer.text)
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert "/api/project/{project_name}/placement/preview" in paths


async def test_the_placement_of_a_run_and_a_preview(addon: Simulator) -> None:
    await settled(addon, "shown", {"shown-reserved": 1, "shown-spot": 1}, limit=60)
    seen = await _call(addon, "get", {"run_name": "shown"})
    assert seen["managed"] is True
    assert seen["groups"] == [{"name": "0", "desired": 2, "pool": ""}]
    reserved, spot = seen["lanes"]
    assert (reserved["fleet"], reserved["min_replicas"], reserved["target"]) == (
        "shown-reserved",
        1,
        1,
    )
    assert (reserved["running"], spot["running"], spot["room"]) == (1, 1, 7)
    assert reserved["reason"].startswith("baseline 1 of 1")
    replicas = {replica["fleet"]: replica for replica in seen["replicas"]}
    assert replicas["shown-reserved"]["reason"] == "baseline"
    assert replicas["shown-spot"]["instance"] == "shown-spot-0"

    edited = lanes("shown")
    edited[0]["max_replicas"] = 2
    asked = {"run_name": "shown", "fleets": edited, "replicas": {"0": 4}}
    planned = await _call(addon, "preview", asked)
    assert {lane["fleet"]: lane["after"] for lane in planned["lanes"]} == {
        "shown-reserved": 2,
        "shown-spot": 2,
    }
    assert [row["action"] for row in planned["replicas"]].count("start") == 2
    assert await _call(addon, "get", {"run_name": "shown"}) | {"observed_at": None} == seen | {
        "observed_at": None
    }

    edited[0]["name"] = "gone"
    refused = await _call(addon, "preview", asked, 400)
    assert "Fleet gone in `fleets` does not exist." in refused["detail"][0]["msg"]
    unknown = await _call(addon, "preview", {"run_name": "shown", "replicas": {"x": 1}}, 400)
    assert unknown["detail"][0]["msg"] == "The run has no group x. Take of: 0."
    assert "not found" in str(await _call(addon, "get", {"run_name": "no-such"}, 400)).lower()
    await addon.stop_run("shown", abort=True)
