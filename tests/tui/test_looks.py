"""What the screens look like, on a recorded snapshot of the demo."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dstack_api_client.feed.update import ConnectionState
from dstack_fleets_tui.settings.settings import Settings
from tests.builders.apps import GivenFeed, app_on, failing, live
from tests.builders.recorded_demo import load
from tests.pictures import sized
from tests.waiting import until

SIZES = [(80, 24), (120, 30), (200, 50)]
#: Keys that lead to each screen from the one before.
SCREENS = {
    "fleets": (),
    "help": ("question_mark",),
    "fleet": ("escape", "enter"),
    "fleet-configuration": ("escape", "G", "enter", "c"),
    "fleet-yaml": ("y",),
    "services": ("escape", "2"),
    "service": ("enter",),
}


pytestmark = pytest.mark.usefixtures("frozen")


def app_on_demo(settings=None):
    recorded = load()
    app = app_on(GivenFeed(live(recorded)), settings)
    app.now = lambda: recorded.observed_at + timedelta(seconds=1)
    return app


async def pressed(pilot, *keys):
    await until(lambda: pilot.app.snapshot is not None)
    for key in keys:
        await pilot.press(key)
        await pilot.pause()


async def test_screen(pictures):
    for size in SIZES:
        async with app_on_demo().run_test(size=size) as pilot:
            for name, keys in SCREENS.items():
                await pressed(pilot, *keys)
                await pictures.take(pilot, f"{name}-{sized(size)}")


async def test_ascii(pictures):
    async with app_on_demo(Settings(ascii=True)).run_test(size=(80, 24)) as pilot:
        await pressed(pilot, "2")
        await pictures.take(pilot)


async def test_no_color(pictures, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with app_on_demo().run_test(size=(80, 24)) as pilot:
        await pressed(pilot, "2")
        await pictures.take(pilot)


async def test_wrong_token(pictures):
    update = failing(
        ConnectionState.UNAUTHORISED,
        "The server does not accept the token.",
        "Get a new one from whoever runs the server, and put it into ~/.dstack/config.yml.",
    )
    app = app_on(GivenFeed(update))
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(lambda: len(app.screen_stack) > 1)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await pictures.take(pilot, sized(size))
