"""Rolling deployments and their extra replica: warned of before anything is applied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dstack_api_client.edits.outlook.warnings import Risk
from dstack_api_client.edits.plan import applying
from dstack_api_client.edits.plan.planning import make_plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_simulator.handle.handle import Handle
from tests.servers.edited_services import begin, client_of, service, stored
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"addon": ["still"]}

_ENV = ("configuration", "env", "MODE")


async def _running(client: Client, sim: Handle, name: str) -> tuple[ServiceEdit, Snapshot]:
    """An edit of a service all of whose replicas run."""

    async def runs() -> bool:
        run = await sim.run(name)
        latest = [job["job_submissions"][-1]["status"] for job in run["jobs"]]
        return run["status"] == "running" and set(latest) == {"running"}

    await until(runs, limit=180, every=0.5, what=f"{name} runs")
    return await begin(client, sim, name)


async def _started(sim: Handle, name: str, nodes: str, /, **changes: Any) -> None:
    fleet = f"{name}-fleet"
    await sim.apply(
        {
            "type": "fleet",
            "name": fleet,
            "nodes": nodes,
            "backends": ["aws"],
            "regions": ["eu-west-2"],
            "idle_duration": "off",
            "resources": {"gpu": "H100:8"},
        }
    )
    groups = changes.pop("groups", False)
    await sim.apply({**service(name, "", fleets=[fleet], groups=groups), **changes})


async def _full(rolling: Handle) -> None:
    """The server does what was warned of: one replica more can't start, and the service ends."""
    async with client_of(rolling) as client:
        edit, snapshot = await _running(client, rolling, "rolled")
        plan = await make_plan(client, edit.with_values({_ENV: "new"}), snapshot=snapshot)
        assert {change.name: change.kind.value for change in plan.changes} == {
            "env MODE": "rolling deployment"
        }
        assert plan.dry_run is not None
        assert plan.dry_run.still, "the outlook itself has no deployment in it"
        assert [(row.group, row.action) for row in plan.dry_run.surges] == [("0", "pending")]
        assert {group for group, _ in plan.dry_run.starts} == {"0"}
        assert [(warning.key, warning.risk) for warning in plan.warnings] == [
            ("kill-trap", Risk.DANGER)
        ]
        assert "The rolling deployment starts it beside" in plan.warnings[0].line
        before = await stored(client, rolling, "rolled")
        assert (before.deployment, before.status) == (0, "running"), "nothing is applied yet"

        await applying.apply(client, plan)

        async def ended() -> bool:
            now = await stored(client, rolling, "rolled")
            return now.gone

        await until(ended, limit=180, every=0.5, what="the service has ended")


async def _over(rolling: Handle) -> None:
    """dstack counts it from when the service began, not from the attempt."""
    async with client_of(rolling) as client:
        edit, snapshot = await _running(client, rolling, "retried")
        plan = await make_plan(client, edit.with_replicas("0", 2), snapshot=snapshot)
        (warning,) = plan.warnings
        assert (warning.key, warning.risk) == ("kill-trap", Risk.DANGER)
        assert "its `retry` of 1 s is over: it counts from when the service began, " in warning.line

        await applying.apply(client, plan)

        async def reason() -> bool:
            run = await rolling.run("retried")
            return bool(run["termination_reason"] == "retry_limit_exceeded")

        await until(reason, limit=180, every=0.5, what="the service has ended by its retry")


async def _roomy(rolling: Handle) -> None:
    """With room it is no trap."""
    async with client_of(rolling) as client:
        edit, snapshot = await _running(client, rolling, "roomy")
        plan = await make_plan(client, edit.with_values({_ENV: "new"}), snapshot=snapshot)
        assert plan.dry_run is not None
        assert [(row.action, row.to) for row in plan.dry_run.surges] == [("start", "roomy-fleet")]
        assert [warning.key for warning in plan.warnings] == ["no-retry", "no-probes", "cut"]
        assert plan.offers
        await applying.apply(client, plan)

        async def replaced() -> bool:
            jobs = (await rolling.run("roomy"))["jobs"]
            latest = [job["job_submissions"][-1] for job in jobs]
            running = [each for each in latest if each["status"] == "running"]
            return [each["deployment_num"] for each in running] == [1]

        await until(replaced, limit=180, every=0.5, what="the replica was replaced")
        assert not (await stored(client, rolling, "roomy")).gone


async def _spotty(rolling: Handle) -> None:
    """There is room for a node more, and no offer that would fit the new replica."""
    async with client_of(rolling) as client:
        edit, snapshot = await _running(client, rolling, "spotty")
        back = edit.with_group("back", spot_policy="spot")
        plan = await make_plan(client, back, snapshot=snapshot)
        assert plan.dry_run is not None
        (row,) = plan.dry_run.surges
        assert (row.group, row.action) == ("back", "pending")
        assert [(warning.key, warning.risk) for warning in plan.warnings] == [
            ("kill-trap", Risk.DANGER),
            ("spot", Risk.WARNING),
        ]
        assert "it is on-demand only, and spot is asked for" in plan.warnings[0].line

        await applying.apply(client, plan)

        async def ended() -> bool:
            return (await stored(client, rolling, "spotty")).gone

        await until(ended, limit=180, every=0.5, what="the service has ended")


STORIES = {
    "on a full fleet": _full,
    "a retry that is over does not save it": _over,
    "with room": _roomy,
    "a group that asks for spot in an on-demand fleet": _spotty,
}


@pytest_asyncio.fixture(scope="module")
async def stories(edit_stock: Handle) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """All of them at once on the stock server, each with an on-demand fleet of its own."""
    await _started(edit_stock, "rolled", "0..1")
    short = {"on_events": ["no-capacity"], "duration": "1s"}
    await _started(edit_stock, "retried", "0..1", retry=short)
    await _started(edit_stock, "roomy", "0..2")
    await _started(edit_stock, "spotty", "0..3", groups=True)
    begun = {name: asyncio.create_task(story(edit_stock)) for name, story in STORIES.items()}
    yield begun
    for task in begun.values():
        task.cancel()
    await asyncio.gather(*begun.values(), return_exceptions=True)


@pytest.mark.parametrize("name", STORIES)
async def test_rolling_deployments(stories: dict[str, asyncio.Task[None]], name: str) -> None:
    await stories[name]


@pytest.mark.slow
async def test_with_lanes_it_goes_where_there_is_room(edit_addon: Handle) -> None:
    """The reserved lane is at its maximum; spot takes the extra replica."""
    async with client_of(edit_addon) as client:
        edit, snapshot = await _running(client, edit_addon, "still")
        plan = await make_plan(client, edit.with_values({_ENV: "new"}), snapshot=snapshot)
        assert plan.dry_run is not None
        assert [(row.action, row.to) for row in plan.dry_run.surges] == [("start", "still-spot")]
        assert [(warning.key, warning.risk) for warning in plan.warnings] == [
            ("no-retry", Risk.DANGER)
        ]
        assert {offer.usable for offer in plan.offers} >= {True}
