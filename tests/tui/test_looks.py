"""What the screens look like, on a recorded snapshot of the demo."""

from __future__ import annotations

from datetime import timedelta

import pytest
from textual.pilot import Pilot

from dstack_api_client.feed.feed import ConnectionState
from dstack_fleets_tui.settings import Settings
from tests.builders.apps import GivenFeed, app_on, failing, live
from tests.builders.recorded_demo import load
from tests.waiting import until

SIZES = [(80, 24), (120, 40), (200, 50)]
#: Keys that lead to each screen.
SCREENS = {
    "fleets": (),
    "fleet": ("enter",),
    "fleet-configuration": ("G", "enter", "c"),
    "fleet-yaml": ("G", "enter", "y"),
    "services": ("2",),
    "service": ("2", "enter"),
    "help": ("question_mark",),
}


pytestmark = pytest.mark.usefixtures("frozen")


def app_on_demo(settings=None):
    recorded = load()
    app = app_on(GivenFeed(live(recorded)), settings)
    app.now = lambda: recorded.observed_at + timedelta(seconds=1)
    return app


def going(keys):
    async def go(pilot: Pilot[int]) -> None:
        app = pilot.app
        await until(lambda: app.snapshot is not None)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()

    return go


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_screen(snap_compare, name, size):
    assert snap_compare(app_on_demo(), terminal_size=size, run_before=going(SCREENS[name]))


def test_ascii(snap_compare):
    app = app_on_demo(Settings(ascii=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=going(("2",)))


def test_no_color(snap_compare, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(app_on_demo(), terminal_size=(80, 24), run_before=going(("2",)))


def test_wrong_token(snap_compare):
    update = failing(
        ConnectionState.UNAUTHORISED,
        "The server does not accept the token.",
        "Get a new one from whoever runs the server, and put it into ~/.dstack/config.yml.",
    )
    app = app_on(GivenFeed(update))

    async def trouble(pilot: Pilot[int]) -> None:
        await until(lambda: len(pilot.app.screen_stack) > 1)
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=trouble)
