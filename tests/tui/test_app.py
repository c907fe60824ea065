"""Behaviour of the app on updates that a test hands it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from textual._compositor import CompositorUpdate
from textual.command import CommandPalette
from textual.events import Key
from textual.widgets import ContentSwitcher, Static

from dstack_api_client.connection import ConfigError
from dstack_api_client.feed import ConnectionState
from dstack_api_client.snapshot import ReplicaKey
from dstack_fleets_tui.app import FleetsApp
from dstack_fleets_tui.screens.detail import DetailScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.lists import FleetsScreen, ServicesScreen
from dstack_fleets_tui.screens.service import ServiceScreen
from dstack_fleets_tui.screens.trouble import TroubleScreen
from dstack_fleets_tui.settings import Settings
from dstack_widgets.cells import plain_text
from dstack_widgets.command_line import CommandLine
from dstack_widgets.facts import Fact, Facts, YamlView
from dstack_widgets.flow import Flow
from dstack_widgets.live_table import LiveTable
from dstack_widgets.status_header import StatusHeader
from tests.tui.factory import (
    CONNECTION,
    NOW,
    GivenFeed,
    app_on,
    failing,
    fleet,
    instance,
    live,
    replica,
    service,
    snapshot,
)
from tests.waiting import until

SIZE = (120, 30)


def table(app):
    screen = app.screen
    return screen.table if isinstance(screen, DetailScreen) else screen.query_one(LiveTable)


def texts(app, key):
    live_table = table(app)
    cells = live_table.get_cells(key)
    return {c.key: plain_text(cell) for c, cell in zip(live_table.columns, cells, strict=True)}


def header(app):
    return app.screen.query_one(StatusHeader).text


def summary(app):
    return str(app.screen.query_one("#summary", Static).content)


async def on_screen(app, kind):
    await until(lambda: isinstance(app.screen, kind) and app.screen.is_mounted, what=str(kind))


async def filled(app):
    await until(lambda: app.snapshot is not None and table(app).row_count, what="rows")


async def test_the_first_paint_does_not_wait_for_the_server():
    app = app_on(GivenFeed())
    async with app.run_test(size=SIZE):
        assert isinstance(app.screen, FleetsScreen)
        assert table(app).empty_text == "Reading the fleets of main."
        assert "connecting" in header(app)


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
        for expected in ("configuration", "yaml", "instances"):
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
        await filled(app)
        shown = texts(app, "0.0")
        assert shown["fleet"] == "gpu"
        assert shown["probes"].endswith("ready")
        await pilot.press("y")
        await until(lambda: "type: service" in app.screen.query_one(YamlView).text)
        assert "hush" not in app.screen.query_one(YamlView).text


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
        await until(lambda: summary(app).startswith("gpu  "))


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
        open_feed=app_on(feed)._open_feed,
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
        await until(lambda: [n for n in app._notifications if "[nope" in n.message])


async def test_help_lists_the_keys_of_this_screen():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("question_mark")
        await on_screen(app, HelpScreen)
        facts = [fact for fact in app.screen.query_one(Facts).facts if isinstance(fact, Fact)]
        shown = " ".join(str(fact.value) for fact in facts)
        assert "Show or hide services" not in shown
        assert "Read everything again now." in shown
        await pilot.press("escape")
        await on_screen(app, FleetsScreen)


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
    monkeypatch.setattr("dstack_fleets_tui.app.LOOK_EVERY", 0.02)
    app = app_on(GivenFeed())
    app._terminal_is_gone = lambda: True
    async with app.run_test(size=SIZE):
        await until(lambda: not app.is_running)
    assert app.return_value == 1


HOSTILE = ["[/x]", "[red]name", "x" * 300, "宽" * 30, "\u05d0\u05d1\u05d2 name", "a\x1b[31mb"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_do_no_harm(name):
    key = ReplicaKey("s-chat", 0, 0)
    shot = snapshot(
        fleets=[fleet("gpu", name=name, status_message=name)],
        instances=[instance(jobs=(key,), hostname=name, region=name)],
        services=[service("chat", name=name, url=name, error=name, model=name)],
        replicas=[replica(run_name=name, fleet_name=name, group=name, error=name)],
    )
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await pilot.press("c", "y", "2")
        await on_screen(app, ServicesScreen)
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        await filled(app)
        assert "\x1b" not in screen_text(app)


async def test_ages_follow_the_clock():
    moment = [NOW]
    app = app_on(GivenFeed(live(snapshot())))
    app.now = lambda: moment[0]
    async with app.run_test(size=SIZE):
        await filled(app)
        moment[0] = NOW + timedelta(seconds=7)
        await until(lambda: "live 7 s" in header(app))


def screen_text(app):
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_ascii_draws_nothing_else():
    many = [service(f"chat-{number:03}", model="x" * 99) for number in range(100)]
    instances = [instance(f"gpu-{number}", num=number) for number in range(100)]
    big = fleet("gpu", instance_ids=tuple(i.id for i in instances), states={"busy": 100})
    update = live(snapshot(fleets=[big], instances=instances, services=many))
    app = app_on(GivenFeed(update), Settings(ascii=True))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await filled(app)
        for keys in (
            ("enter",),
            ("pagedown",),
            ("c",),
            ("y",),
            ("2",),
            ("down", "down", "enter"),
            ("colon", *"nope", "enter"),
            ("question_mark",),
        ):
            await pilot.press(*keys)
            await pilot.pause()
            lines = screen_text(app).split("\n")
            assert not [line for line in lines if not line.isascii()]


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


async def test_sorting_goes_through_the_columns_on_screen_and_tells_of_others():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=(60, 20)) as pilot:
        await filled(app)
        seen = []
        while True:
            await pilot.press("s")
            if table(app).sort_column is None:
                break
            seen.append(table(app).sort_column)
        assert set(table(app).visible_columns) <= set(seen) < {c.key for c in table(app).columns}
        assert len(seen) == len(set(seen))
        await pilot.press("colon", *"sort age", "enter")
        await until(lambda: "sorted by AGE" in screen_text(app))


async def test_filter_and_sort_bring_the_table_to_the_front():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        for key in ("s", "S", "slash"):
            app.screen.show_view("yaml")
            await pilot.press(key)
            assert app.screen.view == "instances", key


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


async def test_ctrl_c_leaves():
    app = app_on(GivenFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+c")
        await until(lambda: not app.is_running)
    assert app.return_value == 0


async def test_a_narrow_terminal_still_shows_which_instance_is_unhealthy():
    key = ReplicaKey("s-chat", 0, 0)
    ill = instance(health="failure", hostname="host-" * 4, jobs=(key,))
    shot = snapshot(
        instances=[ill],
        fleets=[fleet("gpu", unhealthy=1, instance_ids=(ill.id,))],
        replicas=[replica(run_name="a-long-name-of-a-service", group="prefill")],
    )
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await until(lambda: "! failure" in screen_text(app))
        assert "1 busy (1 unhealthy)" in screen_text(app)


async def test_fleets_without_a_limit_sort_as_the_largest():
    fleets = [fleet("a", nodes_max=None), fleet("b", nodes_max=9), fleet("c", nodes_max=10)]
    app = app_on(GivenFeed(live(snapshot(fleets=fleets))))
    async with app.run_test(size=SIZE):
        await filled(app)
        table(app).sort_by("nodes")
        assert list(table(app).keys) == ["f-b", "f-c", "f-a"]


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


@pytest.mark.parametrize("keys", [(), ("enter",), ("2", "enter")], ids=["list", "fleet", "service"])
async def test_a_second_that_goes_by_paints_a_few_cells(keys):
    moment = [NOW]
    known = snapshot()
    feed = GivenFeed(live(known))
    app = app_on(feed)
    app.now = lambda: moment[0]
    async with app.run_test(size=(160, 50)) as pilot:
        await filled(app)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await pilot.pause()
        painted = []
        paint = app._display

        def count(screen, renderable):
            if isinstance(renderable, CompositorUpdate):
                painted.append(len(renderable.render_segments(app.console)))
            paint(screen, renderable)

        app._display = count
        for second in range(1, 4):
            moment[0] = NOW + timedelta(seconds=second)
            app.post_message(FleetsApp.Read(live(known, known), app._connection))
            await until(lambda second=second: f"live {second} s" in header(app))
            for screen in app.screen_stack:
                screen.show_state()
            await pilot.pause()
            if second == 1:
                painted.clear()  # what was still to be painted of the screen as a whole
        assert 0 < sum(painted) < 200


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
