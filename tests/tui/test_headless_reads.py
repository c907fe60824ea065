"""What `get` of one service asks a server for: that service, its fleets and its placement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.headless.get import collect
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.looking import Asked, Source
from tests.builders import answers
from tests.builders.placed_services import placed
from tests.servers.addon_answers import AddonServer, lane

SERVER = ["server/get_info", "projects/main/get", "placement/get_info", "openapi.json"]
#: What is read of a whole project.
LISTS = {"fleets/list", "runs/list", "placement/list"}


async def distribution(
    server: AddonServer, name: str | None = "s-1", *, kind: str = "distribution"
) -> list[dict[str, Any]]:
    """What `get distribution` prints; the clock stands still."""
    asked = Asked(kind, name)
    async with server.client(monotonic=lambda: server.now) as client:
        feed = Feed(client, "main", monotonic=lambda: server.now)
        look = await kind_named(kind).read(Source(client, feed), asked)
    snapshot = replace(look.snapshot, observed_at=answers.START)
    found: list[dict[str, Any]] = collect(replace(look, snapshot=snapshot), asked)[kind]
    return found


async def both(server: AddonServer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is printed of a service by its name, and of the same one among all."""
    (alone,) = await distribution(server)
    among = next(item for item in await distribution(server, None) if item["service"] == "s-1")
    return alone, among


def crowded() -> AddonServer:
    """A server with nine services, three fleets and a lane below its minimum since a time."""
    server = placed(8)
    server.fleets.append(answers.fleet(3))
    server.instances = [answers.instance(1, server.fleets[0])]
    run = server.run_named("s-1")
    since = answers.at(5)
    short = lane("fleet-1", min_replicas=3, running=1, deficit=2, deficit_since=since)
    server.place(run, lanes=[short, lane("fleet-2")])
    return server


async def test_a_service_is_read_with_its_fleets_and_its_placement_and_nothing_else() -> None:
    server = crowded()
    await distribution(server)
    asked = {path.removeprefix("/") for path in server.asked}
    assert asked == {*SERVER, "runs/get", "fleets/get", "placement/get"}
    assert server.asked["runs/get"] == 1
    assert server.asked["fleets/get"] == 2, "one for each of its lanes"


async def test_what_is_printed_is_what_is_printed_of_all() -> None:
    alone, among = await both(crowded())
    assert alone == among
    assert [(row["fleet"], row["deficit"]) for row in alone["fleets"]] == [
        ("fleet-1", 2),
        ("fleet-2", 0),
    ]
    assert alone["fleets"][0]["deficit_since"] == "2026-03-01T12:00:05.000Z"


async def test_so_it_is_on_a_stock_server() -> None:
    server = crowded()
    server.features = []
    server.fail = lambda path: httpx.Response(404) if "placement" in path else None
    run = server.run_named("s-1")
    run["run_spec"]["configuration"]["fleets"] = ["fleet-1"]
    run["fleet"] = {"id": server.fleets[0]["id"], "name": "fleet-1"}
    alone, among = await both(server)
    assert alone == among
    server.asked.clear()
    await distribution(server)
    assert not server.asked.keys() & LISTS


async def test_a_replica_in_a_fleet_that_is_no_lane_any_more_is_found() -> None:
    server = crowded()
    host = answers.instance(7, server.fleets[2])
    server.instances = [host]
    run = server.run_named("s-1")
    (job,) = run["jobs"]
    submission = job["job_submissions"][-1]
    server.happens(
        "Job assigned to instance",
        ("job", submission["id"], "s-1-0-0"),
        ("instance", host["id"], "fleet-3-7"),
    )
    alone, among = await both(server)
    assert alone == among
    assert {row["fleet"] for row in alone["fleets"]} == {"fleet-1", "fleet-2", "fleet-3"}
    server.asked.clear()
    await distribution(server)
    assert not server.asked.keys() & LISTS
    assert server.asked["instances/get"] == 1


async def test_where_a_replica_is_not_found_so_the_project_is_read() -> None:
    server = crowded()
    server.instances = [answers.instance(1, server.fleets[2])]
    alone, among = await both(server)
    assert alone == among
    assert "fleet-3" in {row["fleet"] for row in alone["fleets"]}


async def test_an_add_on_that_fails_is_a_note() -> None:
    server = crowded()
    refusal = httpx.Response(400, json={"detail": [{"msg": "No.", "code": None}]})
    server.fail = lambda path: refusal if path.endswith("placement/get") else None
    (printed,) = await distribution(server)
    assert any("could not be read" in note for note in printed["notes"])


@pytest.mark.parametrize("kind", ["services", "replicas"])
async def test_a_service_that_is_named_is_read_alone_with_what_events_tell(kind: str) -> None:
    server = crowded()
    server.instances = [answers.instance(7, server.fleets[0])]
    run = server.run_named("s-1")
    submission = run["jobs"][0]["job_submissions"][-1]
    job = ("job", submission["id"], "s-1-0-0")
    server.happens("Job assigned to instance", job, ("instance", server.instances[0]["id"], "i"))
    server.happens("Service replica ready to receive requests", job)
    submission["probes"] = [{"success_streak": 0}]
    run["jobs"][0]["job_spec"]["probes"] = [{"ready_after": 1}]
    (alone,) = await distribution(server, kind=kind)
    asked = {path.removeprefix("/") for path in server.asked}
    assert asked == {*SERVER, "runs/get", "fleets/get", "placement/get", "events/list"}
    listed = await distribution(server, None, kind=kind)
    assert alone == next(
        item for item in listed if "s-1" in (item.get("name"), item.get("service"))
    )
    if kind == "services":
        assert alone["health"]["state"] == "down", "it has served: no first start"
