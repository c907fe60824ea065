"""What outlives a server that ends, is killed, or comes back without the add-on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from dstack_api_client.edits.plan import planning
from dstack_simulator import Simulator
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.builders.generation import longest
from tests.servers import edited_services
from tests.servers.lanes import (
    PAIRS,
    SEED,
    STOCK,
    active,
    ask,
    events,
    fleet,
    is_idle,
    places,
    rebalanced_fleets,
    rebalanced_lanes,
    scenario,
    service,
    settled,
    update,
)
from tests.servers.many_replicas import Lane, Watch, containers, reading
from tests.servers.sharing import emptied
from tests.servers.streams import Streams, cpu_cloud
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest_asyncio.fixture(scope="module")
async def addon() -> AsyncIterator[Handle]:
    """A server of this module's own, which has the add-on until its folder says otherwise."""
    launcher = ("tests.servers.addon_or_stock",)
    async with Simulator(scenario(), launcher=launcher, pace="quick") as sim:
        await sim.settled()
        yield sim


@pytest_asyncio.fixture(scope="module")
async def chat(addon: Handle) -> Handle:
    """The server, with a service of two replicas that leaves three instances idle."""
    await addon.apply(service("chat", replicas=5))
    await settled(addon, "chat", {"gpu-reserved": 1, "gpu-spot": 4}, limit=90)
    await update(addon, "chat", replicas=2)
    await settled(addon, "chat", {"gpu-reserved": 1, "gpu-spot": 1}, limit=90)
    return addon


async def test_an_edit_whose_server_is_killed_before_it_has_answered(addon: Handle) -> None:
    sim = await addon.add_project("edits", edited_services.scenario())
    await sim.settled()
    await sim.apply(edited_services.service("dice", "dice"))
    async with edited_services.client_of(sim) as client:
        edit, snapshot = await edited_services.begin(client, sim, "dice")
        plan = await planning.make_plan(client, edit.with_priority(62), snapshot=snapshot)
        task = await edited_services.held_back(sim, client, plan)
        await sim.faults.server_slow(0)
        await sim.faults.server_restart(graceful=False)
        done = await task
        assert done.now.deployment == plan.base.deployment + 1
        assert done.now.spec == plan.spec
        assert not done.answered
    await sim.stop_run("dice")


@longest
async def test_a_server_killed_while_it_scales_up_doubles_nothing(
    chat: Handle,
) -> None:
    addon = chat
    url, before = addon.url, await addon.run("chat")
    lanes = {"gpu-reserved": Lane(hosts=2, least=1, most=2), "gpu-spot": Lane(hosts=8, least=1)}
    watch = Watch(reading(addon), "chat", lanes)
    # Three of them find an idle instance, and three need a new one.
    written = [lane.written(name) for name, lane in lanes.items()]
    await addon.faults.slow_start(2)
    await update(addon, "chat", fleets=written, replicas=8)

    async def mid_way() -> bool:
        await watch.look()
        return sum(watch.placed.values()) > 2

    await until(mid_way, limit=60, every=0.05, what="some have their instances")
    await addon.faults.server_end(graceful=False)
    await watch.look()
    assert sum(watch.running.values()) < 8, "it was killed too late to tell anything"

    await addon.faults.slow_start(0)
    await addon.faults.server_start()
    await watch.settled({"gpu-reserved": 2, "gpu-spot": 6})
    after = await addon.run("chat")
    assert (addon.url, after["id"], after["status"]) == (url, before["id"], "running")

    async def one_each() -> bool:
        found = await containers(addon, "chat")
        return len(found) == 8 and set(found.values()) == {1}

    await until(one_each, limit=60, every=0.3, what="one container of each replica")

    async def one_instance_each() -> bool:
        fleets = [await addon.fleet(name) for name in lanes]
        found = Counter(
            (each["name"], instance["status"])
            for each in fleets
            for instance in each["instances"]
            if instance["status"] != "terminated"
        )
        return found == {("gpu-reserved", "busy"): 2, ("gpu-spot", "busy"): 6}

    # One too many would stay: idle instances are kept in these fleets.
    await until(one_instance_each, limit=90, every=0.3, what="one instance of each replica")


