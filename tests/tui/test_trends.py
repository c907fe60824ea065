"""Sparklines of the last 30 minutes in lists."""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.join.difference import Difference, diff
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.trends.trend import STEP, STEPS, Trend
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.glyphs import ASCII, UNICODE
from dstack_widgets.table.cells import CellValue, plain_text
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, service, snapshot
from tests.builders.trending import app_with_trends
from tests.waiting import until, until_equal

#: The beginning of two minutes.
NOW = snapshot().observed_at.replace(minute=2, second=0)
CHAT = service(ready=4, replicas_min=4, replicas_max=4, groups=(), active=4)


def watched(*ready, desired=4):
    """A watch that was shown a service in so many steps, the last of them complete."""
    watch, before = TrendWatch(), None
    for step, count in enumerate((*ready, ready[-1])):
        group = replace(service().groups[0], replicas_min=desired, replicas_max=desired)
        shot = snapshot([fleet(gpus_busy=count, gpus_total=4)], services=[
            replace(CHAT, ready=count, groups=(group,))
        ])  # fmt: skip
        shot = replace(shot, observed_at=NOW + timedelta(seconds=STEP * step))
        watch.look(shot, diff(before, shot))
        before = shot
    return watch


@pytest.mark.parametrize(
    ("glyphs", "drawn"), [(UNICODE, "█▅▁█"), (ASCII, "#-_#")], ids=["unicode", "ascii"]
)
def test_the_worst_of_two_minutes_counts(glyphs, drawn):
    watch = watched(4, 4, 4, 4, 4, 2, 2, 4, 0, 0, 4, 4, 4, 4, 4, 4)
    cell = trends.ready(CHAT, watch, glyphs)
    assert plain_text(cell) == drawn.rjust(trends.SIGNS)
    styles = [cell.text.plain[span.start : span.end].strip() for span in cell.text.spans]
    assert [each for each in styles if each] == list(drawn)  # what was less stands out


def test_details_say_from_what_to_what_it_went():
    section = trends.section_of_service(CHAT, watched(4, 4, 2, 4), UNICODE)
    assert [line.plain.split("  ")[-1] for line in section.lines] == ["2 to 4", "98.32"]
    assert not trends.section_of_service(CHAT, TrendWatch(), UNICODE).lines


def test_details_say_how_many_requests_there_were():
    watch, before = TrendWatch(), None
    for step, requests in enumerate((30, 192, 0, 0)):
        counted = {CHAT.id: Traffic(requests, 60, 0.41)}
        at = NOW + timedelta(seconds=STEP * step)
        shot = replace(snapshot(services=[CHAT]), observed_at=at, traffic=counted)
        watch.look(shot, diff(before, shot))
        before = shot
    lines = [line.plain for line in trends.section_of_service(CHAT, watch, UNICODE).lines]
    assert [line.split() for line in lines if "requests" in line] == [
        ["requests/s", "█", "0", "to", "3.2"]
    ]


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (None, ""),
        (Traffic(0, 60, None), "0 requests/s"),
        (Traffic(3, 60, 0.0412), "0.05 requests/s, 0.041 s each"),
        (Traffic(192, 60, 0.41), "3.2 requests/s, 0.41 s each"),
        (Traffic(2460, 60, 12.4), "41 requests/s, 12 s each"),
    ],
)
def test_requests_in_words(counted, said):
    assert words.traffic(counted) == said


def test_a_service_that_should_have_none_draws_nothing():
    watch = watched(0, 0, 0, desired=0)
    assert not plain_text(trends.ready(CHAT, watch, UNICODE)).strip()


def test_a_replica_of_which_nothing_is_known_is_shown_as_one_that_was_not_read():
    unknown = TrendWatch()
    unknown.of_replica = lambda *_: Trend((None,) * STEPS, 7)
    cells = [trends.gpu(ReplicaKey("r", 0, 0), watch, UNICODE) for watch in (unknown, TrendWatch())]
    assert cells[0] == cells[1] == CellValue("")


def test_the_most_of_two_minutes_counts_for_a_fleet():
    watch = watched(4, 0, 0, 0, 0, 2, 0, 0)
    assert plain_text(trends.busy(fleet(), watch, UNICODE)).strip() == "█▅"


