"""The list of all runs, which a command opens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.model.every_run import run_message
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.service import OtherRun
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.runs import RunsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from tests.builders import snapshots
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import NOW, instance
from tests.pictures import sized
from tests.screens import SIZE, filled, on_screen, screen_text, summary, table, texts
from tests.waiting import until


def shot() -> Snapshot:
    """A service, a task of two nodes of which one waits, and a dev environment that ended."""
    first, second = ReplicaKey("r-train", 0, 0), ReplicaKey("r-train", 0, 1)
    base = snapshots.replica("train", 0, run_type="task", user="ann", nodes=2, instance_id="i-b")
    jobs = [
        replace(base, key=first),
        replace(base, key=second, status="submitted", ready=False, instance_id=None, price=None,
                gpus=None, fleet_name=None, fleet_id=None, hostname=None),
    ]  # fmt: skip
    made = snapshots.snapshot(
        instances=[
            instance(jobs=(ReplicaKey("s-chat", 0, 0),)),
            instance("b", num=1, jobs=(first,)),
        ],
        replicas=[snapshots.replica(), *jobs],
    )
    fleet = replace(made.fleets["f-gpu"], instance_ids=tuple(made.instances))
    train = OtherRun("r-train", "train", "task", "ann", "running", NOW, "gpu", 98.32,
                     (first, second), "1 job waits")  # fmt: skip
    notes = OtherRun("r-notes", "notes", "dev-environment", "bob", "done", NOW, None, 0.0, ())
    runs = {each.id: each for each in (train, notes)}
    return replace(made, fleets={fleet.id: fleet}, other_runs=runs)


async def opened(app, pilot) -> None:
    await filled(app)
    await pilot.press("colon", *"runs", "enter")
    await on_screen(app, RunsScreen)
    await filled(app)


async def test_a_command_lists_all_runs_and_escape_goes_back():
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        assert table(app).keys == ("s-chat", "r-train")
        train = texts(app, "r-train")
        assert (train["type"], train["user"], train["jobs"]) == ("task", "ann", "1/2")
        assert (train["fleets"], train["gpu"]) == ("gpu", "H100:8")
        assert texts(app, "s-chat")["type"] == "service"
        await pilot.press("down")
        await until(lambda: "by ann" in summary(app) and "1 job waits" in summary(app))
        await pilot.press("a")
        await until(lambda: table(app).keys == ("s-chat", "r-train", "r-notes"))
        await pilot.press("escape")
        await on_screen(app, FleetsScreen)


async def test_a_task_leads_to_its_instance_and_a_service_to_itself():
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        await pilot.press("down", "enter")
        await on_screen(app, FleetScreen)
        await until(lambda: table(app).cursor_key == "i-b")
        assert texts(app, "i-b")["runs"] == "train node 0 (task, ann)"
        await pilot.press("escape")
        await on_screen(app, RunsScreen)
        await pilot.press("l")
        await on_screen(app, LogsScreen)
        await until(lambda: "train   2 nodes" in screen_text(app))
        await pilot.press("escape")
        await on_screen(app, RunsScreen)
        await pilot.press("up", "enter")
        await on_screen(app, ServiceScreen)


def test_runs_are_only_stopped_there():
    writing = [action.id for action in actions.on_screen(places.RUNS) if action.writes]
    assert writing == ["stop"]


def test_of_a_run_that_failed_its_job_says_why():
    there = shot()
    train = replace(there.other_runs["r-train"], status="failed", status_message="failed")
    first, second = train.replica_keys
    ends = {
        first: replace(there.replicas[first], status="terminated"),
        second: replace(
            there.replicas[second], status="failed", status_message="failed",
            termination_reason="failed_to_start_due_to_no_capacity",
        ),
    }  # fmt: skip
    ended = replace(there, replicas={**there.replicas, **ends})
    assert run_message(train, ended) == "no capacity"
    assert run_message(replace(train, status="running", status_message="running"), ended) == ""


@pytest.mark.usefixtures("frozen")
async def test_how_it_looks(pictures):
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=SIZE) as pilot:
        await opened(app, pilot)
        for size in ((80, 24), (120, 30), (200, 50)):
            await pilot.resize_terminal(*size)
            await pictures.take(pilot, sized(size))
