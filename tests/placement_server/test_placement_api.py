"""The add-on's endpoints on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import ask, lanes, settled
from tests.servers.stopping import stopped

pytestmark = pytest.mark.e2e

_ENDPOINTS = (
    *("get", "preview", "list", "rebalance", "router"),
    *("cordons", "cordon", "drain", "drain_plan", "uncordon"),
)


async def test_what_the_add_on_can_do(addon: Handle) -> None:
    info = await addon.api("/api/placement/get_info")
    assert info["name"] == "dstack-fleets"
    assert info["dstack_version"].startswith("0.22.")
    assert {"lanes", "placement", "preview", "router"} <= {*info["capabilities"]}


async def test_nobody_without_a_token_sees_anything(addon: Handle) -> None:
    paths = ["placement/get_info"]
    paths += [f"project/{addon.project}/placement/{name}" for name in _ENDPOINTS]
    async with addon.client() as client:
        refused = await asyncio.gather(
            *(
                client.post(f"/api/{path}", headers={"Authorization": header})
                for path in paths
                for header in ("", "Bearer wrong")
            )
        )
        assert {answer.status_code for answer in refused} <= {401, 403}


async def test_every_endpoint_is_in_the_schema(addon: Handle) -> None:
    async with addon.client() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    expected = {f"/api/project/{{project_name}}/placement/{name}" for name in _ENDPOINTS}
    assert {path for path in paths if "placement" in path} == {
        "/api/placement/get_info",
        *expected,
    }
    for path in expected - {"/api/project/{project_name}/placement/cordons"}:
        assert paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]


@pytest_asyncio.fixture
async def someone(addon: Handle) -> AsyncIterator[dict[str, str]]:
    """The headers of a user who is in no project."""
    await addon.api("/api/users/create", {"username": "someone", "global_role": "user"})
    user = await addon.api("/api/users/get_user", {"username": "someone"})
    yield {"Authorization": f"Bearer {user['creds']['token']}"}
    await addon.api("/api/users/delete", {"users": ["someone"]})


async def test_only_members_of_a_project_see_its_placement(
    addon: Handle, someone: dict[str, str]
) -> None:
    async def statuses() -> dict[str, int]:
        there = f"/api/project/{addon.project}/placement"
        found = {}
        for name in _ENDPOINTS:
            body: dict[str, Any] = (
                {"run_names": ["shown"]} if name == "list" else {"run_name": "shown"}
            )
            if name == "rebalance":
                body["cancel"] = True
            if name.startswith(("cordon", "uncordon", "drain")):
                body = {"fleet": "plain-spot"}
            answer = await client.post(f"{there}/{name}", headers=someone, json=body)
            found[name] = answer.status_code
        return found

    members = f"/api/projects/{addon.project}"
    async with addon.client() as client:
        # What this server is, everybody whom it knows may ask.
        info = await client.post("/api/placement/get_info", headers=someone)
        assert info.status_code == 200
        assert await statuses() == dict.fromkeys(_ENDPOINTS, 403)
        # Nothing but the membership was missing.
        member = {"username": "someone", "project_role": "user"}
        await addon.api(f"{members}/add_members", {"members": [member]})
        assert await statuses() == dict.fromkeys(_ENDPOINTS, 200)
        await addon.api(f"{members}/remove_members", {"usernames": ["someone"]})
        assert await statuses() == dict.fromkeys(_ENDPOINTS, 403)


async def test_the_placement_of_a_run_and_a_preview(addon: Handle) -> None:
    await settled(addon, "shown", {"shown-reserved": 1, "shown-spot": 1}, limit=60)
    seen = await ask(addon, "get", run_name="shown")
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
    minimum = replicas["shown-reserved"]
    assert (minimum["reason"], minimum["why"], minimum["cause"]) == (
        "baseline",
        "baseline 1 of 1",
        "",
    )
    assert (reserved["held"], [each["code"] for each in spot["causes"]]) == (1, ["has_room"])
    assert replicas["shown-spot"]["instance"] == "shown-spot-0"

    edited = lanes("shown")
    edited[0]["max_replicas"] = 2
    asked: dict[str, Any] = {"run_name": "shown", "fleets": edited, "replicas": {"0": 4}}
    planned = await ask(addon, "preview", include_replicas=True, **asked)
    assert {lane["fleet"]: lane["after"] for lane in planned["lanes"]} == {
        "shown-reserved": 2,
        "shown-spot": 2,
    }
    assert [row["action"] for row in planned["replicas"]].count("start") == 2
    assert await ask(addon, "get", run_name="shown") | {"observed_at": None} == seen | {
        "observed_at": None
    }

    edited[0]["name"] = "gone"
    refused = await ask(addon, "preview", status=400, **asked)
    assert "Fleet gone in `fleets` does not exist." in refused["detail"][0]["msg"]
    unknown = await ask(addon, "preview", status=400, run_name="shown", replicas={"x": 1})
    assert unknown["detail"][0]["msg"] == "The run has no group x. Use one of: 0."
    assert "not found" in str(await ask(addon, "get", status=400, run_name="no-such")).lower()
    await stopped(addon, "shown")
