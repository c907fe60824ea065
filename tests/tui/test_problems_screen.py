"""The list of what is wrong, on updates that a test hands to the app."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.watch import problems_of
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_widgets.panels.detail_pane import DetailPane
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from tests.builders import routed_service
from tests.builders.apps import GivenFeed, app_on, failing, live
from tests.builders.snapshots import NOW, fleet, instance, replica, service, snapshot
from tests.screens import SIZE, filled, on_screen, screen_text, table, texts
from tests.waiting import until


def failed():
    """A service that has failed beside one that runs."""
    services = [service(), service("broken", status="failed", error="out of [memory]")]
    return snapshot(services=services)


def unreachable():
    """An instance that can't be reached, with a replica on it."""
    lost = instance(unreachable=True, jobs=(replica().key,))
    return snapshot(instances=[lost], fleets=[fleet(states={"unreachable": 1})])


def given(*problems):
    """Makes the app find these and nothing else."""

    def look(self, shot, now, events=()):
        self.problems = problems
        return problems

    return look


def problem(key="p", severity=Severity.WARNING, **values):
    return Problem(key, values.pop("kind", Kind.REPLICA), severity, values.pop("subject", key),
                   values.pop("text", f"{key} is wrong"), **values)  # fmt: skip


async def test_they_come_up_first_where_something_is_wrong():
    app = app_on(GivenFeed(live(failed())), untouched=True)
    async with app.run_test(size=SIZE):
        await on_screen(app, ProblemsScreen)
        await filled(app)
        assert "3 Problems 1!" in screen_text(app)
        first = texts(app, table(app).keys[0])
        assert first["subject"] == "broken"
        assert first["severity"].endswith("critical")
        assert "out of [memory]" in screen_text(app)


async def test_where_nothing_is_wrong_the_fleets_come_up():
    app = app_on(GivenFeed(live(snapshot())), untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        assert isinstance(app.screen, FleetsScreen)
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        assert table(app).empty_text.startswith("Nothing wrong in main. Checked: fleets 1,")
        assert "3 Problems   4" in screen_text(app)


async def test_they_do_not_come_up_before_everything_was_read():
    shot = failed()
    feed = GivenFeed(live(replace(shot, complete=False)))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE):
        await filled(app)
        assert isinstance(app.screen, FleetsScreen)
        feed.waiting.append(live(shot))
        app.hurry()
        await on_screen(app, ProblemsScreen)


@pytest.mark.parametrize("key", ["down", "1", "colon"])
async def test_they_do_not_come_up_once_a_key_was_pressed(key):
    shot = failed()
    feed = GivenFeed(live(replace(shot, complete=False)))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press(key)
        feed.waiting.append(live(shot))
        app.hurry()
        await until(lambda: app.snapshot.complete)
        await until(lambda: "3 Problems 1!" in screen_text(app))
        assert isinstance(app.screen, FleetsScreen)


async def test_they_do_not_come_up_later_by_themselves():
    feed = GivenFeed(live(snapshot()))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE):
        await filled(app)
        feed.waiting.append(live(failed()))
        app.hurry()
        await until(lambda: "3 Problems 1!" in screen_text(app))
        assert isinstance(app.screen, FleetsScreen)


def looked_at(awaited, *failed):
    """A service whose router is being looked at, or was; nothing else is wrong."""
    router = replica("chat", 0, is_router=True, group="router")
    members = [router, replica("chat", 1, group="decode")]
    view = RouterView(
        "s-chat", "smg", RouterStatus.UNKNOWN if awaited else RouterStatus.READY, Source.SERVER,
        message="It is being read for the first time." if awaited else "",
        workers=failed, expected=1, awaited=awaited,
    )  # fmt: skip
    chat = service(router="smg", replica_keys=tuple(each.key for each in members))
    return replace(snapshot(services=[chat], replicas=members), routers={"s-chat": view})


FAILED = Worker(
    "1.0", Sync.IN_SYNC, "failed", "running", replica=replica("chat", 1).key, group="decode",
    message="dstack will not repair this.", wrong=100,
)  # fmt: skip


async def test_they_come_up_for_what_the_first_look_at_a_router_brings():
    first = looked_at(True)
    feed = GivenFeed(live(first))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE):
        await filled(app)
        assert app.snapshot.complete
        assert isinstance(app.screen, FleetsScreen)
        # A poll may come before the look has brought anything.
        feed.waiting += [live(first, first), live(looked_at(False, FAILED), first)]
        app.hurry()
        await on_screen(app, ProblemsScreen)
        await filled(app)
        assert texts(app, "worker:s-chat:failed")["severity"].endswith("critical")


