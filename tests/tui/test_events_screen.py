"""What happened: of the project, and of what is open."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dstack_api_client import errors
from dstack_api_client.events.stream import FOLLOWED
from dstack_api_client.model.replica import ReplicaKey
from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.settings.settings import Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient, event
from tests.builders.snapshots import replica, snapshot
from tests.screens import SIZE, filled, on_screen, screen_text, summary, table
from tests.waiting import until

#: Little enough that tests see the next poll soon.
SOON = Settings(interval=0.5)


def running(client, shot=None, settings=SOON):
    app = app_on(GivenFeed(live(shot or snapshot())), settings, client)
    app.now = lambda: START + timedelta(hours=1)
    return app


def messages(app):
    view = app.screen.query_one(EventsView)
    return [view.event_of(key).message for key in view.table.keys]


async def shown(app, number):
    await until(lambda: table(app).row_count == number, what=f"{number} events")


async def test_events_of_the_project_are_followed_the_newest_first():
    client = GivenClient()
    client.recorded = [event(number) for number in range(3)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await on_screen(app, EventsScreen)
        await shown(app, 3)
        assert messages(app) == ["event 2", "event 1", "event 0"]
        await until(lambda: summary(app) == "event 2  job chat-0-0  by the server")
        await until(lambda: "following" in screen_text(app))
        client.recorded.append(event(3600, "new", actor="ada", about=["run:chat"]))
        await shown(app, 4)
        await until(lambda: summary(app) == "new  run chat  by ada")
        assert messages(app)[0] == "new"


async def test_what_the_feed_has_read_is_there_at_once():
    client = GivenClient()
    client.failure = errors.CannotConnectError("It is away.", "Wait.")
    feed = GivenFeed(live(snapshot()))
    feed.events = [event(number) for number in range(3)]
    app = app_on(feed, SOON, client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 3)
        await until(lambda: summary(app) == "It is away. Wait.")
        client.failure = None
        client.recorded = feed.events
        await until(lambda: summary(app).startswith("event 2"))


async def test_a_cursor_that_left_the_newest_stays_until_f():
    client = GivenClient()
    client.recorded = [event(number) for number in range(5)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 5)
        await pilot.press("down", "down")
        client.recorded.append(event(3600))
        await shown(app, 6)
        assert summary(app).startswith("event 2")
        assert "f follows" in screen_text(app)
        await pilot.press("f")
        await until(lambda: summary(app).startswith("event 3600"))
        client.recorded.append(event(3601))
        await until(lambda: summary(app).startswith("event 3601"))


async def test_a_late_event_is_put_in_its_place():
    client = GivenClient()
    client.recorded = [event(3580), event(3590)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 2)
        client.recorded.append(event(3585, "late"))
        await shown(app, 3)
        assert messages(app) == ["event 3590", "late", "event 3580"]


@pytest.mark.parametrize("keys", [("G",), ("pagedown",) * 4])
async def test_older_ones_are_read_when_the_cursor_comes_near_the_end(keys):
    client = GivenClient()
    client.recorded = [event(number) for number in range(250)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 100)
        await pilot.press(*keys)
        await shown(app, 200)
        await pilot.press("G")
        await shown(app, 250)
        await pilot.press("G")
        await until(lambda: summary(app).startswith("event 0 "))


async def test_a_list_that_follows_keeps_no_more_than_it_needs():
    """Whatever comes in all day; who has looked further back has those as long as he does."""
    client = GivenClient()
    client.recorded = [event(number) for number in range(FOLLOWED + 300)]
    feed = GivenFeed(live(snapshot()))
    feed.events = list(client.recorded)
    app = app_on(feed, SOON, client)
    app.now = lambda: START + timedelta(hours=1)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await on_screen(app, EventsScreen)
        await shown(app, FOLLOWED)
        await pilot.press("G")
        await shown(app, FOLLOWED + 100)
        client.recorded.append(event(3600, "new"))
        await shown(app, FOLLOWED + 101)
        await pilot.press("f")
        await shown(app, FOLLOWED)
        assert messages(app)[0] == "new"


async def test_the_wheel_reads_older_ones_too():
    client = GivenClient()
    client.recorded = [event(number) for number in range(250)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 100)
        # The table knows how far it scrolls once the rows are laid out.
        await until(lambda: table(app).max_scroll_y > 0, what="room to scroll")
        table(app).scroll_to(y=90, animate=False)
        await shown(app, 200)


async def test_a_filter_looks_on_in_older_ones():
    client = GivenClient()
    client.recorded = [event(number) for number in range(450)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 100)
        await pilot.press("slash", *"event 7", "enter")
        await shown(app, 450)
        # 7, 70 to 79
        await until(lambda: len(table(app).keys) == 11)


async def test_nothing_is_asked_while_another_screen_is_in_front():
    client = GivenClient()
    client.recorded = [event(0)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 1)
        await pilot.press("1")
        await on_screen(app, FleetsScreen)
        feed = app.source.feed
        before, polls = client.asked.total(), len(feed.polls)
        await until(lambda: len(feed.polls) >= polls + 3)
        assert client.asked.total() <= before + 1
        client.recorded.append(event(3600))
        await pilot.press("4")
        await shown(app, 2)


async def test_paused_nothing_is_asked_but_on_request():
    client = GivenClient()
    client.recorded = [event(0)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 1)
        await pilot.press("p")
        asked = client.asked.total()
        client.recorded.append(event(3600))
        await pilot.press("ctrl+r")
        await shown(app, 2)
        assert client.asked.total() <= asked + 2


async def test_the_events_of_a_service_and_of_a_fleet_and_of_an_instance():
    client = GivenClient()
    client.recorded = [event(0)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await pilot.press("v")
        await until(lambda: client.filters)
        assert client.filters[-1] == {"within_fleets": ["f-gpu"]}
        await pilot.press("i")
        await pilot.press("enter")
        await until(lambda: client.filters[-1] == {"target_instances": ["i-gpu-0"]})
        await until(lambda: "of gpu-0, v shows all of the fleet" in screen_text(app))
        await pilot.press("escape")
        await until(lambda: app.screen.view == "instances")
        assert table(app).cursor_key == "i-gpu-0"
        await pilot.press("enter")
        await until(lambda: app.screen.view == "events_here")
        await pilot.press("v")
        await until(lambda: client.filters[-1] == {"within_fleets": ["f-gpu"]})
        await pilot.press("2")
        await on_screen(app, ServicesScreen)
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        await pilot.press("v")
        await until(lambda: client.filters[-1] == {"within_runs": ["s-chat"]})
        await shown(app, 1)
        assert app.focused is table(app)


async def test_of_another_thing_nothing_old_is_shown():
    client = GivenClient()
    client.recorded = [event(0)]
    app = running(client)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await pilot.press("v")
        await shown(app, 1)
        client.failure = errors.CannotConnectError("It is away.", "Wait.")
        await pilot.press("i", "enter")
        await until(lambda: table(app).empty_text == "It is away. Wait.")
        assert table(app).row_count == 0


async def test_enter_opens_what_an_event_is_about():
    kinds = [
        (["run:chat"], ServiceScreen),
        (["job:chat-0-0", "instance:gpu-0"], ReplicaScreen),
        (["job:gone-0-0", "instance:gpu-0"], FleetScreen),
        (["instance:gpu-0"], FleetScreen),
        (["fleet:gpu"], FleetScreen),
        (["user:ada"], EventsScreen),
        (["job:gone-0-0"], EventsScreen),
    ]
    client = GivenClient()
    client.recorded = [event(number, about=about) for number, (about, _) in enumerate(kinds)]
    client.recorded[0].targets[0].id = "s-chat"
    app = running(client)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, len(kinds))
        # The newest is the first.
        for key, (about, screen) in zip(reversed(table(app).keys), kinds, strict=True):
            app.said.log.clear()
            table(app).move_cursor_to(key)
            await pilot.press("enter")
            if screen is EventsScreen:
                await until(
                    lambda: [n for n in app.said.log if "not among" in n.message],
                    what=str(about),
                )
            await on_screen(app, screen)
            if screen is not EventsScreen:
                await pilot.press("escape")
                await on_screen(app, EventsScreen)


async def test_an_event_of_an_earlier_submission_leads_to_its_replica():
    client = GivenClient()
    client.recorded = [event(0, about=["job:chat-0-4"])]
    late = replica("chat", 4, job_name="chat-0-4", submission_id="j-later")
    app = running(client, snapshot(replicas=[replica(), late]))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 1)
        await pilot.press("enter")
        await on_screen(app, ReplicaScreen)
        assert app.screen.replica == ReplicaKey("s-chat", 4, 0)


async def test_hostile_texts_do_no_harm():
    client = GivenClient()
    client.recorded = [event(0, "[/x] \x1b[31m", actor="[red]", about=["run:[bold]\x07"])]
    app = running(client)
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(app)
        await pilot.press("4")
        await shown(app, 1)
        assert "[/x] \ufffd[31m" in screen_text(app)
        assert "\x1b" not in screen_text(app)
