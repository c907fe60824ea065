"""What reaches the terminal: nothing that does harm, only signs it has, few bytes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from textual._compositor import CompositorUpdate

from dstack_api_client.model.replica import ReplicaKey
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.text import TextScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.screen.status_header import StatusHeader
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import NOW, fleet, instance, replica, service, snapshot
from tests.builders.terminal_driver import Terminal, drawn_whole
from tests.painting import all_painted
from tests.screens import SIZE, brought, filled, header, on_screen, screen_text
from tests.waiting import until

HOSTILE = ["[/x]", "[red]name", "x" * 300, "宽" * 30, "\u05d0\u05d1\u05d2 name", "a\x1b[31mb"]


def hostile(name):
    """A project that says something that does harm wherever it may say something."""
    key = ReplicaKey("s-chat", 0, 0)
    return snapshot(
        fleets=[fleet("gpu", name=name, status_message=name)],
        instances=[instance(jobs=(key,), hostname=name, region=name)],
        services=[service("chat", name=name, url=name, error=name, model=name)],
        replicas=[replica(run_name=name, fleet_name=name, group=name, error=name)],
    )


async def test_hostile_names_do_no_harm():
    app = app_on(GivenFeed(live(hostile(HOSTILE[0]))))
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(app)
        for name in HOSTILE:
            await brought(app, pilot, hostile(name))
            await pilot.press("enter")
            await on_screen(app, FleetScreen)
            await pilot.press("c", "y", "2")
            await on_screen(app, ServicesScreen)
            await pilot.press("enter")
            await on_screen(app, ServiceScreen)
            await filled(app)
            assert "\x1b" not in screen_text(app), name
            await pilot.press("escape", "1", "escape")
            await on_screen(app, FleetsScreen)


async def test_ages_follow_the_clock():
    moment = [NOW]
    app = app_on(GivenFeed(live(snapshot())))
    app.now = lambda: moment[0]
    async with app.run_test(size=SIZE):
        await filled(app)
        moment[0] = NOW + timedelta(seconds=5)
        await until(lambda: "live 5 s" in header(app))


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
            await all_painted(app, pilot)
            lines = screen_text(app).split("\n")
            assert not [line for line in lines if not line.isascii()]
        await app.push_screen(TextScreen("chat", "main", "replicas: 2\n", ascii_only=True))
        await all_painted(app, pilot)
        assert "Ctrl+S save - Esc cancel" in screen_text(app)
        assert screen_text(app).isascii()


@pytest.mark.parametrize(
    ("keys", "most"),
    [((), 200), (("enter",), 200), (("2", "enter"), 200), (("question_mark",), 1000)],
    ids=["list", "fleet", "service", "box"],
)
async def test_a_second_that_goes_by_paints_a_few_cells(keys, most):
    """Behind a box, it is the line of the header."""
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
            app.post_message(FleetsApp.Read(live(known, known), app.session.connection))
            shown = [each for each in app.screen_stack if isinstance(each, LiveScreen)]
            front = shown[-1].query_one(StatusHeader)
            await until(lambda second=second, front=front: f"live {second} s" in front.text)
            for screen in shown:
                screen.show_state()
            await all_painted(app, pilot)
            if second == 1:
                painted.clear()  # what was still to be painted of the screen as a whole
        assert 0 < sum(painted) < most


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
        await until(lambda: "✗ failure" in screen_text(app))
        assert "1 busy (1 unhealthy)" in screen_text(app)


async def test_a_terminal_that_was_smaller_for_a_moment_is_painted_whole():
    app = app_on(GivenFeed(live(snapshot())))
    app.driver_class = Terminal
    async with app.run_test(size=SIZE, headless=False) as pilot:
        await filled(app)
        await all_painted(app, pilot)
        app._driver.resize(40, 10)
        app._driver.resize(*SIZE)
        assert not app._driver.lines[-1].strip()
        await pilot.pause()
        await all_painted(app, pilot)
        assert app._driver.lines == drawn_whole(app).lines
