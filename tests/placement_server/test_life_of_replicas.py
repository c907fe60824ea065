"""Replicas in lanes that fill up, lose their capacity and get it back, on a real server."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
import yaml

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import EXAMPLES, events, service
from tests.servers.stories import FLEETS, PROBES, Look, Stories, Story, Watch, pair_of_lanes, placed
from tests.waiting import until

pytestmark = pytest.mark.e2e


async def _told(
    sim: Handle, name: str, *, replica: int | None = None
) -> list[tuple[datetime, str]]:
    """The events of a run, or of one of its replicas, with their times, oldest first."""
    run = await sim.run(name)
    found = await sim.api("/api/events/list", {"within_runs": [run["id"]], "limit": 100})
    whose = {
        submission["id"]: job["job_spec"]["replica_num"]
        for job in run["jobs"]
        for submission in job["job_submissions"]
    }
    return [
        (datetime.fromisoformat(event["recorded_at"].replace("Z", "+00:00")), event["message"])
        for event in reversed(found)
        if replica is None or replica in {whose.get(target["id"]) for target in event["targets"]}
    ]


def _time_of(told: list[tuple[datetime, str]], part: str) -> datetime:
    """When the one event was recorded that says so."""
    times = [time for time, message in told if part in message]
    assert len(times) == 1, (part, told)
    return times[0]


async def _example(sim: Handle) -> None:
    """The first example of the manual: what it says happens, and nothing is a fallback."""
    # The server asks a registry about an image, and there is none here.
    await sim.apply({**yaml.safe_load(EXAMPLES[0]), "image": None})
    await Watch(sim, "chat").at_rest({"gpu-reserved": 2, "gpu-spot": 2})
    reasons = [row["reason"] for row in (await placed(sim, "chat"))["replicas"]]
    assert sorted(reasons) == ["baseline", "priority", "priority", "priority"]
    told = await events(sim, "chat")
    assert not [line for line in told if "falls back" in line or "below its minimum" in line]


async def _full(sim: Handle) -> None:
    """The fleet of the first lane has no more nodes: the rest goes to the next lane."""
    await sim.apply(service("full", replicas=4, fleets=pair_of_lanes("full")))
    await Watch(sim, "full").at_rest({"full-reserved": 2, "full-spot": 2})
    seen = await placed(sim, "full")
    full = "full-reserved has no room, 2 of at most 2 nodes exist, none is idle"
    reserved, spot = seen["lanes"]
    assert (reserved["room"], reserved["target"], reserved["reason"]) == (0, 2, full)
    assert (spot["room"], spot["target"]) == (2, 2)
    rows = {row["replica_num"]: row for row in seen["replicas"]}
    assert [row["reason"] for row in rows.values()].count("fallback") == 2
    fallen = [message for message in await events(sim, "full") if "falls back" in message]
    assert len(fallen) == 2
    for message in fallen:
        # The first two may have been given their places, and no instances yet.
        assert re.fullmatch(
            "Replica falls back to fleet full-spot: full-reserved has (no room|room for (1|2) more"
            " only), (0|1|2) of at most 2 nodes exist, none is idle"
            "(, (1|2) promised to replicas that start)?",
            message,
        ), message

    # A plan says that the fleet is full: its instances are there, and busy.
    run = await sim.run("full")
    plan = await sim.api("runs/get_plan", {"run_spec": run["run_spec"]})
    offers = plan["job_plans"][0]["offers"]
    shown = {(offer["region"], offer["availability"]) for offer in offers}
    region = FLEETS["full"][0]
    assert (region, "busy") in shown
    assert (region, "available") not in shown
    assert (FLEETS["full"][2], "available") in shown


async def _short(sim: Handle) -> None:
    """The baseline falls back, is shown as a deficit, and is restored when capacity returns."""
    region = FLEETS["short"][0]
    await sim.faults.no_capacity(region)
    lanes = pair_of_lanes("short", min_replicas=1)
    await sim.apply(service("short", fleets=lanes, probes=PROBES))
    watch = Watch(sim, "short")
    await watch.until(lambda look: look.active["short-spot"] == 2, what="both fall back")

    async def cools() -> Any:
        lane, _ = (await placed(sim, "short"))["lanes"]
        return lane if lane["cooldown_until"] else None

    reserved = await until(cools, limit=60, every=0.5, what="its lane is skipped")
    assert (reserved["deficit"], reserved["ready"], reserved["target"]) == (1, 0, 0)
    clock = reserved["cooldown_until"][11:19]
    line = f"baseline 0 of 1: short-reserved is in cooldown until {clock},"
    line += f" p5.48xlarge in aws/{region}"
    assert reserved["reason"].startswith(line), reserved

    # One that is not ready yet is no use, and goes at once when it is to move.
    await watch.until(lambda look: look.ready["short-spot"] == 2, what="both serve")

    # Nothing is asked for: it comes back by itself, the new replica before the old one goes.
    most_ready = 0

    def launch_before_terminate(look: Look) -> None:
        nonlocal most_ready
        ready = sum(look.ready.values())
        most_ready = max(most_ready, ready)
        assert ready >= min(most_ready, 2), look
        assert sum(look.active.values()) <= 3, look

    await sim.faults.no_capacity(region, on=False)
    watch.check = launch_before_terminate
    await watch.at_rest({"short-reserved": 1, "short-spot": 1})

    async def ended() -> bool:
        return any(
            "has its minimum again: 1 of 1" in message for _, message in await _told(sim, "short")
        )

    await until(ended, limit=30, every=0.5, what="the end of the deficit is told")
    told = await _told(sim, "short")
    missed = _time_of(told, "Fleet short-reserved is below its minimum: baseline 0 of 1")
    held = _time_of(told, "Fleet short-reserved has its minimum again: 1 of 1")
    # On a slow machine a first move may have come before capacity did.
    move = "moves to fleet short-reserved: restores the minimum"
    moved, words = [(time, text) for time, text in told if move in text][-1]
    over = re.compile(r"Fleet short-reserved is skipped for (\d+) s after a failed start")
    cooled = [(time, match) for time, text in told if (match := over.match(text)) and time < moved]
    (first, _), (last, match) = cooled[0], cooled[-1]
    assert first <= missed < moved < held
    assert (moved - last).total_seconds() >= int(match[1]) - 1
    moving, relief = (int(number) for number in re.findall(r"[Rr]eplica (\d+)", words))

    async def since(replica: int, part: str) -> datetime:
        # A number may have been that of a replica of a first move.
        later = [each for each in await _told(sim, "short", replica=replica) if each[0] > moved]
        return _time_of(later, part)

    ready = await since(relief, "Service replica ready")
    stopped = await since(moving, "SCALED_DOWN")
    assert ready < stopped, told
    assert ready < held, told


async def _gone(sim: Handle) -> None:
    """A spot instance is taken back: its replica is started again, and the baseline stays."""
    await sim.apply(
        service("gone", replicas=3, fleets=pair_of_lanes("gone", min_replicas=1, max_replicas=1))
    )
    watch = Watch(sim, "gone")
    await watch.at_rest({"gone-reserved": 1, "gone-spot": 2})
    # Both of its instances have a replica.
    taken = (await sim.fleet("gone-spot"))["instances"][0]["name"]
    await sim.faults.spot_interrupted(taken)

    def baseline(look: Look) -> None:
        assert look.status == "running"
        assert look.running["gone-reserved"] == 1, look

    watch.check = baseline
    await watch.until(lambda look: look.running["gone-spot"] == 1, limit=300, what="is noticed")
    await watch.at_rest({"gone-reserved": 1, "gone-spot": 2})
    again = [job for job in (await sim.run("gone"))["jobs"] if len(job["job_submissions"]) > 1]
    assert len(again) == 1
    lost, new = again[0]["job_submissions"]
    assert lost["termination_reason"] == "interrupted_by_no_capacity"
    ids = [one["job_provisioning_data"]["instance_id"] for one in (lost, new)]
    assert ids[0] != ids[1]


STORIES: dict[str, Story] = {
    "gone": _gone,
    "short": _short,
    "full": _full,
    "chat": _example,
}


async def test_the_first_example_of_the_manual(life_stories: Stories) -> None:
    await life_stories["chat"]


async def test_a_full_fleet_overflows(life_stories: Stories) -> None:
    await life_stories["full"]


async def test_a_deficit_is_shown_and_made_good_by_itself(life_stories: Stories) -> None:
    await life_stories["short"]


async def test_an_interrupted_spot_replica_is_started_anew(life_stories: Stories) -> None:
    await life_stories["gone"]
