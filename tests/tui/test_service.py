"""The screen of a service: what its views show, and what keys do there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from textual._compositor import CompositorUpdate, LayoutUpdate

from dstack_api_client import errors
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import RouterStatus, Source
from dstack_api_client.transport import wire
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.lists import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service import replicas
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_placement import engine
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.screen.status_header import TabsLine
from dstack_widgets.table.cells import plain_text
from tests.builders import crowded_service, projects, routed_service, snapshots
from tests.builders.apps import GivenFeed, app_on, failing, live
from tests.builders.memory_client import GivenClient
from tests.builders.snapshots import NOW
from tests.painting import all_painted
from tests.screens import brought, on_screen, screen_text, summary
from tests.waiting import until, until_equal

SIZE = (160, 40)


async def opened(app, pilot, *keys, view="", row=None):
    """Opens the service of the cockpit and presses some keys there."""
    await until(lambda: app.snapshot is not None, what="a snapshot")
    app.open_service(routed_service.RUN, view, row)
    await on_screen(app, ServiceScreen)
    await pilot.pause()
    for key in keys:
        await pressed(app, pilot, key)


async def pressed(app, pilot, *keys):
    """Presses keys, and waits until the view in front is filled: it is when it has its size."""
    await pilot.press(*keys)
    await pilot.pause()
    await until(
        lambda: (view := getattr(app.screen, "_in_front", None)) is None or view.table.columns
    )


def rows(app):
    """The rows in front, each with its texts by column."""
    table = app.screen.table
    return {
        key: {
            column.key: plain_text(cell).strip()
            for column, cell in zip(table.columns, table.get_cells(key), strict=True)
        }
        for key in table.keys
    }


def said(app):
    """What is said below the table in front."""
    findings = app.screen.query_one(f"#{app.screen.view}").query_one(Findings).findings
    return [(each.style, each.subject, each.text) for each in findings]


def line(app):
    """The line above the table in front."""
    return app.screen.query_one(f"#{app.screen.view}").query_one(Flow).text


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


async def test_replicas_that_something_is_wrong_with_are_told_below_the_loudest_first():
    shot = routed_service.snapshot()
    host = snapshots.instance("gpu-spot-4", fleet_name="gpu-spot", num=4, unreachable=True)
    key = ReplicaKey(routed_service.RUN, 4, 0)
    jobs = {**shot.replicas, key: replace(shot.replicas[key], instance_id=host.id)}
    host = replace(host, jobs=(key,))
    shot = replace(shot, replicas=jobs, instances={**shot.instances, host.id: host})
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "r")
        styles = [style for style, _, _ in said(app)]
        assert styles == sorted(styles), "bad comes before warn"
        told = [f"{subject} {text}".strip() for _, subject, text in said(app)]
        assert told[0].startswith("decode 4: on "), "dstack ends the service with its host"
        assert told[1].startswith("decode 5: failed The router can't reach it")
        assert any(each.startswith("prefill 2: missing ") for each in told)
        (unready,) = (each for each in told if each.startswith("decode 6: not ready: it runs"))
        assert unready.endswith(
            "Its router may go on sending it requests; dstack does not restart it."
            " Press ⏎ on its row, then l, for its logs."
        )
        assert told[0].endswith("Press ⏎ on its row, then i, for its instance.")
        keys = [each for each in told if each.endswith("Press o for the router's list.")]
        assert keys == [told[1]], "each key is told once"
        # What comes next is never cut here, whatever goes for it.
        waits = next(key for key, row in rows(app).items() if row["next"].startswith("looking for"))
        assert app.screen.table.shows_whole(waits, "next")
        await pilot.resize_terminal(80, 24)
        app.screen.table.move_cursor_to(waits)
        await until(lambda: "  looking for a place for 3m" in summary(app))
        (cut,) = (each for each in told if each.startswith("decode 4: on "))
        assert "which is unreachable. dstack gives the instance back after 20 minutes." in cut


async def test_problems_of_replicas_are_found_once_per_change(monkeypatch):
    found = []

    def count(snapshot, service, now, since):
        found.append(snapshot)
        return ()

    monkeypatch.setattr(replicas, "of_replicas_in", count)
    shot = routed_service.snapshot()
    feed = GivenFeed(live(shot))
    app = app_on(feed, Settings(interval=0.5))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "r")
        await until(lambda: found)
        polls = len(feed.polls)
        feed.waiting.append(live(shot, shot))
        await until(lambda: not feed.waiting and len(feed.polls) > polls + 1)
        await pressed(app, pilot, "w")
        assert len(found) == 1
        feed.waiting.append(live(routed_service.snapshot(), None))
        await until(lambda: len(found) == 2, what="the look at a snapshot that differs")


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


async def test_replicas_say_where_they_are_why_and_what_the_router_makes_of_them():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "r")
        shown = rows(app)
        assert shown["6.0"]["fleet"] == "gpu-spot (fallback)"
        assert shown["6.0"]["probes"] == "! 1/3"
        assert shown["6.0"]["restarts"] == "2"
        assert shown["5.0"]["router"] == "failed"
        assert shown["2.0"]["router"] == "missing"
        assert shown["1.0"]["role"] == "prefill"
        assert shown["0.0"]["role"] == "router"
        app.screen.table.move_cursor_to("6.0")
        await pilot.pause()
        assert "fallback: gpu-reserved is in cooldown" in screen_text(app)


async def test_the_use_of_replicas_on_screen_is_read_and_shown():
    client = GivenClient()
    times = [NOW, NOW - timedelta(seconds=10)]
    client.measured = wire.JobMetrics(
        metrics=[
            wire.Metric("gpu_util_percent_gpu0", times, [87, 80]),
            wire.Metric("gpu_memory_total_bytes", times, [80 * 1024**3, 80 * 1024**3]),
            wire.Metric("gpu_memory_usage_bytes_gpu0", times, [61 * 1024**3, 60 * 1024**3]),
        ]
    )
    app = app_on(GivenFeed(live(routed_service.snapshot())), Settings(interval=0.5), client)
    async with app.run_test(size=(200, 40)) as pilot:
        await opened(app, pilot, "r")
        # More than one poll reads, and those that do not run are not asked for.
        await until(lambda: rows(app)["6.0"]["gpu_use"] == "87")
        shown = rows(app)
        assert shown["1.0"]["gpu_memory"] == "61/80"
        assert shown["7.0"]["gpu_use"] == "–"
        # What a replica made use of before it failed is not what it makes use of.
        known = routed_service.snapshot()
        failed = replace(known.replicas[ReplicaKey(routed_service.RUN, 6, 0)], status="failed")
        again = replace(known, replicas={**known.replicas, failed.key: failed})
        app.post_message(FleetsApp.Read(live(again, known), app.session.connection))
        await until(lambda: rows(app)["6.0"]["gpu_use"] == "–")


async def test_w_shows_only_what_is_wrong_and_says_so():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "w")
        assert app.screen.view == "replicas"
        assert list(rows(app)) == ["2.0", "3.0", "5.0", "6.0", "7.0", "8.0"]
        note = "wrong: 6 of 9, w shows all"
        assert note in screen_text(app)
        await pilot.press("w")
        await until_equal(lambda: len(rows(app)), 9)
        await until(lambda: note not in screen_text(app))


async def test_w_on_a_service_with_nothing_wrong_says_that():
    app = app_on(GivenFeed(live(snapshots.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await until(lambda: app.snapshot is not None)
        app.open_service("s-chat")
        await pilot.pause()
        await pilot.press("w")
        await until(lambda: "Nothing is wrong with any replica" in app.screen.table.empty_text)
        await pilot.press("w")
        await until_equal(lambda: list(rows(app)), ["0.0"])


async def test_enter_on_a_replica_opens_it():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        for key in ("r", "o"):
            await pressed(app, pilot, key)
            app.screen.table.move_cursor_to("5.0")
            await pilot.press("enter")
            await on_screen(app, ReplicaScreen)
            assert app.screen.replica == ReplicaKey(routed_service.RUN, 5, 0), key
            await pilot.press("escape")
            await on_screen(app, ServiceScreen)


async def test_the_router_the_list_and_the_jobs_are_told_apart():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        assert line(app) == (
            "smg  ready  4 of 7 workers ready  read through the server 2s ago"
            "  dstack's last sync 4s ago  circuit breakers not known"
        )
        shown = list(rows(app).values())
        told = [(row["sync"], row["router"], row["dstack"], row["replica"]) for row in shown]
        assert told[:4] == [
            ("in sync", "✗ failed", "● running", "decode 5"),
            ("✗ missing", "–", "● running", "prefill 2"),
            ("✗ address drift", "● ready", "● running", "decode 3"),
            ("! foreign", "● ready", "–", "–"),
        ]
        assert shown[-1]["sync"] == "in sync"
        assert shown[0]["address"] == "10.0.3.9:8000"
        sentences = {subject: (style, text) for style, subject, text in said(app)}
        assert sentences["decode 5: failed"] == ("bad", routed_service.FAILED)
        assert sentences["prefill 2: missing"] == ("bad", routed_service.MISSING)
        assert sentences["10.9.9.9:8000: foreign"][0] == "warn"
        assert sentences["decode 7: pending"][0] == "dim"


async def test_the_loudest_sentence_can_be_read_in_full_on_a_small_screen():
    app = app_on(GivenFeed(live(routed_service.snapshot())))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, "o")
        text = " ".join(screen_text(app).split())
        assert routed_service.FAILED in text
        assert "more" in text


async def test_an_unknown_router_says_why_and_lists_what_the_jobs_tell():
    app = app_on(GivenFeed(live(routed_service.stock(routed_service.snapshot()))))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        assert line(app) == "smg  unknown  7 workers expected  its list was not read"
        assert {row["sync"] for row in rows(app).values()} == {"unknown"}
        style, _, text = said(app)[0]
        assert style == "warn"
        assert "SSH to the router failed" in text
        assert said(app)[1][1] == "decode 5, prefill 2, decode 3 and 4 more: unknown"


READ = "read over SSH 2s ago  circuit breakers not known"
ROUTERS = [
    (RouterStatus.READY, f"smg  ready  4 of 7 workers ready  {READ}"),
    (RouterStatus.NOT_READY, f"smg  not ready  4 of 7 workers ready  {READ}"),
    (RouterStatus.DOWN, "smg  down  7 workers expected  asked over SSH 2s ago"),
    (RouterStatus.REFUSES, "smg  refuses  7 workers expected  asked over SSH 2s ago"),
    (RouterStatus.UNKNOWN, "smg  unknown  7 workers expected  asked over SSH 2s ago"),
    (RouterStatus.NOT_MANAGED, "smg  not managed  7 workers expected"),
]


async def test_every_state_of_a_router_says_what_is_known():
    shot = routed_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        for status, told in ROUTERS:
            view = replace(
                shot.routers[routed_service.RUN],
                status=status,
                source=Source.SSH,
                message="Why it is so.",
                last_sync_at=None,
            )
            await brought(app, pilot, replace(shot, routers={routed_service.RUN: view}))
            assert line(app) == told
            loud = {RouterStatus.DOWN: "bad", RouterStatus.REFUSES: "bad"}
            styles = {**loud, RouterStatus.NOT_MANAGED: "dim"}
            assert said(app)[0] == (styles.get(status, "warn"), "smg", "Why it is so."), status


async def test_a_service_without_a_router_has_no_such_view():
    app = app_on(GivenFeed(live(snapshots.snapshot())))
    async with app.run_test(size=SIZE) as pilot:
        await until(lambda: app.snapshot is not None)
        app.open_service("s-chat")
        await pilot.pause()
        assert "Router" not in str(app.screen.query_one("#views", TabsLine).render())
        await pilot.press("o")
        await until(lambda: [n for n in app.said.log if "no replica group" in n.message])
        assert app.screen.view == "distribution"


@pytest.mark.parametrize("how", ["stale", "paused"])
async def test_nothing_is_called_in_sync_from_an_old_look(how):
    shot = routed_service.snapshot()
    moment = [NOW]
    feed = GivenFeed(live(shot))
    app = app_on(feed, Settings(interval=2))
    app.now = lambda: moment[0]
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        if how == "stale":
            feed.waiting.append(failing(ConnectionState.STALE, kept=shot))
            await pilot.press("ctrl+r")
        else:
            await pilot.press("p")
        await pilot.pause()
        await until(lambda: "in sync" in {row["sync"].lstrip("✗! ") for row in rows(app).values()})
        moment[0] = NOW + timedelta(seconds=5)
        await until(lambda: {row["sync"] for row in rows(app).values()} == {"unknown"})
        assert "too old" in said(app)[0][2]
        assert line(app).startswith("smg  unknown  7 workers expected")
        assert {row["load"] for row in rows(app).values()} == {"–"}
        moment[0] = NOW + timedelta(seconds=9)
        await until(lambda: "asked through the server 11s ago" in line(app), what="its age")


@pytest.mark.parametrize("step", [timedelta(seconds=9), timedelta(minutes=-25)])
async def test_nothing_is_called_in_sync_while_a_read_hangs_or_the_clock_was_set_back(step):
    """Neither tells how old the look is, and the header does not say live."""
    moment = [NOW]
    app = app_on(GivenFeed(live(routed_service.snapshot())), Settings(interval=2))
    app.now = lambda: moment[0]
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        assert "in sync" in {row["sync"] for row in rows(app).values()}
        moment[0] = NOW + step
        assert app.header_state().connection == "late"
        await until(lambda: {row["sync"] for row in rows(app).values()} == {"unknown"})


async def test_a_rollout_shows_deployments_side_by_side_and_what_holds_it_up():
    app = app_on(GivenFeed(live(routed_service.rolling())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "t")
        shown = rows(app)
        assert list(shown) == ["8", "7"]
        assert (shown["8"]["running"], shown["8"]["ready"]) == ("3", "2")
        assert "4/9 replicas  under way" in line(app)
        texts = [text for _, _, text in said(app)]
        assert any("decode 6 is not ready" in text and "(for " in text for text in texts)


async def test_a_rollout_counts_from_the_edit_where_an_event_tells_of_it():
    feed = GivenFeed(live(routed_service.rolling()))
    feed.events = [
        wire.Event(
            id="e-1",
            message="Run updated. Deployment: 8. Changed fields: image",
            recorded_at=NOW - timedelta(minutes=12),
            targets=[wire.EventTarget("run", routed_service.RUN, routed_service.NAME, "main")],
        )
    ]
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "t")
        assert "under way for 12m" in line(app)


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


async def test_a_worker_that_changes_paints_its_row_only():
    shot = crowded_service.snapshot()
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot, "o")
        await all_painted(app, pilot)
        view = shot.routers[routed_service.RUN]
        first = replace(view.workers[0], load=7)
        changed = replace(view, workers=(first, *view.workers[1:]))
        painted = []
        paint = app._display

        def count(screen, renderable):
            if isinstance(renderable, CompositorUpdate):
                painted.append(len(renderable.render_segments(app.console)))
            paint(screen, renderable)

        app._display = count
        again = replace(shot, routers={routed_service.RUN: changed})
        app.post_message(FleetsApp.Read(live(again, shot), app.session.connection))
        await until(lambda: rows(app)[first.key]["load"] == "7")
        await all_painted(app, pilot)
        assert 0 < sum(painted) < 100


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