@pytest.mark.parametrize("key", ["down", "2"])
async def test_a_key_pressed_before_a_router_was_looked_at_counts(key):
    first = looked_at(True)
    feed = GivenFeed(live(first))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press(key)
        feed.waiting.append(live(looked_at(False, FAILED), first))
        app.hurry()
        await until(lambda: "3 Problems 1!" in screen_text(app))
        assert not isinstance(app.screen, ProblemsScreen)


async def test_once_every_router_was_looked_at_they_do_not_come_up_any_more():
    first, well = looked_at(True), looked_at(False)
    feed = GivenFeed(live(first))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE):
        await filled(app)
        feed.waiting += [live(well, first), live(looked_at(False, FAILED), well)]
        app.hurry()
        await until(lambda: "3 Problems 1!" in screen_text(app))
        assert isinstance(app.screen, FleetsScreen)


async def test_a_router_that_was_not_read_is_told_where_nothing_is_found_wrong_too():
    blind = looked_at(True)
    feed = GivenFeed(live(blind))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        note = "Router not read: chat. It is being read for the first time."

        def notes():
            return [
                each.text for each in app.screen.query_one(Findings).findings if each.style == "dim"
            ]

        await until(lambda: notes() == [note])
        assert table(app).empty_text.startswith("Nothing wrong in main as far as it was read.")
        assert note in screen_text(app)
        # Also beside what is wrong.
        both = replace(
            blind, services={**blind.services, "s-broken": failed().services["s-broken"]}
        )
        feed.waiting.append(live(both, blind))
        app.hurry()
        await until(lambda: table(app).row_count)
        assert notes() == [note]
        feed.waiting.append(live(looked_at(False), both))
        app.hurry()
        await until(lambda: not notes())
        assert table(app).empty_text.startswith("Nothing wrong in main. ")


async def test_enter_goes_to_the_service_and_escape_back():
    app = app_on(GivenFeed(live(failed())), untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, ProblemsScreen)
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        assert app.screen.key == "s-broken"
        await pilot.press("escape")
        await on_screen(app, ProblemsScreen)


async def test_enter_goes_to_the_view_and_the_row(monkeypatch):
    found = [
        problem("a", Severity.CRITICAL, service_id="s-chat", view="replicas", row="1.0"),
        problem("b", fleet_id="f-gpu", view="instances", row="i-two"),
    ]
    monkeypatch.setattr("dstack_api_client.problems.watch.ProblemWatch.look", given(*found))
    many = [replica(), replica("chat", 1)]
    shot = snapshot(
        services=[service(replica_keys=tuple(each.key for each in many))],
        replicas=many,
        instances=[instance("one"), instance("two", num=1)],
        fleets=[fleet(instance_ids=("i-one", "i-two"))],
    )
    app = app_on(GivenFeed(live(shot)), untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, ProblemsScreen)
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        await until(lambda: app.screen.view == "replicas" and table(app).cursor_key == "1.0")
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        await pilot.press("down", "enter")
        await on_screen(app, FleetScreen)
        await until(lambda: app.screen.view == "instances" and table(app).cursor_key == "i-two")


async def test_a_problem_that_is_gone_leaves_the_list_and_the_tab():
    shot = failed()
    feed = GivenFeed(live(shot))
    app = app_on(feed, untouched=True)
    async with app.run_test(size=SIZE):
        await on_screen(app, ProblemsScreen)
        await filled(app)
        feed.waiting.append(live(snapshot(), shot))
        app.hurry()
        await until(lambda: not table(app).row_count)
        assert "Nothing wrong in main." in screen_text(app)
        assert "Problems 1" not in screen_text(app)


