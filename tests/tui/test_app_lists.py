"""The lists of fleets and services, and one of each opened."""

from __future__ import annotations

from textual.widgets import ContentSwitcher

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_widgets.panels.facts import YamlView
from dstack_widgets.panels.flow import Flow
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, instance, service, snapshot
from tests.screens import SIZE, filled, header, on_screen, summary, table, texts
from tests.waiting import until


async def test_fleets_show_what_the_snapshot_says():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE):
        await filled(app)
        shown = texts(app, "f-gpu")
        assert shown["fleet"] == "gpu"
        assert shown["nodes"] == "1..4"
        assert shown["gpu"] == "H100 8/8"
        assert "1 busy" in shown["instances"]
        assert shown["price"] == "98.32"
        assert shown["age"] == "12d"
        assert "live 0 s" in header(app)
        assert "0.22.5" in header(app)


async def test_enter_opens_a_fleet_and_escape_goes_back():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await filled(app)
        shown = texts(app, "i-gpu-0")
        assert shown["runs"] == "chat 0"
        assert shown["state"].endswith("busy")
        await pilot.press("escape")
        await on_screen(app, FleetsScreen)
        assert table(app).cursor_key == "f-gpu"


async def test_the_views_of_a_fleet():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        switcher = app.screen.query_one(ContentSwitcher)
        for expected in ("configuration", "events_here", "yaml", "instances"):
            await pilot.press("tab")
            await until(lambda expected=expected: switcher.current == expected, what=expected)
        await pilot.press("y")
        await until(lambda: switcher.current == "yaml")
        assert "type: fleet" in app.screen.query_one(YamlView).text


async def test_a_service_shows_its_replicas_and_hides_secrets():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await on_screen(app, ServicesScreen)
        await filled(app)
        assert texts(app, "s-chat")["fleets"].endswith("gpu 1")
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        await pilot.press("r")
        await until(lambda: "0.0" in table(app).keys)
        shown = texts(app, "0.0")
        assert shown["fleet"] == "gpu"
        assert shown["probes"].endswith("ready")
        await pilot.press("y")
        await until(lambda: "type: service" in app.screen.query_one(YamlView).text)
        assert "hush" not in app.screen.query_one(YamlView).text


async def test_the_feed_is_told_what_is_on_screen():
    feed = GivenFeed(live(snapshot()))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await until(lambda: feed.focused.get("fleets") == ["f-gpu"])
        await pilot.press("enter")
        await until(lambda: feed.focused.get("opened_fleet") == "f-gpu")
        await pilot.press("2")
        await until(lambda: feed.focused.get("services") == ["s-chat"])
        await pilot.press("enter")
        await until(lambda: feed.focused.get("opened_service") == "s-chat")


async def test_the_cursor_stays_with_its_row_through_a_refresh():
    old = snapshot(fleets=[fleet("b"), fleet("c")])
    feed = GivenFeed(live(old))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("down")
        await until(lambda: table(app).cursor_key == "f-c")
        new = snapshot(fleets=[fleet("a"), fleet("b"), fleet("c", price=1.0)])
        feed.waiting.append(live(new, old))
        await pilot.press("ctrl+r")
        await until(lambda: table(app).row_count == 3)
        assert table(app).cursor_key == "f-c"
        assert texts(app, "f-c")["price"] == "1.00"


async def test_services_that_ended_well_are_hidden_until_asked_for():
    services = [
        service("running"),
        service("over", status="terminated"),
        service("broken", status="failed"),
    ]
    app = app_on(GivenFeed(live(snapshot(services=services))))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await on_screen(app, ServicesScreen)
        await filled(app)
        assert set(table(app).keys) == {"s-running", "s-broken"}
        await pilot.press("a")
        await until(lambda: len(table(app).keys) == 3)


async def test_a_thing_that_goes_while_it_is_open_says_so():
    old = snapshot()
    feed = GivenFeed(live(old))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        feed.waiting.append(live(snapshot(fleets=[]), old))
        await pilot.press("ctrl+r")
        await until(lambda: "gone" in table(app).empty_text)
        assert table(app).row_count == 0
        assert app.screen.query_one(Flow).text == "gpu  gone"


async def test_services_that_are_all_over_are_mentioned():
    app = app_on(GivenFeed(live(snapshot(services=[service("over", status="terminated")]))))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await on_screen(app, ServicesScreen)
        await until(lambda: "Press a to see" in table(app).empty_text)


async def test_what_is_said_of_an_instance_is_read_in_full():
    said = "No capacity. " * 4 + "The end."
    gone = instance(status="terminating", termination_message=said, jobs=())
    shot = snapshot(instances=[gone], fleets=[fleet("gpu", instance_ids=(gone.id,))])
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await until(lambda: said in summary(app))


async def test_fleets_without_a_limit_sort_as_the_largest():
    fleets = [fleet("a", nodes_max=None), fleet("b", nodes_max=9), fleet("c", nodes_max=10)]
    app = app_on(GivenFeed(live(snapshot(fleets=fleets))))
    async with app.run_test(size=SIZE):
        await filled(app)
        table(app).sort_by("nodes")
        assert list(table(app).keys) == ["f-b", "f-c", "f-a"]
