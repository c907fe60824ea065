"""A machine whose clock is wrong: ages are by the server's, and it is said once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.screen.status_header import StatusHeader
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.snapshots import NOW, fleet, snapshot
from tests.screens import SIZE, filled, on_screen, texts
from tests.waiting import until

AHEAD = 25 * 60


async def test_ages_are_by_the_clock_of_the_server_and_it_is_said_once() -> None:
    shot = replace(
        snapshot(fleets=[fleet("gpu", created_at=NOW - timedelta(seconds=210))]), clock_ahead=-AHEAD
    )
    feed = GivenFeed(live(shot), live(replace(shot, clock_ahead=-AHEAD - 3)))
    app = FleetsApp(
        CONNECTION,
        Settings(),
        now=lambda: NOW + timedelta(seconds=AHEAD),
        open_source=app_on(feed)._open_source,
        terminal_is_gone=lambda: False,
    )
    async with app.run_test(size=SIZE, notifications=True):
        await filled(app)
        await until(lambda: not feed.waiting)
        await until(lambda: app.snapshot is not None and app.snapshot.clock_ahead == -AHEAD - 3)
        said = [each.message for each in app.said.log if "clock" in each.message]
        assert len(said) == 1
        assert said[0].startswith("This machine's clock is 25 min ahead of the server's.")
        assert app.server_now() == NOW - timedelta(seconds=3)
        await until(lambda: texts(app, "f-gpu")["age"] == "3m")
        told = app.header_state()
        assert told.now == NOW - timedelta(seconds=3)
        assert told.observed_at == NOW - timedelta(seconds=AHEAD + 3)


async def test_the_header_goes_on_behind_a_box() -> None:
    seconds = 0.0
    app = FleetsApp(
        CONNECTION,
        Settings(),
        now=lambda: NOW + timedelta(seconds=seconds),
        open_source=app_on(GivenFeed(live(snapshot(fleets=[fleet("gpu")]))))._open_source,
        terminal_is_gone=lambda: False,
    )
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        behind = app.screen
        await pilot.press("question_mark")
        await on_screen(app, HelpScreen)
        before = behind.query_one(StatusHeader).text
        seconds = 3600.0
        await until(lambda: behind.query_one(StatusHeader).text != before, what="a later time")
        assert "late since" in behind.query_one(StatusHeader).text