async def test_nothing_wrong_is_not_said_of_what_is_stale():
    shot = snapshot()
    feed = GivenFeed(live(shot), failing(ConnectionState.STALE, kept=shot))
    app = app_on(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        await until(lambda: "when it was last read" in table(app).empty_text)


async def test_what_to_do_about_the_worst_one_stays_in_sight(monkeypatch):
    found = [
        problem("worst", Severity.CRITICAL, hint="Run for it."),
        problem("middle", hint="Walk."),
        problem("idle", Severity.NOTICE, kind=Kind.IDLE, price=98.32),
    ]
    monkeypatch.setattr("dstack_api_client.problems.watch.ProblemWatch.look", given(*found))
    app = app_on(GivenFeed(live(snapshot())), untouched=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_screen(app, ProblemsScreen)
        await filled(app)

        def said():
            return [(each.subject, each.text) for each in app.screen.query_one(Findings).findings]

        assert said() == [("worst", "worst is wrong. Run for it.")]
        await pilot.press("down")
        await until(lambda: len(said()) == 2)
        assert said() == [
            ("middle", "middle is wrong. Walk."),
            ("worst", "worst is wrong. Run for it."),
        ]
        counts = app.screen.query_one("#counts", Flow).text
        assert counts == "1 critical  1 warning  1 notice  98.32 $/h unused"

        await pilot.resize_terminal(*SIZE)
        pane = app.screen.query_one(DetailPane)
        await until(lambda: "! middle  Walk." in pane.text, what="details")
        assert pane.text.endswith("Worst of all\n✗ worst  Run for it."), "its row says the rest"
        assert said() == []
        await pilot.press("up")
        await until(lambda: "✗ worst  Run for it." in pane.text, what="those of the worst")
        assert "Worst of all" not in pane.text


async def test_only_notices_are_counted_without_a_mark(monkeypatch):
    found = problem("idle", Severity.NOTICE)
    monkeypatch.setattr("dstack_api_client.problems.watch.ProblemWatch.look", given(found))
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE):
        await until(lambda: "3 Problems 1   4 Events" in screen_text(app))


async def test_ages_go_on_while_nothing_is_read(monkeypatch):
    since = NOW - timedelta(seconds=5)
    found = [problem("a", since=since), problem("b", since=since, at_least=True)]
    monkeypatch.setattr("dstack_api_client.problems.watch.ProblemWatch.look", given(*found))
    moment = [NOW]
    app = app_on(GivenFeed(live(snapshot())), untouched=True)
    app.now = lambda: moment[0]
    async with app.run_test(size=SIZE):
        await on_screen(app, ProblemsScreen)
        await filled(app)
        assert texts(app, "a")["since"] == "5s"
        assert texts(app, "b")["since"] == "5s+"
        moment[0] = NOW + timedelta(seconds=4)
        await until(lambda: texts(app, "a")["since"] == "9s")


async def test_problems_are_looked_for_once_per_change(monkeypatch):
    looks = []

    def look(self, shot, time):
        looks.append(shot)

    monkeypatch.setattr("dstack_api_client.problems.watch.ProblemWatch._look", look)
    moment = [NOW]
    shot, other = snapshot(), snapshot(fleets=[fleet(price=1.0)])
    feed = GivenFeed(live(shot), live(shot, shot), failing(ConnectionState.STALE, kept=shot))
    app = app_on(feed)
    app.now = lambda: moment[0]

    async def brought(*updates):
        feed.waiting += updates
        app.hurry()
        await until(lambda: not feed.waiting)
        await until(lambda: app.health is updates[-1].health)

    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        await brought(live(shot, shot))
        assert looks == [shot]
        await brought(live(other, shot))
        assert looks == [shot, other]
        moment[0] += timedelta(seconds=11)
        await brought(live(other, other))
        assert looks == [shot, other], "nothing of it is another by the time alone"


async def test_an_unreachable_instance_leads_to_its_fleet():
    app = app_on(GivenFeed(live(unreachable())), untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, ProblemsScreen)
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await until(lambda: table(app).cursor_key == "i-gpu-0")


FOUND = problems_of(routed_service.rolling(), routed_service.NOW)


async def test_each_problem_leads_to_a_view_and_a_row_that_are_there():
    app = app_on(GivenFeed(live(routed_service.rolling())), untouched=True)
    app.now = lambda: routed_service.NOW
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, ProblemsScreen)
        await filled(app)
        assert set(table(app).keys) == {each.key for each in FOUND}
        for found in FOUND:
            what = f"{found.kind.value} {found.key}"
            table(app).move_cursor_to(found.key)
            await pilot.press("enter")
            await on_screen(app, ServiceScreen if found.service_id else FleetScreen)
            assert app.screen.key == (found.service_id or found.fleet_id), what
            await until(lambda found=found: app.screen.view == found.view, what=what)
            if found.row is not None:
                await until(lambda found=found: table(app).cursor_key == found.row, what=what)
            await pilot.press("escape")
            await on_screen(app, ProblemsScreen)


async def test_the_open_one_is_named_on_the_command_line():
    app = app_on(GivenFeed(live(failed())), untouched=True)
    async with app.run_test(size=SIZE) as pilot:
        await on_screen(app, ProblemsScreen)
        await filled(app)
        await pilot.press("colon", *"open broken", "enter")
        await on_screen(app, ServiceScreen)
