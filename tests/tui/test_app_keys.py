"""Keys and commands: filter, sort, tabs, help."""

from __future__ import annotations

from textual.events import Key

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_widgets.inputs.command_line import CommandLine
from dstack_widgets.panels.facts import Fact, Facts
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, snapshot
from tests.screens import SIZE, filled, header, on_screen, screen_text, table
from tests.waiting import until, until_equal


async def test_each_tab_keeps_its_place():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await pilot.press("2")
        await on_screen(app, ServicesScreen)
        await pilot.press("1")
        await on_screen(app, FleetScreen)
        await pilot.press("1")
        await on_screen(app, FleetsScreen)


async def test_filter_and_escape():
    app = app_on(GivenFeed(live(snapshot(fleets=[fleet("alpha"), fleet("beta")]))))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("slash", *"bet", "enter")
        await until(lambda: list(table(app).keys) == ["f-beta"])
        await until(lambda: app.focused is table(app))
        assert "/bet  1 of 2" in screen_text(app)
        await pilot.press("escape")
        await until(lambda: len(table(app).keys) == 2)
        await until(lambda: "/bet" not in screen_text(app))


async def test_sort_by_key_and_by_command():
    fleets = [fleet("a", price=1.0), fleet("b", price=300.0), fleet("c", price=20.0)]
    app = app_on(GivenFeed(live(snapshot(fleets=fleets))))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("colon", *"sort price", "enter")
        await until(lambda: list(table(app).keys) == ["f-a", "f-c", "f-b"])
        await pilot.press("S")
        await until(lambda: list(table(app).keys) == ["f-b", "f-c", "f-a"])


async def test_a_wrong_command_is_a_notice():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("colon", *"[nope", "enter")
        await until(lambda: [n for n in app.said.log if "[nope" in n.message])


async def test_help_lists_the_keys_of_this_screen():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("question_mark")
        await on_screen(app, HelpScreen)
        facts = [fact for fact in app.screen.query_one(Facts).facts if isinstance(fact, Fact)]
        shown = " ".join(str(fact.value) for fact in facts)
        assert "Show or hide services" not in shown
        assert "Refresh everything now." in shown
        await pilot.press("escape")
        await on_screen(app, FleetsScreen)


async def test_keys_typed_ahead_count_in_their_order():
    names = ("pqr", "beta")
    app = app_on(GivenFeed(live(snapshot(fleets=[fleet(name) for name in names]))))
    async with app.run_test(size=SIZE):
        await filled(app)
        # All at once, as a slow line hands them over.
        for key in ("slash", "p", "q", "enter"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(lambda: list(table(app).keys) == ["f-pqr"], what="the filter")
        assert app.is_running
        assert "paused" not in header(app)


async def test_completion_waits_for_what_was_typed_before():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        for key in ("colon", "s", "o", "tab"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        line = app.screen.query_one(CommandLine)
        await until(lambda: line.text == "sort", what="the completed command")
        assert app.screen.view == "instances"


async def test_sorting_brings_the_table_to_the_front():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        for key in ("s", "S"):
            app.screen.show_view("yaml")
            await pilot.press(key)
            await until_equal(lambda: app.screen.view, "instances")


async def test_sorting_goes_through_the_columns_on_screen_and_tells_of_others():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=(72, 20)) as pilot:
        await filled(app)
        seen = []
        while True:
            before = table(app).sort_column
            await pilot.press("s")
            await until(lambda before=before: table(app).sort_column != before, what="another sort")
            if table(app).sort_column is None:
                break
            seen.append(table(app).sort_column)
        assert set(table(app).visible_columns) <= set(seen) < {c.key for c in table(app).columns}
        assert len(seen) == len(set(seen))
        await pilot.press("colon", *"sort age", "enter")
        await until(lambda: "sorted by AGE" in screen_text(app))
