"""`get` of distribution, routers, problems and events, on a real server with the demo on it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.problems.watch import Problem, problems_of
from dstack_fleets_tui.headless.get import observe
from dstack_fleets_tui.headless.looking import Asked
from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.servers.commands import SECRET, here, program
from tests.waiting import until

pytestmark = pytest.mark.e2e


def items(simulator: Handle, kind: str, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    process = here(simulator, "get", kind, *arguments, "-o", "json")
    assert (process.returncode, process.stderr) == (code, "")
    assert SECRET not in process.stdout
    assert simulator.token not in process.stdout
    whole = json.loads(process.stdout)
    notes = ["notes"] if kind == "problems" else []
    assert list(whole) == ["version", "project", "observed_at", kind, *notes]
    printed: list[dict[str, Any]] = whole[kind]
    return printed


async def wrong(simulator: Handle, *, later: timedelta = timedelta()) -> dict[str, Problem]:
    """What is wrong by its key, as if it had gone on for some time."""
    here = Sources("test", "test", "test")
    connection = Connection(simulator.url, simulator.project, simulator.token, here)
    look = await observe(connection, Asked("problems", ssh=False))
    found = problems_of(look.snapshot, look.snapshot.observed_at + later)
    return {each.key: each for each in (found if later else look.problems)}


def test_distribution(demo_sim: Handle) -> None:
    (chat,) = items(demo_sim, "distribution", "chat-70b")
    assert (chat["service"], chat["managed"], chat["wanted"]) == ("chat-70b", False, 4)
    assert (chat["running"], chat["ready"], chat["pending"]) == (4, 4, 0)
    (lab,) = chat["fleets"]
    assert (lab["fleet"], lab["target"], lab["running"]) == ("lab-h100", 4, 4)
    assert [lab[key] for key in ("priority", "min_replicas", "max_replicas")] == [None] * 3
    assert [(group["name"], group["running"]) for group in lab["groups"]] == [
        ("router", 1),
        ("prefill", 1),
        ("decode", 2),
    ]
    assert "no placement add-on" in chat["notes"][0]
    every = {item["service"]: item for item in items(demo_sim, "distribution")}
    assert list(every) == ["chat-70b", "embed", "rerank", "summarize", "vision"]
    assert every["summarize"]["wanted"] is None
    assert every["rerank"]["fleets"] == []


def test_a_table_of_fleets(demo_sim: Handle) -> None:
    process = program(demo_sim, "get", "distribution", "vision")
    assert process.returncode == 0
    header, row, blank, *notes = process.stdout.splitlines()
    assert header.split()[:4] == ["SERVICE", "PRIO", "FLEET", "LANES"]
    assert row.split()[:3] == ["vision", "–", "gpu-spot"]
    assert (blank, len(notes)) == ("", 1)


def test_router_over_ssh(demo_sim: Handle) -> None:
    (view,) = items(demo_sim, "router", "chat-70b")
    assert (view["kind"], view["status"], view["source"]) == ("smg", "ready", "ssh")
    assert (view["ready"], view["expected"]) == (3, 3)
    assert view["observed_at"] is not None
    assert [(each["replica"], each["group"], each["sync"]) for each in view["workers"]] == [
        (2, "decode", "in sync"),
        (3, "decode", "in sync"),
        (1, "prefill", "in sync"),
    ]
    for worker in view["workers"]:
        assert (worker["router_health"], worker["job_status"]) == ("ready", "running")
        assert worker["url"].startswith("http://")


def test_router_without_a_way_to_it(demo_sim: Handle) -> None:
    (view,) = items(demo_sim, "router", "chat-70b", "--no-ssh")
    assert (view["status"], view["source"], view["observed_at"]) == ("unknown", "none", None)
    assert "no placement add-on" in view["message"]
    assert {each["sync"] for each in view["workers"]} == {"unknown"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["distribution", "nobody"], "There is no service nobody"),
        (["router", "embed"], "The service embed has no router"),
        (["events", "nobody"], "There is no service or fleet nobody"),
        (["problems", "nobody"], "There is no service or fleet nobody"),
    ],
)
def test_what_is_not_there(demo_sim: Handle, arguments: list[str], words: str) -> None:
    process = here(demo_sim, "get", *arguments)
    assert (process.returncode, process.stdout) == (1, "")
    assert words in process.stderr
    assert process.stderr.count("\n") == 1


def test_problems(demo_sim: Handle) -> None:
    found = {each["subject"]: each for each in items(demo_sim, "problems", code=4)}
    rerank = found["rerank"]
    assert (rerank["severity"], rerank["kind"], rerank["service"]) == (
        "critical",
        "service",
        "rerank",
    )
    assert rerank["since"] is not None
    worn = next(each for each in found.values() if each["kind"] == "instance")
    assert (worn["severity"], worn["fleet"]) == ("notice", "lab-h100")
    assert worn["text"].startswith("health warning; on it: ")
    assert worn["since"] is not None
    assert next(iter(found)) == "rerank", "the worst first"
    critical = items(demo_sim, "problems", "--severity", "critical", code=4)
    assert [each["subject"] for each in critical] == ["rerank"]
    assert items(demo_sim, "problems", "vision") == []


def test_nothing_is_wrong(empty_sim: Handle) -> None:
    assert items(empty_sim, "problems") == []
    process = here(empty_sim, "get", "problems")
    assert (process.returncode, process.stdout) == (0, "Nothing is wrong.\n")


def test_problems_of_a_server_that_can_not_be_read(empty_sim: Handle) -> None:
    process = here(empty_sim, "get", "problems", DSTACK_TOKEN="wrong")
    assert (process.returncode, process.stdout) == (3, "")


def test_events(demo_sim: Handle) -> None:
    newest = items(demo_sim, "events", "--limit", "5")
    assert len(newest) == 5
    times = [each["recorded_at"] for each in newest]
    assert times == sorted(times)
    of_service = items(demo_sim, "events", "embed", "--limit", "500")
    assert of_service[0]["message"].startswith("Run submitted")
    assert of_service[0]["actor"] == "admin"
    assert of_service[0]["targets"] == [
        {"type": "run", "id": of_service[0]["targets"][0]["id"], "name": "embed"}
    ]
    assert len({each["id"] for each in of_service}) == len(of_service)
    of_fleet = items(demo_sim, "events", "gpu-spot")
    kinds = {target["type"] for each in of_fleet for target in each["targets"]}
    assert "fleet" in kinds
    assert "instance" in kinds
    assert items(demo_sim, "events", "--limit", "130")[-1]["recorded_at"] >= times[-1]


@pytest.mark.slow
@longest
async def test_a_host_that_can_not_be_reached_is_a_problem_until_it_is_back(
    demo_sim: Handle,
) -> None:
    instances = (await demo_sim.fleet("gpu-reserved"))["instances"]
    name = next(each["name"] for each in instances if each["status"] == "idle")

    async def unreachable() -> list[Problem]:
        return [each for key, each in (await wrong(demo_sim)).items() if "unreachable" in key]

    async def reachable() -> bool:
        return not await unreachable()

    assert await unreachable() == []
    await demo_sim.faults.host_unreachable(name)
    try:
        (found,) = await until(unreachable, limit=120, every=1, what="the host is a problem")
    finally:
        await demo_sim.faults.host_back(name)
    assert found.subject == f"gpu-reserved/{name.rpartition('-')[2]}"
    assert found.since is not None, "an event tells"
    assert found.price is None
    await until(reachable, limit=120, every=1, what="the host is none any more")


async def test_a_replica_that_fails_its_probes_is_a_problem_until_it_passes(
    demo_sim: Handle,
) -> None:
    later = timedelta(hours=1)

    async def unready() -> list[Problem]:
        found = await wrong(demo_sim, later=later)
        return [each for key, each in found.items() if key.endswith(":unready")]

    async def ready() -> bool:
        return not await unready()

    assert await unready() == []
    await demo_sim.faults.worker_unhealthy("vision-0-0")
    try:
        (found,) = await until(unready, limit=120, every=1, what="the replica is a problem")
    finally:
        await demo_sim.faults.worker_unhealthy("vision-0-0", on=False)
    assert (found.subject, found.row) == ("vision", "0.0")
    assert "probe 1 has 0 of 1 successes" in found.text
    await until(ready, limit=120, every=1, what="the replica is none any more")


async def test_an_idle_instance_that_the_target_asks_for_is_no_waste(demo_sim: Handle) -> None:
    fleet = await demo_sim.fleet("gpu-reserved")
    assert "idle" in {instance["status"] for instance in fleet["instances"]}
    found = await wrong(demo_sim, later=timedelta(hours=1))
    assert not [key for key in found if key.startswith("idle:")]
