"""The replicas of a service: where they are, what is wrong with them, and what keys do there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.transport import wire
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service import replicas
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import Settings
from tests.builders import routed_service, snapshots
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.service_screen import SIZE, opened, pressed, rows, said
from tests.builders.snapshots import NOW
from tests.screens import on_screen, screen_text, summary
from tests.waiting import until, until_equal


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
        feed.waiting.append(live(replace(shot, backends=("gcp",)), None))
        await until(lambda: len(found) == 2, what="the look at a snapshot that differs")


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
