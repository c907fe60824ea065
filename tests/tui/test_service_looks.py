"""What the views of a service look like."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from dstack_fleets_tui.settings import Settings
from dstack_fleets_tui.tables import services
from dstack_fleets_tui.tables.looks import Looks
from tests.builders import baseline_and_overflow, crowded_service, projects, routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.waiting import until

SIZES = [(80, 24), (120, 30), (160, 40)]
STOCK = routed_service.stock(routed_service.snapshot())
#: A snapshot and the key of the view.
VIEWS = {
    "distribution": (routed_service.snapshot(), "d"),
    "distribution-stock": (STOCK, "d"),
    "replicas": (routed_service.snapshot(), "r"),
    "replicas-wrong": (routed_service.snapshot(), "w"),
    "router": (routed_service.snapshot(), "o"),
    "router-unknown": (STOCK, "o"),
    "router-crowd": (crowded_service.snapshot(), "o"),
    "rollout": (routed_service.rolling(), "t"),
}

pytestmark = pytest.mark.usefixtures("frozen")


def going(key: str, run: str = routed_service.RUN):
    async def go(pilot: Pilot[int]) -> None:
        app = pilot.app
        await until(lambda: app.snapshot is not None)
        app.open_service(run)
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()

    return go


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", VIEWS)
def test_view(snap_compare, name, size):
    shot, key = VIEWS[name]
    app = app_on(GivenFeed(live(shot)))
    assert snap_compare(app, terminal_size=size, run_before=going(key))


@pytest.mark.parametrize("key", ["d", "r"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_baseline_and_overflow(snap_compare, size, key):
    shot = baseline_and_overflow.snapshot("running", "failed", "running", "submitted")
    app = app_on(GivenFeed(live(shot)))
    going_there = going(key, baseline_and_overflow.RUN)
    assert snap_compare(app, terminal_size=size, run_before=going_there)


@pytest.mark.parametrize("name", ["distribution", "router", "rollout"])
def test_ascii(snap_compare, name):
    shot, key = VIEWS[name]
    app = app_on(GivenFeed(live(shot)), Settings(ascii=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=going(key))


@pytest.mark.parametrize("name", ["distribution", "router", "replicas-wrong"])
def test_no_color(snap_compare, monkeypatch, name):
    monkeypatch.setenv("NO_COLOR", "1")
    shot, key = VIEWS[name]
    app = app_on(GivenFeed(live(shot)))
    assert snap_compare(app, terminal_size=(120, 30), run_before=going(key))


def test_a_rebalancing_is_seen_in_the_list() -> None:
    replicas = [projects.replica(0, "cold")]
    service = projects.service(replicas)
    looks = Looks(projects.NOW)
    at = [column.key for column in services.COLUMNS].index("rollout")
    going = projects.placement(rebalancing_left=3)
    said = [services.cells(service, looks, services.Known(each))[at] for each in (None, going)]
    assert [getattr(cell, "text", cell) for cell in said] == ["0", "rebalancing"]
