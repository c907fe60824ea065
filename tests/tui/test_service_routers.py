"""The router and the rollout of a service: what their views say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from textual._compositor import CompositorUpdate

from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.router import RouterStatus, Source
from dstack_api_client.transport import wire
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.screen.status_header import TabsLine
from tests.builders import crowded_service, routed_service, snapshots
from tests.builders.apps import GivenFeed, app_on, failing, live
from tests.builders.service_screen import SIZE, line, opened, rows, said
from tests.builders.snapshots import NOW
from tests.painting import all_painted
from tests.screens import brought, screen_text
from tests.waiting import until

READ = "read over SSH 2s ago  circuit breakers not known"
ROUTERS = [
    (RouterStatus.READY, f"smg  ready  4 of 7 workers ready  {READ}"),
    (RouterStatus.NOT_READY, f"smg  not ready  4 of 7 workers ready  {READ}"),
    (RouterStatus.DOWN, "smg  down  7 workers expected  asked over SSH 2s ago"),
    (RouterStatus.REFUSES, "smg  refuses  7 workers expected  asked over SSH 2s ago"),
    (RouterStatus.UNKNOWN, "smg  unknown  7 workers expected  asked over SSH 2s ago"),
    (RouterStatus.NOT_MANAGED, "smg  not managed  7 workers expected"),
]


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
