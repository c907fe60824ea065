"""What events look like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_fleets_tui.settings.settings import Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient, event
from tests.builders.snapshots import snapshot
from tests.screens import filled, table
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

SIZES = [(80, 24), (120, 30), (200, 50)]
TOLD = [
    ("Run submitted. Status: SUBMITTED", ["run:chat-70b"], "ada"),
    ("Job created on run submission. Status: SUBMITTED", ["job:chat-70b-0-0"], None),
    ("Job assigned to instance. Instance blocks: 1/1 busy",
     ["job:chat-70b-0-0", "instance:gpu-reserved-2"], None),
    ("Instance status changed IDLE -> BUSY", ["instance:gpu-reserved-2"], None),
    ("Job status changed PROVISIONING -> PULLING", ["job:chat-70b-0-0"], None),
    ("Job status changed PULLING -> RUNNING", ["job:chat-70b-0-0"], None),
    ("Service replica ready to receive requests", ["job:chat-70b-0-0"], None),
    ("Instance became unreachable", ["instance:gpu-reserved-2"], None),
    (("Job status changed RUNNING -> TERMINATING. Termination reason:"
     " INSTANCE_UNREACHABLE (the instance could not be reached for 20 minutes)"),
     ["job:chat-70b-0-0", "instance:gpu-reserved-2"], None),
    ("Job status changed TERMINATING -> FAILED", ["job:chat-70b-0-0"], None),
    ("Run updated. Deployment: 7.", ["run:chat-70b"], "grace"),
]  # fmt: skip


def app_with(settings=None):
    client = GivenClient()
    client.recorded = [
        event(number, message, about=about, actor=actor, seconds=number * 40 - 86_500)
        for number, (message, about, actor) in enumerate(TOLD)
    ]
    now = START + timedelta(minutes=8)
    app = app_on(GivenFeed(live(replace(snapshot(), observed_at=now))), settings, client)
    app.now = lambda: now
    return app


async def _project(pilot):
    await filled(pilot.app)
    await pilot.press("4")
    await until(lambda: table(pilot.app).row_count == len(TOLD))
    await pilot.press("down", "down")
    await pilot.pause()


async def _fleet(pilot):
    await filled(pilot.app)
    await pilot.press("enter", "v")
    await until(lambda: pilot.app.screen.view == "events_here")
    await until(lambda: table(pilot.app).row_count == len(TOLD))
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_events(snap_compare, size):
    assert snap_compare(app_with(), terminal_size=size, run_before=_project)


def test_events_of_a_fleet(snap_compare):
    assert snap_compare(app_with(), terminal_size=(120, 30), run_before=_fleet)


def test_events_in_ascii(snap_compare):
    app = app_with(Settings(ascii=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=_project)


def test_events_without_colour(snap_compare, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(app_with(), terminal_size=(120, 30), run_before=_project)
