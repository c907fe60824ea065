"""Routers of a server without the add-on: their states and problems over SSH, and with neither."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dstack_api_client.model.router import RouterStatus, Sync
from dstack_api_client.routers.watch import OverSsh
from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.servers.commands import here
from tests.servers.problem_sights import Seen, eyes, key_of
from tests.servers.routed_services import SGLANG, WHOLE, group, routing, service
from tests.servers.router_sights import Shown, states, stock_sights
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: A fleet for a router that notices within seconds what takes that of the demo minutes.
FLEET = {
    "type": "fleet",
    "name": "routed",
    "nodes": "0..3",
    "backends": ["aws"],
    "regions": ["us-west-2"],
    "spot_policy": "spot",
    "resources": {"gpu": "H100:8"},
}
WELL = {"workers1": Sync.IN_SYNC, "workers2": Sync.IN_SYNC}


@pytest_asyncio.fixture(scope="module")
async def quick(edit_stock: Handle) -> AsyncIterator[Handle]:
    """A server without the add-on, with a service whose router is quick."""
    sim = edit_stock
    smg = (
        "smg launch --host 0.0.0.0 --port 8000 --enable-igw"
        " --health-check-interval-secs 1 --health-failure-threshold 2"
    )
    whole = {"resources": WHOLE, "spot_policy": "spot"}
    await sim.apply(FLEET)
    await sim.apply(
        service(
            "routed",
            {**routing(smg), **whole},
            {**group("workers", SGLANG, 2), **whole},
            fleets=["routed"],
            probes=[{"type": "http", "url": "/health", "interval": "5s", "ready_after": 1}],
        )
    )
    await until(lambda: _runs(sim), limit=120, every=0.5, what="all replicas run")
    yield sim


async def _runs(sim: Handle) -> bool:
    jobs = (await sim.run("routed"))["jobs"]
    return len(jobs) == 3 and all(job["job_submissions"][-1]["status"] == "running" for job in jobs)


def _all_ready(sim: Handle) -> bool:
    printed = here(sim, "get", "services", "routed", "-o", "json")
    (routed,) = json.loads(printed.stdout)["services"]
    return bool(routed["replicas"]["ready"] == 3)


@longest
async def test_over_ssh_states_are_shown_printed_and_problems_until_they_are_none(
    quick: Handle,
) -> None:
    failed = await key_of(quick, "worker", "routed", "failed")
    missing = await key_of(quick, "worker", "routed", "missing")
    router = await key_of(quick, "router", "routed")
    async with (
        stock_sights(quick, OverSsh.OPENED) as seen,
        eyes(quick, over_ssh=OverSsh.ALL) as wrong,
    ):
        await seen.open("routed")
        shown = await seen.agree(states(RouterStatus.READY, **WELL), "all is well", limit=90)
        assert {each.source for each in shown.values()} == {"ssh"}
        await wrong.neither(lambda key: failed(key) or missing(key) or router(key))

        def calls_failed(shown: Shown) -> bool:
            return shown.has("workers1", Sync.IN_SYNC, "failed") and shown.source == "ssh"

        def misses(shown: Shown) -> bool:
            return shown.has("workers2", Sync.MISSING) and "can't dial" in shown.said

        def is_down(shown: Shown) -> bool:
            return (shown.status, shown.source) == ("down", "ssh") and "answer" in shown.said

        def is_blind(shown: Shown) -> bool:
            return shown.status == "unknown" and "SSH brought no answer" in shown.said

        def is_told(rows: Seen) -> bool:
            return any(
                router(key) and "the router does not answer" in each["problem"]
                for key, each in rows.items()
            )

        await quick.faults.worker_unhealthy("routed-0-1")
        _, item = await asyncio.gather(
            seen.agree(calls_failed, "a failed worker"),
            wrong.both(failed, "workers 1: failed for the router, and running for dstack"),
        )
        assert (item["severity"], item["kind"]) == ("critical", "worker")
        await quick.faults.worker_unhealthy("routed-0-1", on=False)
        await quick.faults.worker_walled_off("routed-0-2")
        await quick.faults.router_restart("routed-0-0")
        _, item = await asyncio.gather(
            seen.agree(misses, "a missing worker"),
            wrong.both(missing, "workers 2: not in the router's list"),
        )
        assert (item["severity"], item["kind"]) == ("warning", "worker")
        await quick.faults.worker_walled_off("routed-0-2", on=False)
        await seen.agree(states(RouterStatus.READY, **WELL), "all is well again")
        await wrong.neither(lambda key: failed(key) or missing(key))

        await quick.faults.router_frozen("routed-0-0")
        try:
            # The dashboards have a way that stands, so they know who does not answer.
            await asyncio.gather(
                seen.agree(is_down, "a router that is down", only=["on screen"]),
                until(lambda: is_told(wrong.on_screen()), limit=60, what="the problem on screen"),
                # Each command starts from nothing: a router that hangs, or the way to it?
                seen.agree(is_blind, "a router without an answer", only=["printed"]),
            )
        finally:
            await quick.faults.router_frozen("routed-0-0", on=False)
        await seen.agree(states(RouterStatus.READY, **WELL), "it answers again")
        await wrong.neither(router)


@longest
async def test_with_neither_a_failing_worker_is_what_its_probes_tell(quick: Handle) -> None:
    unready = await key_of(quick, "replica", "routed", "unready")
    failed = await key_of(quick, "worker", "routed", "failed")
    router = await key_of(quick, "router", "routed")
    async with (
        stock_sights(quick, OverSsh.NONE) as seen,
        eyes(quick, over_ssh=OverSsh.NONE) as wrong,
    ):
        await seen.open("routed")
        blind = states(RouterStatus.UNKNOWN, workers1=Sync.UNKNOWN, workers2=Sync.UNKNOWN)
        for shown in (await seen.agree(blind, "an unknown router")).values():
            assert shown.source == "none"
            assert "no placement add-on" in shown.said
        # The other worker serves meanwhile, which it may not yet do after what came before.
        await until(lambda: _all_ready(quick), limit=60, every=0.5, what="all replicas are ready")
        await quick.faults.worker_unhealthy("routed-0-1")
        item = await wrong.both(unready, "workers 1: not ready: it runs, and probe 1 has 0 of 1")
        assert item["severity"] == "warning"
        printed = await wrong.printed()
        assert not any(failed(key) or router(key) for key in printed)
        (note,) = wrong.notes
        assert note.startswith("Router not read: routed. The server has no placement add-on")
        await until(lambda: note in wrong.noted(), what="the note on screen")
        await quick.faults.worker_unhealthy("routed-0-1", on=False)
        await wrong.neither(unready)
