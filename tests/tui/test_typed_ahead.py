"""Keys that come all at once, as a slow line or a paste hands them over: each acts in its turn."""

from __future__ import annotations

from textual.events import Key

from dstack_fleets_tui.actions.places import FLEETS, SERVICES
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_widgets.inputs.command_line import CommandLine, FilterLine
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, service, snapshot
from tests.screens import SIZE, filled, on_screen
from tests.waiting import until

NAMES = {"⏎": "enter", "⎋": "escape", "↓": "down", "/": "slash", ":": "colon", "?": "question_mark"}

#: What is typed in the list of fleets, and what is in front then: the screen, and its filter or
#: what it is of.
CASES = {
    "/beta⏎3": ("ProblemsScreen", ""),
    "/beta⏎⏎": ("FleetScreen", "f-beta"),
    "/beta⏎s": ("FleetsScreen", "beta"),
    "/x⎋2": ("ServicesScreen", ""),
    "/x⎋↓⏎i": ("FleetScreen", "f-beta"),
    ":services⏎↓⏎r": ("ServiceScreen", "s-echo"),
    ":open beta⏎⎋2": ("ServicesScreen", ""),
    "2/echo⏎⏎t": ("ServiceScreen", "s-echo"),
    "?⎋2": ("ServicesScreen", ""),
    ":messages⏎⎋3": ("ProblemsScreen", ""),
    "⏎⎋↓⏎": ("FleetScreen", "f-beta"),
}


def type_at_once(app: FleetsApp, text: str) -> None:
    for each in text:
        character = None if each in "⏎⎋↓" else each
        app.post_message(Key(NAMES.get(each, each), character))


def at(app: FleetsApp) -> tuple[str, str]:
    """What is in front; a line that is open comes first, with what is in it."""
    screen = app.screen
    if not isinstance(screen, LiveScreen):
        return type(screen).__name__, ""
    for line in (screen.query_one(CommandLine), screen.query_one(FilterLine)):
        if line.is_open:
            return type(line).__name__, line.text
    return type(screen).__name__, getattr(screen, "key", screen.filter_text)


async def go_back(app: FleetsApp) -> None:
    """Shows all fleets, with the cursor on the first."""
    for mode in (SERVICES, FLEETS):
        app.switch_mode(mode)
        await on_screen(app, LiveScreen)
        while len(app.screen_stack) > 1:
            await app.pop_screen()
        app.screen.filter_by("")
        app.screen.table.action_first()


async def test_each_key_goes_to_what_is_in_front_by_then():
    services = [service("chat"), service("echo")]
    app = app_on(GivenFeed(live(snapshot([fleet("alpha"), fleet("beta")], services=services))))
    app.lookout.somebody_is_there = True
    async with app.run_test(size=SIZE):
        await filled(app)
        for typed, reached in CASES.items():
            type_at_once(app, typed)
            await until(lambda reached=reached: at(app) == reached, what=f"{typed}: {reached}")
            await go_back(app)


async def test_a_key_whose_turn_comes_when_the_app_has_ended_goes_nowhere():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE):
        await filled(app)
    assert app.front is None
    for key in ("down", "ctrl+c"):
        await app._hand_on(Key(key, None))
