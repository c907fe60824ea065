"""What is refused in lanes, by the API and by `dstack-fleets apply`, each with one clear line."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio
import yaml

from dstack_simulator import SimulatorError
from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import command, commands, events, service

pytestmark = pytest.mark.e2e


def _with_group(**changes: Any) -> dict[str, Any]:
    """A service with one group, whose lanes are wrong."""
    group = {"name": "one", "replicas": 1, "commands": ["serve"], **changes}
    return {"replicas": None, "commands": None, "fleets": None, "groups": [group]}


#: Stands for the names of the fleets that exist: other tests make some too.
KNOWN = "KNOWN"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown fleet": (
        {"fleets": [{"name": "gpu-gone", "min_replicas": 1}]},
        f"Fleet gpu-gone in `fleets` does not exist. Use one of: {KNOWN}.",
    ),
    "unknown fleet of another project": (
        {"fleets": [{"name": "other/gpu", "min_replicas": 1}]},
        f"Fleet other/gpu in `fleets` does not exist. Use one of: {KNOWN}.",
    ),
    "unknown fleet of a group": (
        _with_group(fleets=["gpu-gone"]),
        f"Fleet gpu-gone in `fleets` of group one does not exist. Use one of: {KNOWN}.",
    ),
    "the same fleet twice": (
        {"fleets": ["gpu-spot", {"name": "gpu-spot", "priority": 1}]},
        "Fleet gpu-spot appears twice in `fleets`. Keep one of the entries.",
    ),
    "maximum below the minimum": (
        {"fleets": [{"name": "gpu-spot", "min_replicas": 2, "max_replicas": 1}]},
        (
            "`max_replicas` of gpu-spot (1) is below its `min_replicas` (2). Raise the one or lower"
            " the other."
        ),
    ),
    "minimums above the maximum replica count": (
        {"fleets": [{"name": "gpu-spot", "min_replicas": 3}]},
        (
            "The `min_replicas` of `fleets` add up to 3, above the maximum replica count of 2."
            " Lower them or raise `replicas`."
        ),
    ),
    "minimums of a group": (
        _with_group(fleets=[{"name": "gpu-spot", "min_replicas": 2}]),
        (
            "The `min_replicas` of `fleets` of group one add up to 2, above the maximum replica"
            " count of 1. Lower them or raise `replicas`."
        ),
    ),
    "maximums below the minimum replica count": (
        {"fleets": [{"name": "gpu-spot", "max_replicas": 1}]},
        (
            "The `max_replicas` of `fleets` add up to 1, below the minimum replica count of 2."
            " Raise them or lower `replicas`."
        ),
    ),
    "negative priority": (
        {"fleets": [{"name": "gpu-spot", "priority": -1}]},
        "`priority` of gpu-spot is negative (-1). Write 0 or more.",
    ),
    "negative minimum": (
        {"fleets": [{"name": "gpu-spot", "min_replicas": -1}]},
        "`min_replicas` of gpu-spot is negative (-1). Write 0 or more.",
    ),
    "negative maximum": (
        {"fleets": [{"name": "gpu-spot", "min_replicas": -3, "max_replicas": -2}]},
        (
            "`min_replicas` of gpu-spot is negative (-3). Write 0 or more.\n"
            "`max_replicas` of gpu-spot is negative (-2). Write 0 or more."
        ),
    ),
    "lanes on a task": (
        {"type": "task", "port": None, "model": None, "probes": None, "replicas": None},
        "Lanes are for services, and this is a task. Name its fleets without counts.",
    ),
}
EVERY = pytest.mark.parametrize("what", REFUSED)


def _spec(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "configuration": service(name, **changes),
        "run_name": name,
        "ssh_key_pub": "ssh-ed25519 AAAA",
    }


async def _line(addon: Handle, what: str) -> str:
    """The line of a refusal, with the fleets that exist."""
    fleets = await addon.api("fleets/list")
    names = sorted(each["name"] for each in fleets if each["status"] == "active")
    return REFUSED[what][1].replace(KNOWN, ", ".join(names))


async def _refused(addon: Handle, path: str, body: dict[str, Any], line: str) -> None:
    async with addon.client() as client:
        answer = await client.post(f"/api/project/{addon.project}/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert [entry["msg"] for entry in answer.json()["detail"]] == [line]


@EVERY
async def test_the_api_refuses(addon: Handle, what: str) -> None:
    changes, line = REFUSED[what][0], await _line(addon, what)
    spec = _spec("refused", changes)
    await _refused(addon, "runs/get_plan", {"run_spec": spec}, line)
    await _refused(addon, "runs/apply", {"plan": {"run_spec": spec}, "force": True}, line)
    with pytest.raises(SimulatorError, match="not found"):
        await addon.run("refused")


@pytest_asyncio.fixture(scope="module")
async def printed(addon: Handle) -> dict[str, tuple[int, str]]:
    """Exit code and output of `dstack-fleets apply`, by what is wrong in its file."""
    files = {}
    for number, (what, (changes, _)) in enumerate(REFUSED.items()):
        files[what] = addon.folder.home / f"refused-{number}.dstack.yml"
        files[what].write_text(yaml.safe_dump(service("refused", **changes)))
    asked = [["apply", "-y", "-f", file.name] for file in files.values()]
    return dict(zip(files, await asyncio.to_thread(commands, addon, *asked), strict=True))


@EVERY
async def test_the_command_refuses(
    addon: Handle, printed: dict[str, tuple[int, str]], what: str
) -> None:
    code, output = printed[what]
    assert code == 1
    # The console breaks lines where they are long.
    assert "".join((await _line(addon, what)).split()) in "".join(output.split())
    with pytest.raises(SimulatorError, match="not found"):
        await addon.run("refused")


@pytest.mark.parametrize("what", [what for what in REFUSED if "task" not in what])
async def test_a_refused_edit_changes_nothing(addon: Handle, what: str) -> None:
    changes, line = REFUSED[what][0], await _line(addon, what)
    before = await addon.run("shown")
    told = await events(addon, "shown")
    spec = {**before["run_spec"], "configuration": service("shown", **changes)}
    plan = {"run_spec": spec, "current_resource": before}
    await _refused(addon, "runs/get_plan", {"run_spec": spec}, line)
    await _refused(addon, "runs/apply", {"plan": plan, "force": False}, line)
    after = await addon.run("shown")
    for key in ("id", "run_spec", "deployment_num", "status"):
        assert after[key] == before[key]
    assert not [message for message in await events(addon, "shown") if message not in told]


async def test_what_the_stock_server_accepts_is_accepted(addon: Handle) -> None:
    odd = service("odd", fleets=["gpu-spot", "gpu-spot", "gpu-gone"])
    plan = await addon.api("runs/get_plan", {"run_spec": {"configuration": odd}})
    assert plan["action"] == "create"


async def test_the_command_accepts_lanes(addon: Handle) -> None:
    file = addon.folder.home / "accepted.dstack.yml"
    file.write_text(yaml.safe_dump(service("accepted")))
    ended = await asyncio.to_thread(command, addon, "apply", "-y", "-d", "-f", file.name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = await addon.run("accepted")
    assert run["run_spec"]["configuration"]["fleets"][0]["min_replicas"] == 1
    await addon.stop_run("accepted")


async def test_lanes_are_in_the_schema(addon: Handle) -> None:
    async with addon.client() as client:
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    lane = next(schema for name, schema in schemas.items() if name.startswith("LaneReference"))
    assert {"name", "project", "min_replicas", "max_replicas", "priority"} == {*lane["properties"]}
    groups = [schema for name, schema in schemas.items() if name.startswith("ReplicaGroup")]
    assert any("fleets" in group["properties"] for group in groups)
