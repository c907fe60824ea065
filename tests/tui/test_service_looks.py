"""What the views of a service look like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_fleets_tui.settings.settings import Settings
from dstack_fleets_tui.tables import services
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from tests.builders import baseline_and_overflow, crowded_service, projects, routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.pictures import sized
from tests.screens import brought
from tests.waiting import until

SIZES = [(80, 24), (120, 30), (200, 50)]
ROUTED = routed_service.snapshot()
STOCK = routed_service.stock(ROUTED)
#: A snapshot and the key of the view.
VIEWS = {
    "distribution": (ROUTED, "d"),
    "replicas": (ROUTED, "r"),
    "replicas-wrong": (ROUTED, "w"),
    "router": (ROUTED, "o"),
    "distribution-stock": (STOCK, "d"),
    "router-unknown": (STOCK, "o"),
    "router-crowd": (crowded_service.snapshot(), "o"),
    "rollout": (routed_service.rolling(), "t"),
}

pytestmark = pytest.mark.usefixtures("frozen")


async def opened(app, pilot, run=routed_service.RUN):
    await until(lambda: app.snapshot is not None)
    app.open_service(run)
    await pilot.pause()


async def opened_on(app, pilot, shot):
    """Opens the service anew where another snapshot is to be shown."""
    if app.snapshot is not shot:
        app.pop_screen()
        await brought(app, pilot, shot)
        await opened(app, pilot)


async def test_view(pictures):
    for size in SIZES:
        app = app_on(GivenFeed(live(ROUTED)))
        async with app.run_test(size=size) as pilot:
            await opened(app, pilot)
            for name, (shot, key) in VIEWS.items():
                await opened_on(app, pilot, shot)
                await pilot.press(key)
                await pictures.take(pilot, f"{name}-{sized(size)}")


async def test_baseline_and_overflow(pictures):
    shot = baseline_and_overflow.snapshot("running", "failed", "running", "submitted")
    for size in SIZES:
        app = app_on(GivenFeed(live(shot)))
        async with app.run_test(size=size) as pilot:
            await opened(app, pilot, baseline_and_overflow.RUN)
            for key in ("d", "r"):
                await pilot.press(key)
                await pictures.take(pilot, f"{sized(size)}-{key}")


async def test_ascii(pictures):
    await _views(pictures, (80, 24), Settings(ascii=True), "distribution", "router", "rollout")


async def test_no_color(pictures, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    await _views(pictures, (120, 30), Settings(), "distribution", "router", "replicas-wrong")


async def _views(pictures, size, settings, *names):
    app = app_on(GivenFeed(live(ROUTED)), settings)
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        for name in names:
            shot, key = VIEWS[name]
            await opened_on(app, pilot, shot)
            await pilot.press(key)
            await pictures.take(pilot, name)


def test_a_rebalancing_is_seen_in_the_list() -> None:
    replicas = [projects.replica(0, "cold")]
    service = projects.service(replicas)
    looks = Looks(projects.NOW)
    at = [column.key for column in services.COLUMNS].index("rollout")
    going = projects.placement(rebalancing_left=3)
    said = [
        services.cells(service, looks, services.Known(placement=each))[at] for each in (None, going)
    ]
    assert [getattr(cell, "text", cell) for cell in said] == ["0", "rebalancing"]
    assert words.rebalancing(None, looks.now) == ""
    begun = replace(going, rebalancing_since=looks.now - timedelta(minutes=4))
    assert words.rebalancing(begun, looks.now) == (
        "a rebalancing is under way, 3 replicas to move, for 4m"
    )