async def test_the_stock_server_goes_on_with_what_the_add_on_left(
    chat: Handle,
) -> None:
    addon = chat
    before = await addon.run("chat")
    lanes = before["run_spec"]["configuration"]["fleets"]
    assert any(lane.get("min_replicas") == 1 for lane in lanes), "what a stock server doesn't know"
    attached = before["fleet"]["name"]
    # For one more, whichever it is.
    reserved, spot = PAIRS["gpu"]
    await addon.apply(fleet("gpu-reserved", reserved, "on-demand", "0..4"))
    await addon.apply(fleet("gpu-spot", spot, "spot", "0..10"))
    stayed, there = await active(addon, "chat"), await places(addon, "chat")

    mark = addon.folder.server / STOCK
    mark.touch()
    await addon.faults.server_restart()
    try:
        async with addon.client() as client:
            assert "/api/placement/" not in (await client.get("/openapi.json")).text
        stored = (await addon.run("chat"))["run_spec"]["configuration"]["fleets"]
        assert stored == [{"project": None, "name": name} for name in ("gpu-reserved", "gpu-spot")]
        await update(addon, "chat", replicas=len(stayed) + 1)
        await settled(addon, "chat", there + Counter([attached]), limit=120)
        now = {one["id"] for one in await active(addon, "chat")}
        assert {one["id"] for one in stayed} < now
    finally:
        mark.unlink()
        await addon.faults.server_restart(graceful=False)


async def test_a_rebalance_goes_on_after_a_restart(addon: Handle) -> None:
    await rebalanced_fleets(addon, "after", "us-west-2")
    await addon.apply(service("after", replicas=1, fleets=rebalanced_lanes("after", 0)))
    await settled(addon, "after", {"after-spot": 1}, limit=120)
    await update(addon, "after", fleets=rebalanced_lanes("after", 20))
    begun = await ask(addon, "rebalance", run_name="after")
    await addon.faults.server_restart()
    seen = await ask(addon, "get", run_name="after")
    assert seen["rebalancing"] == begun["rebalancing"]

    async def moves() -> bool:
        return any("moves to fleet after-reserved" in line for line in await events(addon, "after"))

    await until(moves, limit=120, every=0.3, what="the replica moves")
    await addon.stop_run("after")


async def test_a_drain_goes_on_after_a_restart(addon: Handle) -> None:
    # Where nothing else takes the few instances that there are.
    await addon.apply(fleet("leave-reserved", SEED[0], "on-demand", "0..2"))
    await addon.apply(fleet("leave-spot", SEED[1], "spot", "0..4"))
    lanes = [{"name": "leave-reserved", "priority": 10}, "leave-spot"]
    await addon.apply(service("leave", replicas=1, fleets=lanes))
    await settled(addon, "leave", {"leave-reserved": 1}, limit=120)
    begun = await ask(addon, "drain", fleet="leave-reserved", reason="returned")
    assert [each["to"] for each in begun["occupants"]] == ["leave-spot"]
    await addon.faults.server_restart()
    await settled(addon, "leave", {"leave-spot": 1}, limit=240)

    async def empty() -> dict[str, Any] | None:
        (cordon,) = (await ask(addon, "cordons"))["cordons"]
        return None if cordon["left"] else cordon

    cordon = await until(empty, limit=60, what="nothing is left on the fleet")
    assert cordon["draining_since"] == begun["cordon"]["draining_since"]
    await ask(addon, "uncordon", fleet="leave-reserved")
    await addon.stop_run("leave")


