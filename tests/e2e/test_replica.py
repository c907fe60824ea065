"""What happened, and one replica closely, against a real server with the demo on it."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_simulator.handle.handle import Handle
from dstack_widgets.panels.facts import Fact, Facts
from dstack_widgets.table.cells import plain_text
from tests.servers.demo_dashboard import complete, dashboard, opened, row, rows, table
from tests.waiting import until

pytestmark = pytest.mark.e2e


def summary(app):
    return str(app.screen.query_one("#summary", Static).content)


def facts(app):
    shown = app.screen.query_one("#overview", Facts).facts
    return {each.name: plain_text(each.value) for each in shown if isinstance(each, Fact)}


async def replica_opened(app, pilot, service, number):
    await pilot.press("2")
    await opened(app, pilot, ServiceScreen, service)
    await pilot.press("r")
    await until(lambda: app.screen.view == "replicas" and table(app).row_count, what="replicas")
    await pilot.press("colon", *f"open {number}", "enter")
    await until(
        lambda: isinstance(app.screen, ReplicaScreen) and app.screen.is_laid_out,
        what="the replica",
    )


async def test_a_replica_tells_its_use_its_host_and_its_output(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await replica_opened(app, pilot, "chat-70b", 2)
        await until(lambda: "GPU use" in facts(app), limit=40, what="metrics")
        shown = facts(app)
        assert "peak" in shown["GPU use"]
        assert shown["GPU memory"].split("  ")[0].endswith(" of 640 GB")
        assert " of 192" in shown["CPUs"]
        assert shown["instance"].startswith("lab-h100-")
        assert shown["share"].startswith("H100:8  of H100:8")
        await pilot.press("l")

        def lines():
            return [plain_text(table(app).get_cells(key)[1]) for key in table(app).keys]

        # It says something for every request, and now and then there is one.
        await until(
            lambda: any("chat/completions" in line or "Decode batch" in line for line in lines()),
            limit=60,
            what="output",
        )
        assert not any("\r" in line or "\x1b" in line for line in lines())


async def test_the_output_of_a_task_is_followed(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, _):
        await complete(app)
        task = next(run for run in app.snapshot.other_runs.values() if run.name == "finetune-lora")
        app.open_replica(task.replica_keys[0], "logs")
        await until(
            lambda: isinstance(app.screen, ReplicaScreen) and app.screen.is_laid_out,
            what="the task",
        )
        await until(lambda: table(app).row_count, limit=60, what="output")
        last = table(app).keys[-1]
        assert table(app).cursor_key == last
        await until(lambda: table(app).keys[-1] != last, limit=150, what="a new line")
        assert table(app).cursor_key == table(app).keys[-1]
        assert "step" in summary(app)


async def test_a_replica_that_was_restarted_has_a_history_with_output(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await replica_opened(app, pilot, "embed", 0)
        numbers = {key.replica_num: r.submission_num for key, r in app.snapshot.replicas.items()
                   if r.run_name == "embed"}  # fmt: skip
        restarted = next(number for number, count in numbers.items() if count)
        if restarted:
            await pilot.press("escape")
            await replica_opened(app, pilot, "embed", restarted)
        await pilot.press("h")
        await until(lambda: table(app).row_count == 2, what="two submissions")
        newest, oldest = (row(app, key) for key in table(app).keys)
        assert newest["state"].endswith("running")
        assert oldest["state"].endswith("failed")
        assert oldest["exit"] != "0"
        first = table(app).keys[1]
        await pilot.press("down", "enter")
        await until(lambda: app.screen.view == "logs")
        watched = app.screen
        await until(lambda: watched._closely.output.submission_id == first, what="its output")
        assert watched._closely.output.failure is None


async def test_a_replica_s_events_and_its_instance(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await replica_opened(app, pilot, "vision", 0)
        await pilot.press("v")
        view = app.screen.query_one(EventsView)
        await until(lambda: view.table.row_count, what="events")
        told = [view.event_of(key) for key in view.table.keys]
        assert all("vision-0-0" in [t.name for t in each.targets] for each in told)
        assert any(each.message.startswith("Job assigned to instance") for each in told) or any(
            "for job" in each.message for each in told
        )
        assert told == sorted(told, key=lambda each: each.recorded_at, reverse=True)
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, FleetScreen), what="the fleet")
        await until(lambda: "vision 0" in row(app, table(app).cursor_key)["runs"])


async def test_events_of_the_project_come_in_and_lead_on(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await complete(app)
        await pilot.press("4")
        await until(lambda: isinstance(app.screen, EventsScreen))
        await until(lambda: table(app).row_count > 20, what="events")
        await demo_sim.apply({"type": "fleet", "name": "seen-in-events", "nodes": "0..1"})
        try:
            await until(lambda: app.snapshot.fleet_named("seen-in-events"), what="the new fleet")
            await pilot.press("slash", *"seen-in-events", "enter")
            await until(lambda: "fleet seen-in-events" in summary(app), limit=20, what="the event")
            await pilot.press("enter")
            await until(lambda: isinstance(app.screen, FleetScreen), what="the fleet")
            await pilot.press("v")
            view = app.screen.query_one(EventsView)
            await until(lambda: view.table.row_count, what="the fleet's events")
            assert {t.name for key in view.table.keys for t in view.event_of(key).targets} == {
                "seen-in-events"
            }
        finally:
            await demo_sim.delete_fleet("seen-in-events")

        async def gone() -> bool:
            return "seen-in-events" not in {f["name"] for f in await demo_sim.api("fleets/list")}

        # Tests that follow count the fleets.
        await until(gone, limit=90, every=0.5, what="the fleet is gone")


async def test_older_events_are_read_back_to_the_first(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await complete(app)
        await pilot.press("4")
        await until(lambda: isinstance(app.screen, EventsScreen) and table(app).row_count)
        view = app.screen.query_one(EventsView)

        async def to_the_end():
            await pilot.press("G")
            return not view._state.more and view._state.read_at is not None

        await until(to_the_end, limit=20, what="the first event", every=0.2)
        everything = await demo_sim.api("/api/events/list", {"limit": 100, "ascending": True})
        first = [event["id"] for event in everything]
        project = list(reversed(view.table.keys))[: len(first)]
        # The server's list has events of users and projects beside those of this project.
        assert set(project) & set(first)
        assert project[0] in first


async def test_what_is_wrong_in_the_demo_leads_to_its_place(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await complete(app)
        await pilot.press("3")
        await until(lambda: isinstance(app.screen, ProblemsScreen))
        await until(lambda: "rerank" in rows(app, "subject"), what="the failed service")
        assert rows(app, "subject")["rerank"]["severity"].endswith("critical")
        await pilot.press("colon", *"open rerank", "enter")
        await until(lambda: isinstance(app.screen, ServiceScreen), what="the service")
        await until(lambda: table(app).row_count == 1, what="its replica")