def test_what_a_fleet_cost_is_drawn_against_the_most_of_it():
    watch, before = TrendWatch(), None
    for step, price in enumerate([8.0] * 4 + [4.0] * 4 + [8.0] * 5):
        at = NOW + timedelta(seconds=STEP * step)
        shot = replace(snapshot([fleet(price=price)]), observed_at=at)
        watch.look(shot, diff(before, shot))
        before = shot
    assert plain_text(trends.price(fleet(), watch, UNICODE)).strip() == "█▅█"


def test_a_sign_stays_as_it_is_while_it_goes_to_the_left():
    steps = [4, 4, 2, 2] * 15
    before, after = (
        plain_text(trends.ready(CHAT, watched(*(steps * 2)[:count]), UNICODE))
        for count in (STEPS + 4, STEPS + 8)
    )
    assert before == after


async def test_a_list_has_sparklines_where_it_is_wide():
    app = app_with_trends()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2")
        await until(lambda: app.screen.table.row_count > 0)
        for width, shown in ((80, False), (110, False), (114, True), (140, True)):
            await pilot.resize_terminal(width, 24)
            await until_equal(lambda: "trend" in app.screen.table.visible_columns, shown)
            assert {"ready", "fleets", "health"} <= set(app.screen.table.visible_columns)
        app.views.change(details=False)
        for key in "21":
            await pilot.press(key)
            await until(lambda: app.screen.table.row_count > 0)
            for width, shown in ((200, True), (160, False)):
                await pilot.resize_terminal(width, 24)
                await until_equal(lambda: "price_trend" in app.screen.table.visible_columns, shown)


async def test_replicas_and_workers_have_sparklines():
    app = app_with_trends()

    def drawn(column):
        table = app.screen.table
        if column not in table.visible_columns or not table.row_count:
            return []
        at = [each.key for each in table.columns].index(column)
        return [plain_text(table.cells(key)[at]).strip() for key in table.keys]

    async with app.run_test(size=(140, 24)) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2", "enter", "r")
        # Metrics of the past are read with the first look.
        await until(lambda: [len(each) for each in drawn("gpu_trend")] == [trends.SIGNS] * 4)
        await pilot.press("o")
        await until(lambda: len(drawn("load_trend")) == 3)
        assert "█" in "".join(drawn("load_trend"))
        assert {len(each) for each in drawn("load_trend")} == {trends.SIGNS}
        await pilot.resize_terminal(80, 24)
        await until(lambda: "load_trend" not in app.screen.table.visible_columns)


def test_workers_share_one_scale():
    watch = TrendWatch()
    workers = [
        Worker(f"w{load}", Sync.IN_SYNC, load=load, replica=ReplicaKey("s-chat", load, 0))
        for load in (8, 4, 0)
    ]
    view = RouterView("s-chat", "smg", RouterStatus.READY, Source.SERVER, workers=(*workers,))
    for step in range(2):
        at = NOW + timedelta(seconds=STEP * step)
        watch.look(replace(snapshot(), routers={"s-chat": view}, observed_at=at), Difference())
    drawn = trends.loads(workers, watch, UNICODE)
    assert [plain_text(drawn[each.key]).strip() for each in workers] == ["█", "▅", "▁"]


def test_no_more_is_kept_than_of_the_step_that_ended_last():
    watch, before, kept = TrendWatch(), None, []
    for step in range(60):
        shot = snapshot(services=[replace(CHAT, ready=step % 5)])
        shot = replace(shot, observed_at=NOW + timedelta(days=1, seconds=STEP * step))
        watch.look(shot, diff(before, shot))
        before = shot
        trends.ready(CHAT, watch, UNICODE)
        trends.section_of_service(CHAT, watch, UNICODE)
        kept.append(sum(isinstance(each, Trend) for each in gc.get_objects()))
    assert max(kept[40:]) <= kept[20]


async def test_within_a_step_no_sparkline_changes():
    shot = snapshot()
    app = app_on(GivenFeed(live(shot)))
    async with app.run_test(size=(140, 24)) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2")
        await until(lambda: app.screen.table.row_count > 0)
        at = [column.key for column in app.screen.table.columns].index("trend")
        drawn = []
        for seconds, ready in ((1, 0), (STEP + 1, 1), (STEP * 2, 1)):
            later = replace(
                shot,
                observed_at=shot.observed_at + timedelta(seconds=seconds),
                services={"s-chat": service(ready=ready)},
            )
            app.post_message(app.Read(live(later, app.snapshot), app.session.connection))
            await until(lambda later=later: app.snapshot is later)
            drawn.append(plain_text(app.screen.table.cells("s-chat")[at]).strip())
    assert drawn == ["", "▁", "▁"]