def _four_hosts() -> Scenario:
    """A fleet of four hosts, on each of them one: a replica, a router, its worker and a task."""
    small = {"resources": {"gpu": 0}}
    lanes = [{"name": "pool", "min_replicas": 1, "priority": 10}, "other"]
    of_all = {"type": "service", "port": 8000, "model": "acme/chat-8b", "drain": "90s", **small}
    engine = "python -m sglang.launch_server --model acme/chat-8b --port 8000"
    router = {
        "name": "router",
        "replicas": 1,
        "router": {"type": "smg"},
        "commands": ["smg launch --host 0.0.0.0 --port 8000 --enable-igw"],
    }
    workers = {"name": "workers", "replicas": 1, "commands": [engine], "fleets": lanes}
    runs = [
        {**of_all, "name": "chat", "commands": ["vllm serve acme/chat-8b"], "fleets": lanes},
        {**of_all, "name": "routed", "groups": [router, workers], "fleets": ["pool"]},
        {"type": "task", "name": "train", "commands": ["sleep 3600"], "fleets": ["pool"], **small},
    ]
    return Scenario.model_validate(
        {
            "description": "Four hosts, all of them in use",
            "cloud": cpu_cloud(12),
            "steps": [
                {"apply": {**fleet("pool", "us-east-1", "on-demand", 4), **small}},
                {"apply": {**fleet("other", "us-east-1", "on-demand", "0..4"), **small}},
                {"until": {"fleets": {"pool": {"instances": {"idle": 4}}}}},
                *({"apply": run} for run in runs),
            ],
            "expect": {
                "runs": {
                    "chat": {"status": "running", "replicas": {"running": 1}},
                    "routed": {"status": "running", "replicas": {"running": 2}},
                    "train": {"status": "running"},
                }
            },
        }
    )


@longest
async def test_four_hosts_are_drained_one_after_the_other_over_a_restart(addon: Handle) -> None:
    """What can move does, without a request that is cut; what can't says why; one is cancelled."""
    sim = await addon.add_project("hosts", _four_hosts())
    await sim.settled()
    clients = [Streams(sim, name) for name in ("chat", "routed")]
    for each in clients:
        await each.answers()
    plan = await ask(sim, "drain_plan", fleet="pool")
    there = {
        (each["run_name"], each["group"]): int(each["instance"].removeprefix("pool-"))
        for each in plan["occupants"]
    }
    assert sorted(there.values()) == [0, 1, 2, 3]
    broken = {(each["run_name"], each["replicas"]) for each in plan["broken_minimums"]}
    assert broken == {("chat", 0), ("routed", 0)}
    chat, worker, router, task = (
        there[at]
        for at in (("chat", "0"), ("routed", "workers"), ("routed", "router"), ("train", ""))
    )

    async with AsyncExitStack() as flows:
        for each in clients:
            await flows.enter_async_context(each.flowing(4, 15))
        await ask(sim, "drain", fleet="pool", instance_num=chat, reason="new driver")
        await settled(sim, "chat", {"other": 1}, limit=180)
        await until(lambda: is_idle(sim, "pool", chat), limit=120, every=0.5, what="it is empty")
    # Requests through the server's own proxy end with it.
    await ask(sim, "drain", fleet="pool", instance_num=worker)
    await sim.faults.server_restart()
    await settled(sim, "routed", {"pool": 1, "other": 1}, limit=240)
    async with AsyncExitStack() as flows:
        for each in clients:
            await each.answers()
            await flows.enter_async_context(each.flowing(4, 15))
        for number in (router, task):
            await ask(sim, "drain", fleet="pool", instance_num=number)
        left = {
            each["instance_num"]: [one["why"] for one in each["left"]]
            for each in (await ask(sim, "cordons"))["cordons"]
        }
        assert left == {
            chat: [],
            worker: [],
            router: ["a router stays where it is"],
            task: ["a task is not moved"],
        }
        assert (await ask(sim, "uncordon", fleet="pool", instance_num=router))["changed"]
        drained = {each["instance_num"] for each in (await ask(sim, "cordons"))["cordons"]}
        assert drained == {chat, worker, task}
    assert [set(each.ends) for each in clients] == [{"whole"}] * 2, [each.ends for each in clients]
    await emptied(sim)
