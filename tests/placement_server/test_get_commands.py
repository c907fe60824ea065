"""The headless commands on a server with the add-on: a baseline that is not held, and then is."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
import pytest_asyncio
import yaml

from dstack_simulator.handle.handle import Handle
from tests.servers.commands import here
from tests.servers.lanes import PAIRS, ask, fleet, service, settled
from tests.servers.lanes import command as dstack_fleets
from tests.waiting import until

pytestmark = pytest.mark.e2e

RESERVED, SPOT = PAIRS["shown"]


def lanes(least: int) -> list[dict[str, Any]]:
    return [
        {"name": "tiny-reserved", "min_replicas": least, "priority": 10},
        {"name": "tiny-spot"},
    ]


def items(sim: Handle, kind: str, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    process = here(sim, "get", kind, *arguments, "-o", "json")
    assert (process.returncode, process.stderr) == (code, "")
    printed: list[dict[str, Any]] = json.loads(process.stdout)[kind]
    return printed


@pytest_asyncio.fixture
async def short(addon: Handle) -> Handle:
    """A service whose minimum is more than its fleet can ever hold."""
    await addon.apply(fleet("tiny-reserved", RESERVED, "on-demand", "0..1"))
    await addon.apply(fleet("tiny-spot", SPOT, "spot", "0..2"))
    await addon.apply(service("short", fleets=lanes(2)))
    return addon


async def _apply(sim: Handle, configuration: dict[str, Any]) -> str:
    """Applies a file with `dstack-fleets`; returns what it prints."""
    file = sim.folder.home / "short.dstack.yml"
    file.write_text(yaml.safe_dump(configuration))
    ended = await asyncio.to_thread(dstack_fleets, sim, "apply", "-y", "-d", "-f", file.name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


async def test_a_baseline_that_is_not_held_is_told_until_it_is(short: Handle) -> None:
    await settled(short, "short", {"tiny-reserved": 1, "tiny-spot": 1}, limit=90)

    (spread,) = items(short, "distribution", "short")
    assert (spread["managed"], spread["wanted"], spread["running"]) == (True, 2, 2)
    reserved, spot = spread["fleets"]
    assert (reserved["fleet"], reserved["priority"], reserved["min_replicas"]) == (
        "tiny-reserved",
        10,
        2,
    )
    assert (reserved["running"], reserved["deficit"]) == (1, 1)
    assert reserved["deficit_since"] is not None
    assert reserved["reason"].startswith("baseline 1 of 2: tiny-reserved has no room")
    assert (spot["running"], spot["fallbacks"], spot["max_replicas"]) == (1, 1, None)
    (cause,) = spot["fallback_causes"]
    told = re.search("tiny-reserved has (no room|room for 1 more only), .*", cause)
    assert told is not None
    # Without the count of the minimum, and beside the fleet without its name.
    whole = await ask(short, "get", run_name="short")
    (fell,) = (each for each in whole["replicas"] if each["reason"] == "fallback")
    assert (fell["why"], fell["cause"]) == (cause, told.group())
    (full,) = reserved["causes"]
    assert (full["code"], full["fleet"], full["number"]) == ("full", "tiny-reserved", 0)
    assert reserved["reason"].endswith(f"has no room, {full['detail']}")
    table = here(short, "get", "distribution", "short").stdout
    assert "BASELINE 1 of 2 for " in table

    (problem,) = items(short, "problems", "short", code=4)
    assert (problem["severity"], problem["kind"]) == ("critical", "baseline")
    assert problem["text"].startswith("tiny-reserved: baseline 1 of 2: tiny-reserved has no room")
    assert problem["since"] == reserved["deficit_since"]
    (listed,) = (each for each in items(short, "distribution") if each["service"] == "short")
    assert [each["deficit"] for each in listed["fleets"]] == [1, 0]

    updated = await _apply(short, service("short", fleets=lanes(1)))
    assert "can be updated in-place" in updated
    # dstack names what differs, and in a service with lanes that is updated, as here.
    assert "Configuration properties:\n  - fleets\n" in updated
    stored = (await short.run("short"))["run_spec"]["configuration"]["fleets"]
    assert [lane.get("min_replicas") for lane in stored] == [1, None]
    await until(
        lambda: (
            not json.loads(here(short, "get", "problems", "short", "-o", "json").stdout)["problems"]
        ),
        limit=60,
        every=1,
        what="the baseline is held",
    )
    assert items(short, "problems", "short") == []
