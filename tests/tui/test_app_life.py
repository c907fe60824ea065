"""How the app begins, what it does while it can't read, and how it ends."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from textual.command import CommandPalette
from textual.widgets import Static

from dstack_api_client.connect.connection import ConfigError
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.capabilities import ROUTER, Capabilities
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.trouble import TroubleScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.screen.status_header import StatusHeader
from tests.builders.apps import CONNECTION, GivenFeed, app_on, failing, live
from tests.builders.snapshots import NOW, snapshot
from tests.screens import SIZE, filled, header, on_screen, screen_text, summary, table
from tests.waiting import until


async def test_the_first_paint_does_not_wait_for_the_server():
    app = app_on(GivenFeed())
    async with app.run_test(size=SIZE):
        assert isinstance(app.screen, FleetsScreen)
        assert table(app).empty_text == "Reading the fleets of main."
        assert "connecting" in header(app)


async def test_a_server_that_goes_away_keeps_the_data_and_comes_back():
    known = snapshot()
    feed = GivenFeed(live(known), failing(ConnectionState.STALE, kept=known))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await until(lambda: "stale since" in header(app))
        assert table(app).row_count == 1
        assert summary(app) == "It is away. Wait."
        feed.waiting.append(live(known, known))
        await pilot.press("ctrl+r")
        await until(lambda: "live" in header(app))
        await until(lambda: summary(app) == "", what="nothing but the details")


async def test_a_server_never_reached_says_why_in_the_empty_table():
    app = app_on(GivenFeed(failing(ConnectionState.CONNECTING, "Nobody answers.", "Start it.")))
    async with app.run_test(size=SIZE):
        await until(lambda: "unreachable" in header(app))
        assert table(app).empty_text == "Nobody answers. Start it."


@pytest.mark.parametrize("state", [ConnectionState.UNAUTHORISED, ConnectionState.NO_PROJECT])
async def test_trouble_is_a_screen_that_says_what_to_do_and_goes_when_mended(state):
    feed = GivenFeed(failing(state, "The token [red] is wrong.", "Get another."))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, TroubleScreen)
        header_behind = app.screen_stack[0].query_one(StatusHeader)
        await until(lambda: state.value in header_behind.text)
        assert str(app.screen.query_one("#what", Static).content) == "The token [red] is wrong."
        assert str(app.screen.query_one("#todo", Static).content) == "Get another."
        feed.waiting.append(live(snapshot()))
        await pilot.press("ctrl+r")
        await on_screen(app, FleetsScreen)
        await filled(app)


async def test_a_broken_configuration_opens_the_app_and_can_be_mended():
    found = [ConfigError("There is no configuration.", "Run dstack login.")]
    feed = GivenFeed(live(snapshot()))
    app = FleetsApp(
        found[0],
        Settings(),
        again=lambda: CONNECTION,
        now=lambda: NOW,
        open_source=app_on(feed)._open_source,
        terminal_is_gone=lambda: False,
    )
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, TroubleScreen)
        assert "no configuration" in str(app.screen.query_one("#what", Static).content)
        await pilot.press("ctrl+r")
        await on_screen(app, FleetsScreen)
        await filled(app)


async def test_pause_holds_reading_and_says_so():
    feed = GivenFeed(live(snapshot()))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("p")
        await until(lambda: "paused" in header(app))
        await pilot.press("p")
        await until(lambda: "live" in header(app))


async def test_leaving_while_a_screen_comes_up_leaves_with_zero():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE):
        app.do_services("")
        app.do_quit("")
        await until(lambda: not app.is_running)
    assert app.return_value == 0


async def test_q_leaves_with_zero():
    app = app_on(GivenFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("q")
        await until(lambda: not app.is_running)
    assert app.return_value == 0


async def test_it_leaves_when_its_terminal_goes_away(monkeypatch):
    monkeypatch.setattr("dstack_fleets_tui.app.app.LOOK_EVERY", 0.02)
    app = app_on(GivenFeed())
    app._terminal_is_gone = lambda: True
    async with app.run_test(size=SIZE):
        await until(lambda: not app.is_running)
    assert app.return_value == 1


async def test_trouble_ends_although_the_palette_stands_before_it():
    feed = GivenFeed(failing(ConnectionState.UNAUTHORISED))
    app = app_on(feed, Settings(interval=0.5))
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, TroubleScreen)
        await pilot.press("ctrl+p")
        await until(lambda: CommandPalette.is_open(app))
        feed.waiting.append(live(snapshot()))
        await on_screen(app, FleetsScreen)
        await filled(app)


async def test_another_server_does_not_inherit_what_was_read():
    connections = [CONNECTION, replace(CONNECTION, project="other")]
    feed = GivenFeed(live(snapshot()), failing(ConnectionState.UNAUTHORISED, kept=snapshot()))
    app = app_on(feed)
    app._again = lambda: connections[1]
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, TroubleScreen)
        assert app.snapshot is not None
        await pilot.press("ctrl+r")
        await on_screen(app, FleetsScreen)
        await until(lambda: "other @" in header(app))
        assert app.snapshot is None
        # A word from the connection before comes late.
        app.post_message(FleetsApp.Read(live(snapshot()), connections[0]))
        await pilot.pause()
        assert app.snapshot is None


async def test_ctrl_c_copies_what_is_selected_and_asks_over_a_box_too():
    app = app_on(GivenFeed())
    copied = []
    app.copy_to_clipboard = copied.append
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", "x", "shift+home", "ctrl+c")
        await until(lambda: copied == ["x"], what="the selected text")
        await pilot.press("escape", "question_mark")
        await on_screen(app, HelpScreen)
        await pilot.press("ctrl+c")
        await on_screen(app, AskScreen)


async def test_ctrl_c_asks_and_q_does_not():
    app = app_on(GivenFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+c")
        await on_screen(app, AskScreen)
        await pilot.press("ctrl+c")
        await until(lambda: app.screen.takes_keys, what="a question that takes keys")
        await pilot.press("escape")
        await on_screen(app, FleetsScreen)
        await pilot.press("ctrl+c")
        await on_screen(app, AskScreen)
        await until(lambda: app.screen.takes_keys, what="a question that takes keys")
        await pilot.press("right", "enter")
        await until(lambda: not app.is_running)
    assert app.return_value == 0


async def test_why_there_is_no_data_is_read_in_full_at_80_columns():
    message = "No connection to http://127.0.0.1:3000: All connection attempts failed."
    hint = "Check that the server runs and that this machine reaches it."
    known = snapshot()
    feed = GivenFeed(failing(ConnectionState.CONNECTING, message, hint))
    app = app_on(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "reaches it." in screen_text(app))
        feed.waiting += [
            live(known),
            failing(ConnectionState.STALE, message, hint, kept=known),
        ]
        await pilot.press("ctrl+r")
        await until(lambda: "stale" in header(app))
        await until(lambda: "reaches it." in screen_text(app))


@pytest.mark.parametrize(
    ("ascii_only", "expected"),
    [
        (False, "0.22.5 · placement 1.0 · router list through the server"),
        (True, "0.22.5 - placement 1.0 - router list through the server"),
    ],
)
async def test_the_header_tells_what_the_server_can_do(ascii_only, expected):
    able = Capabilities("0.22.5", True, "1.0", frozenset({ROUTER}))
    shot = replace(snapshot(), capabilities=able)
    app = app_on(GivenFeed(live(shot)), Settings(ascii=ascii_only))
    async with app.run_test(size=SIZE):
        await until(lambda: expected in header(app))


async def test_the_header_says_nothing_more_of_a_stock_server():
    app = app_on(GivenFeed(live(replace(snapshot(), capabilities=Capabilities("0.22.5")))))
    async with app.run_test(size=SIZE):
        await until(lambda: re.search(r"0\.22\.5 +live", header(app)))


async def test_a_poll_that_comes_in_while_it_ends_is_passed_over():
    known = snapshot()
    app = app_on(GivenFeed(live(known)))
    async with app.run_test():
        await filled(app)
    assert not app.screen_stack
    await app.on_reading_app_read(FleetsApp.Read(live(known, known), app.session.connection))
