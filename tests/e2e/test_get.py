"""`dstack-fleets-tui get` as a program of its own, against a real server with the demo on it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest
import yaml

from dstack_simulator.handle.handle import Handle
from tests.servers.commands import KINDS, SECRET, here, program

pytestmark = pytest.mark.e2e


def get(simulator: Handle, kind: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """The printed items by name (replicas and instances by number)."""
    process = here(simulator, "get", kind, *arguments, "-o", "json")
    assert (process.returncode, process.stderr) == (0, "")
    whole = json.loads(process.stdout)
    assert list(whole) == ["version", "project", "observed_at", kind]
    assert (whole["version"], whole["project"]) == (1, simulator.project)
    observed = datetime.fromisoformat(whole["observed_at"].replace("Z", "+00:00"))
    assert observed.tzinfo is not None
    key = {"instances": "number", "replicas": "replica"}.get(kind, "name")
    items = {str(item[key]): item for item in whole[kind]}
    assert len(items) == len(whole[kind]) or (not arguments and key != "name")
    return items


async def test_fleets(demo_sim: Handle) -> None:
    fleets = get(demo_sim, "fleets")
    assert list(fleets) == ["edge-l4", "gpu-reserved", "gpu-spot", "lab-h100"]

    reserved = fleets["gpu-reserved"]
    assert (reserved["kind"], reserved["status"]) == ("cloud", "active")
    assert reserved["nodes"] == {"min": 2, "target": 3, "max": 4}
    assert reserved["instances"]["total"] == 3
    assert reserved["instances"]["by_state"]["busy"] == 1
    assert reserved["instances"]["by_state"]["idle"] == 2
    assert reserved["gpus"] == {"name": "H100", "busy": 8, "total": 24}
    assert reserved["reservation"] == "cr-0f3a91c2d4"
    assert reserved["placement"] == "cluster"
    assert reserved["idle_duration"] == "off"
    assert reserved["spot_policy"] == "on-demand"
    assert reserved["backends"] == ["aws"]
    assert reserved["price_per_hour"] == 294.96
    assert (reserved["replicas"], reserved["other_jobs"]) == (1, 0)

    spot = fleets["gpu-spot"]
    assert spot["nodes"] == {"min": 0, "target": 0, "max": 6}
    assert (spot["spot_policy"], spot["price_per_hour"]) == ("spot", 62.1)
    assert (spot["replicas"], spot["idle_duration"]) == (2, "10m")

    edge = fleets["edge-l4"]
    (host,) = (await demo_sim.fleet("edge-l4"))["instances"]
    assert edge["blocks"] == {"busy": host["busy_blocks"], "total": 8}
    assert edge["gpus"] == {"name": "L4", "busy": host["busy_blocks"], "total": 8}
    assert (edge["replicas"], edge["price_per_hour"]) == (3, 13.35)

    lab = fleets["lab-h100"]
    assert (lab["kind"], lab["price_per_hour"]) == ("ssh", 0)
    assert lab["nodes"] == {"min": 4, "target": 4, "max": 4}
    assert (lab["instances"]["total"], lab["instances"]["unhealthy"]) == (4, 1)
    assert (lab["gpus"]["name"], lab["gpus"]["total"]) == ("H100", 32)
    assert lab["blocks"]["total"] == 12
    assert (lab["replicas"], lab["other_jobs"]) == (4, 1)


def test_one_fleet(demo_sim: Handle) -> None:
    assert list(get(demo_sim, "fleets", "edge-l4")) == ["edge-l4"]


def test_instances(demo_sim: Handle) -> None:
    lab = get(demo_sim, "instances", "lab-h100")
    assert list(lab) == ["0", "1", "2", "3"]
    assert {item["fleet"] for item in lab.values()} == {"lab-h100"}
    assert sorted(item["blocks"]["total"] for item in lab.values()) == [1, 1, 2, 8]
    assert sorted(item["health"] for item in lab.values()) == ["healthy"] * 3 + ["warning"]
    assert {item["gpu"]["name"] for item in lab.values()} == {"H100"}
    assert {item["gpu"]["count"] for item in lab.values()} == {8}
    jobs = [job for item in lab.values() for job in item["jobs"]]
    assert sorted((job["run"], job["type"]) for job in jobs) == [
        *[("chat-70b", "service")] * 4,
        ("finetune-lora", "task"),
    ]

    (edge,) = get(demo_sim, "instances", "edge-l4").values()
    assert (edge["status"], edge["backend"], edge["region"]) == ("busy", "aws", "eu-west-1")
    assert (edge["instance_type"], edge["price_per_hour"]) == ("g6.48xlarge", 13.35)
    assert edge["spot"] is False
    assert sorted((job["run"], job["replica"]) for job in edge["jobs"]) == [
        ("embed", 0),
        ("embed", 1),
        ("embed", 2),
    ]

    idle = [i for i in get(demo_sim, "instances", "gpu-reserved").values() if not i["jobs"]]
    assert [item["status"] for item in idle] == ["idle", "idle"]
    assert all(item["idle_since"] >= item["created_at"] for item in idle)

    everything = here(demo_sim, "get", "instances", "-o", "json").stdout
    assert len(json.loads(everything)["instances"]) == 1 + 3 + 2 + 4


def test_services(demo_sim: Handle) -> None:
    services = get(demo_sim, "services")
    assert list(services) == ["chat-70b", "embed", "rerank", "summarize", "vision"]
    assert services["rerank"]["status"] == "failed"

    chat = services["chat-70b"]
    assert (chat["status"], chat["priority"], chat["router"]) == ("running", 50, "smg")
    assert chat["replicas"] == {"min": 4, "max": 4, "active": 4, "running": 4, "ready": 4}
    assert [(g["name"], g["router"], g["min"], g["running"]) for g in chat["groups"]] == [
        ("router", "smg", 1, 1),
        ("prefill", None, 1, 1),
        ("decode", None, 2, 2),
    ]
    assert [(f["fleet"], f["running"], f["ready"]) for f in chat["fleets"]] == [("lab-h100", 4, 4)]
    assert chat["model"] == "acme/chat-70b"
    assert chat["url"] == f"{demo_sim.url}/proxy/services/{demo_sim.project}/chat-70b/"
    assert chat["deployment"] == {"number": 0, "replicas": 4}

    summarize = services["summarize"]
    assert summarize["autoscaled"] is True
    assert (summarize["replicas"]["min"], summarize["replicas"]["max"]) == (1, 4)
    assert "apps.acme.test" in summarize["url"]
    assert summarize["price_per_hour"] == 98.32

    embed = services["embed"]
    assert embed["router"] is None
    assert embed["autoscaled"] is False
    (share,) = embed["fleets"]
    assert share == {
        "fleet": "edge-l4",
        "running": 3,
        "ready": 3,
        "starting": 0,
        "stopping": 0,
        "instances": 1,
        "price_per_hour": 5.00625,
    }
    assert services["vision"]["price_per_hour"] == 62.1
    assert services["vision"]["fleets"][0]["instances"] == 2


def test_replicas(demo_sim: Handle) -> None:
    chat = get(demo_sim, "replicas", "chat-70b")
    assert [(r["group"], r["router"]) for r in chat.values()] == [
        ("router", True),
        ("prefill", False),
        ("decode", False),
        ("decode", False),
    ]
    instances = {item["name"] for item in get(demo_sim, "instances", "lab-h100").values()}
    for replica in chat.values():
        assert (replica["service"], replica["status"]) == ("chat-70b", "running")
        assert replica["ready"] is True
        assert all(probe["passed"] for probe in replica["probes"])
        assert replica["fleet"] == "lab-h100"
        assert replica["instance"] in instances
        assert replica["link"] in ("exact", "host")
    assert chat["1"]["gpu"] == {"name": "H100", "count": 8, "memory_mib": 81920}

    embed = get(demo_sim, "replicas", "embed")
    assert embed["0"]["submission"] >= 1, "its first try failed"
    assert [embed[number]["submission"] for number in "12"] == [0, 0]
    everything = here(demo_sim, "get", "replicas", "-o", "json").stdout
    found = json.loads(everything)["replicas"]
    (failed,) = [replica for replica in found if replica["service"] == "rerank"]
    assert (failed["status"], failed["exit_status"]) == ("failed", 3)
    assert len(found) == 4 + 3 + 1 + 2 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_in_every_form(demo_sim: Handle, kind: str) -> None:
    outputs = {
        form: program(demo_sim, "get", kind, "-o", form) for form in ("json", "yaml", "table")
    }
    assert {process.returncode for process in outputs.values()} == {0}
    as_json, as_yaml = json.loads(outputs["json"].stdout), yaml.safe_load(outputs["yaml"].stdout)
    assert without_clock(as_json) == without_clock(as_yaml)
    _, *lines = outputs["table"].stdout.splitlines()
    assert len(lines) == len(as_json[kind])
    first = {"fleets": "name", "services": "name", "instances": "fleet", "replicas": "service"}
    assert [line.split()[0] for line in lines] == [item[first[kind]] for item in as_json[kind]]
    assert "\x1b" not in outputs["table"].stdout
    for process in outputs.values():
        assert SECRET not in process.stdout
        assert demo_sim.token not in process.stdout + process.stderr


def without_clock(whole: dict[str, Any]) -> dict[str, Any]:
    """What two looks at an idle server have in common: all but the time and growing streaks."""
    text = re.sub(r'"streak": \d+', '"streak": 0', json.dumps({**whole, "observed_at": ""}))
    cleaned: dict[str, Any] = json.loads(text)
    return cleaned


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("fleets", "fleet"),
        ("instances", "fleet"),
        ("services", "service"),
        ("replicas", "service"),
    ],
)
def test_an_unknown_name(demo_sim: Handle, kind: str, thing: str) -> None:
    process = here(demo_sim, "get", kind, "chat-70c", "-o", "json")
    assert (process.returncode, process.stdout) == (1, "")
    assert f"There is no {thing} chat-70c in project {demo_sim.project}." in process.stderr
    assert ("Did you mean chat-70b?" in process.stderr) == (thing == "service")
