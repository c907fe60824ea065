"""Which list comes up first, on a real server whose routers are looked at, with no key pressed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio

from dstack_api_client.clock import utc_now
from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.model.router import RouterStatus, Sync
from dstack_api_client.routers.watch import OverSsh, RouterWatch
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.conftest import project_name
from tests.servers.routed_services import (
    BIG,
    SGLANG,
    SMG,
    Looking,
    StockWatch,
    group,
    lab,
    looking,
    routing,
    row,
    service,
)
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = pytest.mark.e2e

#: The router of a service that is just starting is no problem yet.
LATER = timedelta(minutes=3)


def scenario() -> Scenario:
    hosts, steps = lab(1, 2)
    smg = f"{SMG} --health-check-interval-secs 1 --health-failure-threshold 6"
    chat = service("chat", routing(smg), group("workers", SGLANG, 2, resources=BIG))
    return Scenario.model_validate(
        {
            "description": "A service with a router, and nothing else",
            "hosts": hosts,
            "steps": [*steps, {"apply": chat}],
            "expect": {"runs": {"chat": {"replicas": {"running": 3}}}},
        }
    )


@pytest_asyncio.fixture(scope="module")
async def sim(router_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    project = await router_server.add_project(project_name(request, "addon"), scenario())
    await project.settled()
    yield project
    await emptied(project)


@pytest_asyncio.fixture(scope="module")
async def seen(sim: Handle) -> AsyncIterator[Looking]:
    """What tells that the server is as a test wants it, before a dashboard is started."""
    async with looking(sim) as look:
        yield look


async def well(seen: Looking) -> None:
    """Waits until the router calls both workers ready."""

    async def is_well() -> bool:
        view = await seen.view("chat")
        states = [(worker.sync, worker.router_health) for worker in view.workers]
        return view.status is RouterStatus.READY and states == [(Sync.IN_SYNC, "ready")] * 2

    await until(is_well, limit=60, every=0.2, what="both workers to be ready")


@asynccontextmanager
async def dashboard(
    sim: Handle, kind: type[RouterWatch] = RouterWatch, ahead: timedelta = timedelta()
) -> AsyncIterator[FleetsApp]:
    """A dashboard that nobody touches, until it has chosen its first screen."""

    @asynccontextmanager
    async def opened(connection: Connection) -> AsyncIterator[Source]:
        async with looking(sim, kind, over_ssh=OverSsh.ALL) as look, look.watch:
            yield Source(look.feed, look.client, connection.project)

    here = Sources("test", "test", "test")
    app = FleetsApp(
        Connection(sim.url, sim.project, sim.token, here),
        Settings(interval=1),
        now=lambda: utc_now() + ahead,
        open_source=opened,
        terminal_is_gone=lambda: False,
    )

    def has_chosen() -> bool:
        shot = app.snapshot
        return (
            shot is not None
            and shot.complete
            and not any(view.awaited for view in shot.routers.values())
        )

    async with app.run_test(size=(160, 40)):
        await until(has_chosen, limit=40, what="everything was read, routers too")
        yield app


def wrong(app: FleetsApp) -> list[str]:
    """What the list of problems shows, once it is in front."""
    return list(app.screen.table.keys) if isinstance(app.screen, ProblemsScreen) else []


@pytest.mark.parametrize("kind", [RouterWatch, StockWatch])
async def test_where_nothing_is_wrong_the_fleets_stay(
    sim: Handle, seen: Looking, kind: type[RouterWatch]
) -> None:
    await well(seen)
    async with dashboard(sim, kind) as app:
        assert [view.status for view in app.snapshot.routers.values()] == [RouterStatus.READY]
        assert app.problems == ()
        assert isinstance(app.screen, FleetsScreen)


async def test_an_empty_project_begins_with_its_fleets(empty_sim: Handle) -> None:
    async with dashboard(empty_sim) as app:
        assert app.snapshot.routers == {}
        assert isinstance(app.screen, FleetsScreen)


async def test_a_worker_that_only_its_router_calls_failed_brings_the_problems_up(
    sim: Handle, seen: Looking
) -> None:
    await well(seen)

    async def failed() -> bool:
        return row(await seen.view("chat"), "workers1").router_health == "failed"

    key = f"worker:{(await sim.run('chat'))['id']}:failed"
    await sim.faults.worker_unhealthy("chat-0-1")
    try:
        await until(failed, limit=60, every=0.2, what="the router calls it failed")
        # Looked at through the server, and over SSH as on one without the add-on.
        for kind in (RouterWatch, StockWatch):
            async with dashboard(sim, kind) as app:
                await until(lambda app=app: wrong(app) == [key], limit=20, what="that problem")
                (found,) = app.problems
                assert found.text.startswith("workers 1: failed for the router, and running for")
                cells = dict(
                    zip(
                        (c.key for c in app.screen.table.columns),
                        app.screen.table.get_cells(key),
                        strict=True,
                    )
                )
                since = cells["since"]
                assert since.text.endswith("+"), "nothing tells since when"
    finally:
        await sim.faults.worker_unhealthy("chat", on=False)
    await well(seen)


@pytest.mark.slow
async def test_a_router_that_hangs_brings_the_problems_up(sim: Handle, seen: Looking) -> None:
    await well(seen)
    await sim.faults.router_frozen("chat-0-0")
    try:
        # The server gives an answer that somebody else just got for a moment.
        await seen.until("chat", RouterStatus.DOWN, limit=60)
        async with dashboard(sim, ahead=LATER) as app:
            await until(lambda: wrong(app), limit=20, what="the list of problems")
            assert wrong(app) == [f"router:{(await sim.run('chat'))['id']}"]
    finally:
        await sim.faults.router_frozen("chat-0-0", on=False)
    await well(seen)
