"""`/` looks for a text in what is no table, and never changes the view."""

from __future__ import annotations

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import replica, snapshot
from tests.screens import SIZE, filled, on_screen, screen_text
from tests.waiting import until, until_equal


async def test_a_search_goes_through_yaml_and_facts_and_stays_in_the_view():
    app = app_on(GivenFeed(live(snapshot(replicas=[replica()]))))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await pilot.press("y", "n")
        await until(lambda: app.said.log[-1].message.startswith("Type / and what"))
        await pilot.press("slash", "n", "o", "d", "enter")
        await until(lambda: "/nod  1 of 1 line" in screen_text(app), what="what is found")
        assert app.screen.view == "yaml"
        await pilot.press("n", "escape")
        await until(lambda: "/nod" not in screen_text(app))
        await until_equal(lambda: app.screen.view, "yaml")

        app.open_replica(replica().key)
        await on_screen(app, ReplicaScreen)
        await pilot.press("slash", "g", "p", "u", "enter", "N")
        await until(lambda: "/gpu " in screen_text(app), what="what is found")
        await until_equal(lambda: app.screen.view, "overview")
        await pilot.press("escape", "l", "n")
        await until(lambda: app.said.log[-1].message.startswith("A list shows only"))


async def test_a_list_that_is_opened_again_keeps_its_filter():
    app = app_on(GivenFeed(live(snapshot(replicas=[replica()]))))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.open_service("s-chat", "replicas")
        await on_screen(app, ServiceScreen)
        app.screen.filter_by("nothing")
        await pilot.press("d")
        await until(lambda: app.screen.view == "distribution", what="another view")
        assert app.screen.filter_text == ""
        app.screen.leave()
        await on_screen(app, FleetsScreen)
        app.open_service("s-chat", "replicas")
        await on_screen(app, ServiceScreen)
        await until_equal(lambda: app.screen.filter_text, "nothing")
        # One that is opened for a row shows it.
        app.open_service("s-chat", "replicas", "s-chat/0/0")
        await until(lambda: len(app.screen_stack) == 3 and app.screen.is_laid_out)
        await until_equal(lambda: app.screen.filter_text, "")
        app.screen.leave()
        await until(lambda: len(app.screen_stack) == 2, what="the one before")
        await pilot.press("escape")
        await until_equal(lambda: app.screen.filter_text, "")
        app.open_service("s-chat", "replicas")
        await until(lambda: len(app.screen_stack) == 3 and app.screen.is_laid_out)
        await until_equal(lambda: app.screen.filter_text, "")
