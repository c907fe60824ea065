"""The screen of a service: its lanes, its views in turn, and what keys do there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from textual._compositor import CompositorUpdate, LayoutUpdate

from dstack_api_client import errors
from dstack_api_client.analysis.rollout import rollout_of
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_fleets_tui.tables import deployments
from dstack_fleets_tui.tables.looks import Looks
from dstack_placement import engine
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import plain_text
from tests.builders import crowded_service, projects, routed_service, snapshots
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.service_screen import SIZE, line, opened, pressed, rows, said
from tests.builders.snapshots import NOW
from tests.painting import all_painted
from tests.screens import brought, on_screen, screen_text, summary
from tests.waiting import until, until_equal


async def test_it_opens_on_the_distribution_and_says_what_counts_first():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        assert app.screen.view == "distribution"
        head = app.screen.query_one("#head", Flow).text
        assert head.startswith(
            "chat-70b  ! DEGRADED 3/9  deployment 7 (9 of 9)  desired 9 of 3..12  running 7"
            "  ready 6  321.04 $/h"
        )
        lanes_show_what_they_should_hold_and_what_they_hold(app)
        a_baseline_that_is_not_held_is_loud_in_its_row_and_in_full_below(app)
        await groups_have_columns_where_there_is_room_and_a_line_where_not(app, pilot)
        the_total_stands_last_however_it_is_sorted(app)


def lanes_show_what_they_should_hold_and_what_they_hold(app):
    shown = rows(app)
    assert list(shown) == ["/gpu-reserved", "/gpu-spot", "/edge-cpu", "/", "total"]
    reserved = shown["/gpu-reserved"]
    assert [reserved[key] for key in ("priority", "min", "max", "target", "pending")] == [
        "10", "3", "4", "3", "1"
    ]  # fmt: skip
    assert reserved["running"] == "█░·      1"
    assert reserved["price"] == "196.64"
    assert shown["/gpu-spot"]["max"] == "–"
    assert shown["/gpu-spot"]["group decode"] == "3/4"
    assert shown["/"]["fleet"] == "no fleet yet"
    total = shown["total"]
    assert [total[key] for key in ("target", "running", "ready", "pending", "price")] == [
        "9", "7", "6", "2", "321.04"
    ]  # fmt: skip
    assert total["stopping"] == "–"


def a_baseline_that_is_not_held_is_loud_in_its_row_and_in_full_below(app):
    loud = rows(app)["/gpu-reserved"]
    assert loud["fleet"] == "✗ gpu-reserved"
    # The rows leave the cause to the line below, which says it once.
    assert loud["why"] == "BASELINE 2 of 3 for 3m"
    assert rows(app)["/gpu-spot"]["why"] == "1 replica fell back here; room for 7 more"
    assert "cooldown" not in summary(app)
    first, *others = said(app)
    assert first == (
        "bad",
        "gpu-reserved",
        "BASELINE 2 of 3 for 3m: in cooldown until 14:05:30, no capacity in us-east-1",
    )
    assert {style for style, *_ in others} == {"dim"}


async def groups_have_columns_where_there_is_room_and_a_line_where_not(app, pilot):
    assert "group prefill" in rows(app)["total"]
    assert line(app) == ""
    await pilot.resize_terminal(80, 24)
    await until(lambda: "group prefill" not in rows(app)["total"])
    assert "prefill gpu-reserved 1 · gpu-spot 1" in line(app)
    # What can't be left out at 80 columns.
    visible = app.screen.table.visible_columns
    assert {"fleet", "min", "max", "target", "running", "ready", "pending", "why"} <= set(visible)


def the_total_stands_last_however_it_is_sorted(app):
    for column in ("fleet", "running", "price", "why"):
        for reverse in (False, True):
            app.screen.table.sort_by(column, reverse=reverse)
            assert app.screen.table.keys[-1] == "total", column


async def test_what_stops_own_lanes_and_one_cause_are_told_as_polls_bring_them():
    shot = routed_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=(200, 40)) as pilot:
        await opened(app, pilot)
        await the_total_counts_what_is_stopping_in_every_fleet(app, pilot)
        await a_group_with_lanes_of_its_own_has_rows_of_its_own(app, pilot)
        await one_cause_is_said_once(app, pilot)
        await what_was_so_at_the_first_look_at_a_router_may_have_been_for_longer(app, pilot)


async def the_total_counts_what_is_stopping_in_every_fleet(app, pilot):
    shot = routed_service.snapshot()
    going = {
        key: replace(each, status="terminating") if key.replica_num in (1, 2, 3) else each
        for key, each in shot.replicas.items()
    }
    await brought(app, pilot, replace(shot, replicas=going))
    shown = rows(app)
    counts = [shown[key]["stopping"] for key in ("/gpu-reserved", "/gpu-spot", "total")]
    assert counts == ["1", "2", "3"]


async def a_group_with_lanes_of_its_own_has_rows_of_its_own(app, pilot):
    shot = routed_service.snapshot()
    placement = shot.placements[routed_service.RUN]
    spot = placement.lanes[1]
    own = replace(
        placement,
        pools={"router": "", "prefill": "", "decode": "decode"},
        lanes=(*placement.lanes, replace(spot, pool="decode", target=4)),
    )
    await brought(app, pilot, replace(shot, placements={routed_service.RUN: own}))
    shown = rows(app)
    assert shown["decode/gpu-spot"]["pool"] == "decode"
    assert shown["decode/gpu-spot"]["target"] == "4"
    assert shown["/gpu-spot"]["pool"] == "–"
    assert shown["/gpu-spot"]["group prefill"] == "1"
    assert shown["/gpu-spot"]["group decode"] == "–"


async def one_cause_is_said_once(app, pilot):
    shot = routed_service.snapshot()
    placement = shot.placements[routed_service.RUN]
    fell = [
        replace(
            each,
            reason="fallback",
            why=f"baseline {each.replica_num} of 9: {routed_service.NO_ROOM}",
            cause=routed_service.NO_ROOM,
        )
        for each in placement.replicas
        if each.fleet == "gpu-spot"
    ]
    lanes = tuple(replace(lane, fallbacks=5) for lane in placement.lanes)
    told = replace(placement, replicas=tuple(fell), lanes=lanes)
    await brought(app, pilot, replace(shot, placements={routed_service.RUN: told}))
    causes = [text for _, _, text in said(app) if "in cooldown" in text]
    assert len(causes) == 1
    assert causes[0].startswith("BASELINE 2 of 3")
    assert rows(app)["/gpu-spot"]["why"].startswith("5 replicas fell back here")
    kept = tuple(replace(lane, deficit=0) for lane in lanes)
    told = replace(told, lanes=kept)
    await brought(app, pilot, replace(shot, placements={routed_service.RUN: told}))
    text = f"5 replicas fell back here: {routed_service.NO_ROOM}"
    assert ("warn", "gpu-spot", text) in said(app)


async def what_was_so_at_the_first_look_at_a_router_may_have_been_for_longer(app, pilot):
    shot = routed_service.snapshot()
    view = shot.routers[routed_service.RUN]
    first, second, *others = view.workers
    view = replace(view, workers=(replace(first, at_least=True), second, *others))
    await brought(app, pilot, replace(shot, routers={routed_service.RUN: view}))
    await pressed(app, pilot, "o")
    shown = rows(app)
    assert (shown[first.key]["since"], shown[second.key]["since"]) == ("1m+", "40s")


async def test_a_server_without_the_add_on_says_what_it_can_not_tell():
    app = app_on(GivenFeed(live(routed_service.stock(routed_service.snapshot()))))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        columns = {column.key for column in app.screen.table.columns}
        assert not columns & {"priority", "min", "max"}
        notes = " ".join(text for style, _, text in said(app) if style == "dim")
        assert "no placement add-on" in notes
        assert "does not report how many replicas its autoscaler wants" in notes


async def test_a_fleet_that_is_lent_says_to_whom_and_asks_once():
    client = GivenClient()
    client.lent["main", "f-gpu"] = ("guest", "lab")
    feed = GivenFeed(live(snapshots.snapshot()))
    app = app_on(feed, client=client)
    async with app.run_test(size=SIZE):
        await until(lambda: app.snapshot is not None)
        app.open_fleet("f-gpu")
        await on_screen(app, FleetScreen)
        await until(lambda: "lent to guest, lab" in screen_text(app))
        app.screen.fill()
        assert client.asked["borrowers"] == 1
        app.screen.show_view("configuration")
        app.screen.do_delete("")
        await on_screen(app, AskScreen)
        lent = "It is exported to guest, lab, which will lose it."
        await until(lambda: lent in screen_text(app))
        app.screen.answer("cancel")

        app.do_fleets("")
        await on_screen(app, FleetsScreen)
        await until(lambda: app.screen.table.move_cursor_to("f-gpu"))
        app.do_delete("")
        await on_screen(app, AskScreen)
        await until(lambda: lent in screen_text(app), what="the same from the list")
        app.screen.answer("cancel")
        client.failure = errors.ServerFailedError("The server fails (502).", "Try again later.")
        await on_screen(app, FleetsScreen)
        app.do_delete("")
        await on_screen(app, AskScreen)
        unread = "It is not known which projects it is exported to: The server fails (502)."
        await until(lambda: unread in screen_text(app))


async def test_a_fleet_lists_the_hosts_that_could_not_be_set_up_and_why():
    shot = projects.hosts("a", "b", failed=2)
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=SIZE):
        await until(lambda: app.snapshot is not None)
        app.open_fleet("f-lab")
        await on_screen(app, FleetScreen)
        await until(lambda: "Failed to add SSH instance in 600s" in screen_text(app))
        assert app.screen.table.keys == ("i-lab-failed-0", "i-lab-failed-1")
        assert "2 not set up" in screen_text(app)
        app.screen.do_delete("")
        await on_screen(app, PickScreen)
        await until(lambda: "lab-failed-0" in screen_text(app))
        assert "can't be" not in screen_text(app)
        app.screen.answer("these")
        await on_screen(app, AskScreen)
        await until(lambda: "Delete 1 instance of lab in" in screen_text(app))
        assert "lab-failed-0  not set up" in screen_text(app)


async def test_enter_on_a_lane_opens_its_fleet_and_escape_comes_back():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "down", "enter")
        await on_screen(app, FleetScreen)
        assert app.screen.key == "f-gpu-spot"
        await pilot.press("escape")
        await on_screen(app, ServiceScreen)
        assert app.screen.table.cursor_key == "/gpu-spot"
        await pilot.press("colon", *"open edge-cpu", "enter")
        await on_screen(app, FleetScreen)
        assert app.screen.key == "f-edge-cpu"


async def test_views_by_name_and_in_turn():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        first, *others = app.screen.shown_views
        assert app.screen.view == first
        for view in others:
            await pilot.press("tab")
            await until_equal(lambda: app.screen.view, view)
        await pilot.press("colon", *"view roll", "enter")
        await until(lambda: app.screen.view == "rollout")


async def test_it_opens_where_a_problem_is():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, view="router", row="3.0")
        assert app.screen.view == "router"
        assert app.screen.table.cursor_key == "3.0"
        assert app.focused is app.screen.table


async def test_filter_and_sort_are_of_the_view_in_front():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        await pilot.press("slash", *"prefill", "enter")
        await until(lambda: list(rows(app)) == ["2.0", "1.0"])
        await pressed(app, pilot, "r")
        assert len(rows(app)) == 9
        await pressed(app, pilot, "o", "escape")
        assert len(rows(app)) == 8


async def test_a_service_that_goes_takes_what_was_said_of_it_along():
    shot = routed_service.snapshot()
    feed = GivenFeed(live(shot))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        feed.waiting.append(live(replace(shot, services={}), shot))
        await pilot.press("ctrl+r")
        await until(lambda: "gone" in app.screen.table.empty_text)
        assert rows(app) == {}
        assert said(app) == []
        assert line(app) == ""


HOSTILE = ["[/x]", "[red]name", "宽" * 30, "\u05d0\u05d1 name", "a\x1b[31mb"]


async def test_hostile_texts_do_no_harm():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        for name in HOSTILE:
            await brought(app, pilot, hostile(name))
            for key in ("r", "o", "t", "y", "d"):
                await pressed(app, pilot, key)
                assert "\x1b" not in screen_text(app), (name, key)


def hostile(name):
    """The service with a text that does harm wherever a server may say something."""
    shot = routed_service.snapshot()
    placement = shot.placements[routed_service.RUN]
    view = shot.routers[routed_service.RUN]
    lanes = tuple(
        replace(lane, lane=engine.Lane(name), reason=name) for lane in placement.lanes[:1]
    )
    workers = tuple(
        replace(each, url=name, model=name, role=name, message=name) for each in view.workers
    )
    return replace(
        shot,
        placements={routed_service.RUN: replace(placement, lanes=lanes, notes=(name,))},
        routers={routed_service.RUN: replace(view, message=name, workers=workers)},
    )


async def test_ascii_draws_nothing_else():
    app = app_on(GivenFeed(live(routed_service.rolling())), Settings(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        for key in ("d", "r", "o", "t", "w"):
            await pilot.press(key)
            await all_painted(app, pilot)
            assert not [row for row in screen_text(app).split("\n") if not row.isascii()]


async def test_a_poll_that_changes_nothing_writes_nothing():
    shot = crowded_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        painted = []
        paint = app._display

        def count(screen, renderable):
            if isinstance(renderable, (CompositorUpdate, LayoutUpdate)):
                painted.append(renderable)
            paint(screen, renderable)

        app._display = count
        for key in ("d", "r", "o", "t"):
            await pressed(app, pilot, key)
            for turn in range(3):
                if turn == 1:
                    painted.clear()  # what was still to be painted of the screen as a whole
                again = replace(shot, observed_at=NOW + timedelta(seconds=turn))
                app.post_message(FleetsApp.Read(live(again, shot), app.session.connection))
                await all_painted(app, pilot)
            assert painted == [], key


def test_an_edit_that_only_renumbers_replicas_is_as_old_as_it_is():
    shot = routed_service.snapshot()
    service = shot.services[routed_service.RUN]
    found = rollout_of(shot, service)
    made = NOW - timedelta(seconds=32)
    looks = Looks(NOW)
    for since, shown, words in ((made, "32s", f"since {made.astimezone():%Y-%m-%d %H:%M:%S}"),
                                (None, "–", "the latest")):  # fmt: skip
        rollout = replace(found, since=since)
        (latest,) = [each for each in rollout.deployments if each.number == rollout.number]
        assert latest.since is not None
        assert latest.since < made, "its replicas are older"
        assert plain_text(deployments.cells(latest, rollout, looks)[-1]) == shown
        assert deployments.summary(latest, rollout).endswith(words)


async def test_why_uses_all_of_the_width_there_is():
    shot = routed_service.snapshot()
    placement = shot.placements[routed_service.RUN]
    reason = "a reason of many words, " * 6
    lanes = [replace(lane, reason=reason.strip()) for lane in placement.lanes]
    placements = {routed_service.RUN: replace(placement, lanes=tuple(lanes), replicas=())}
    app = app_on(GivenFeed(live(replace(shot, placements=placements))))
    async with app.run_test(size=(280, 40)) as pilot:
        await opened(app, pilot)
        assert "…" not in screen_text(app)
