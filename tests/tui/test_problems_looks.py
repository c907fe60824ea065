"""What the list of problems looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.analysis.health import Health, HealthState
from dstack_api_client.model.router import RouterStatus, RouterView, Source
from dstack_api_client.problems.model import Affected, Kind, Problem, Severity
from dstack_fleets_tui.settings.settings import Settings
from tests.builders import routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.recorded_demo import load
from tests.builders.snapshots import NOW, snapshot
from tests.screens import filled
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

NO_WAY = (
    "The server has no placement add-on that could read the router's list. It is read over SSH"
    " while the service is open."
)
SIZES = [(80, 24), (120, 30), (200, 50)]
FOUND = (
    Problem(
        "baseline",
        Kind.BASELINE,
        Severity.CRITICAL,
        "chat-70b",
        "1 of 2 replicas in gpu-reserved: no capacity in us-east-1, next try 14:05:30",
        "The placement add-on goes on trying; raise another fleet's minimum to make up for it.",
        NOW - timedelta(minutes=3),
        "s-chat",
        view="distribution",
        affects=(Affected("chat-70b", Health(HealthState.OK, 7, 7)),),
    ),
    Problem(
        "router",
        Kind.ROUTER,
        Severity.CRITICAL,
        "chat-70b decode 5",
        "the router calls it failed, dstack runs it",
        "The router has not reached it since 14:01:07. dstack will not repair this.",
        NOW - timedelta(seconds=84),
        "s-chat",
        view="router",
        affects=(Affected("chat-70b", Health(HealthState.DEGRADED, 5, 7)),),
    ),
    Problem(
        "instance",
        Kind.INSTANCE,
        Severity.WARNING,
        "lab-h100/3",
        "unreachable; on it: chat-70b decode 2",
        "The server tries again by itself; look at the host's network and its shim.",
        NOW - timedelta(minutes=12),
        fleet_id="f-gpu",
        view="instances",
        row="i-gpu-0",
        affects=(
            Affected("chat-70b", Health(HealthState.DEGRADED, 5, 7)),
            Affected("embed", Health(HealthState.OK, 4, 4)),
        ),
    ),
    Problem(
        "rollout",
        Kind.ROLLOUT,
        Severity.WARNING,
        "embed",
        "deployment 8 waits for replica 4, which does not get ready",
        "Look at its output. Until it is ready, edits of the counts wait too.",
        NOW - timedelta(hours=2),
        "s-chat",
        view="rollout",
        at_least=True,
        affects=(Affected("embed", Health(HealthState.DOWN, 0, 4)),),
    ),
    Problem(
        "idle",
        Kind.IDLE,
        Severity.NOTICE,
        "gpu-reserved",
        "2 idle instances above the minimum of 1",
        "They end by themselves after 1h without use.",
        NOW - timedelta(minutes=20),
        fleet_id="f-gpu",
        view="instances",
        price=196.64,
    ),
)


@pytest.fixture
def five(monkeypatch):
    """Makes the app find one of each sort."""

    def look(self, shot, now, events=()):
        self.problems = FOUND
        return FOUND

    monkeypatch.setattr("dstack_api_client.problems.watch.ProblemWatch.look", look)


async def _some(pilot):
    await filled(pilot.app)
    await pilot.press("3", "down", "down")
    await pilot.pause()


async def _none(pilot):
    await until(lambda: pilot.app.snapshot is not None)
    await pilot.press("3")
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_problems(snap_compare, five, size):
    app = app_on(GivenFeed(live(snapshot())))
    assert snap_compare(app, terminal_size=size, run_before=_some)


def test_problems_in_ascii(snap_compare, five):
    app = app_on(GivenFeed(live(snapshot())), Settings(ascii=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=_some)


def test_problems_without_colour(snap_compare, five, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_on(GivenFeed(live(snapshot())))
    assert snap_compare(app, terminal_size=(120, 30), run_before=_some)


def test_nothing_wrong(snap_compare):
    app = app_on(GivenFeed(live(snapshot())))
    assert snap_compare(app, terminal_size=(80, 24), run_before=_none)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_router_that_was_not_read(snap_compare, size):
    shot = routed_service.stock(routed_service.snapshot())
    app = app_on(GivenFeed(live(shot)))
    assert snap_compare(app, terminal_size=size, run_before=_none)


def test_nothing_wrong_as_far_as_it_was_read(snap_compare):
    shot = snapshot()
    chat = replace(shot.services["s-chat"], router="smg")
    view = RouterView("s-chat", "smg", RouterStatus.UNKNOWN, Source.NONE, NO_WAY)
    shot = replace(shot, services={"s-chat": chat}, routers={"s-chat": view})
    app = app_on(GivenFeed(live(shot)))
    assert snap_compare(app, terminal_size=(80, 24), run_before=_none)


def test_the_demo(snap_compare):
    recorded = load()
    app = app_on(GivenFeed(live(recorded)))
    app.now = lambda: recorded.observed_at + timedelta(seconds=1)
    assert snap_compare(app, terminal_size=(120, 30), run_before=_none)
