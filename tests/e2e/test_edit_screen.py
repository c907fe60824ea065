"""The editor on a real server: from the fields through the plan to replicas in their lanes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from textual.pilot import Pilot
from textual.widgets import TextArea

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.update import ConnectionState
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.conflict import ConflictScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.edit.text import TextScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from dstack_simulator.handle.handle import Handle
from dstack_widgets.inputs.choices import Choices
from dstack_widgets.inputs.edit_grid import EditGrid, Place
from dstack_widgets.panels.flow import Flow
from tests.builders.audit_log import ends
from tests.painting import all_painted
from tests.screens import screen_text
from tests.servers.dashboards import ended, findings, shown, text
from tests.servers.edited_services import PROBES, service
from tests.servers.request_flow import Requests
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"stock": ["grouped"]}

LANES = [
    {"name": "desk-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
    {"name": "desk-spot"},
]


@pytest_asyncio.fixture(scope="module")
async def desk(edit_addon: Handle) -> AsyncIterator[Handle]:
    """The server, with a service that runs in two lanes."""
    await edit_addon.apply(service("desk", "desk", fleets=LANES, replicas=2, probes=PROBES))

    async def runs() -> bool:
        run = await edit_addon.run("desk")
        return [job["job_submissions"][-1]["status"] for job in run["jobs"]] == ["running"] * 2

    await until(runs, limit=90, what="the service to run")
    yield edit_addon


@asynccontextmanager
async def dashboard(
    sim: Handle, store: Store, *, settings: Settings | None = None, name: str = "desk"
) -> AsyncIterator[tuple[FleetsApp, Pilot[int]]]:
    """The dashboard with a service open."""
    connection = Connection(sim.url, sim.project, sim.token, Sources("test", "test", "test"))
    settings = settings or Settings(interval=1)
    app = FleetsApp(connection, settings, terminal_is_gone=lambda: False, store=store)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("2")
        await until(lambda: app.snapshot is not None and app.snapshot.complete, limit=30)
        await until(lambda: isinstance(app.screen, ServicesScreen), what="the list")
        app.open_service(next(s.id for s in app.snapshot.services.values() if s.name == name))
        await until(lambda: isinstance(app.screen, ServiceScreen), what="the service")
        yield app, pilot


async def editor(app: FleetsApp, pilot: Pilot[int]) -> EditScreen:
    await pilot.press("e")
    await until(
        lambda: (
            isinstance(app.screen, (EditScreen, AskScreen))
            and any(
                isinstance(screen, EditScreen) and screen.edit is not None
                for screen in app.screen_stack
            )
        ),
        what="the editor",
    )
    return next(screen for screen in app.screen_stack if isinstance(screen, EditScreen))


def fields(app: FleetsApp) -> list[str]:
    """The lanes, from their heading on."""
    lines = [line.plain.rstrip() for line in app.screen.query_one(EditGrid).lines(70)]
    return lines[next(at for at, line in enumerate(lines) if "PRIO" in line) :]


async def plan_shown(app: FleetsApp, pilot: Pilot[int]) -> None:
    await pilot.press("p")
    await shown(app, PlanScreen)
    assert app.screen.query_one(Choices).current == "cancel"


async def apply(app: FleetsApp, pilot: Pilot[int]) -> None:
    await pilot.press("right", "enter")
    await shown(app, ApplyScreen)


def cells(app: FleetsApp, selector: str) -> list[list[str]]:
    """The rows of a printed table."""
    return [re.split(r"  +", line.rstrip()) for line in text(app, selector).splitlines()]


async def lanes_of(sim: Handle, name: str = "desk") -> list[dict[str, object]]:
    return (await sim.run(name))["run_spec"]["configuration"]["fleets"]


async def test_an_edit_is_planned_applied_followed_and_taken_back(desk, tmp_path):
    before = await desk.run("desk")
    store = Store(tmp_path)
    requests = Requests(desk, "desk")
    async with dashboard(desk, store) as (app, pilot), requests.flowing():
        await editor(app, pilot)
        # The second lane is filled first, holds two, and the service gets a third replica.
        await pilot.press("down", "K", "right", "2", "enter")
        app.screen.grid.go_to(Place("group ", "replicas"))
        await pilot.press("3", "enter")
        await until(lambda: fields(app)[1].startswith("  [  10]  desk-spot"), what="the order")
        follows = "desk-spot        1 →   2  start 1"
        await until(lambda: follows in text(app, "#follows"), what="what follows")
        await plan_shown(app, pilot)
        assert "fleets desk-spot min_replicas" in text(app)
        assert "start 1 in desk-spot" in text(app)

        await pilot.press("enter")
        await shown(app, EditScreen)
        assert (await desk.run("desk"))["deployment_num"] == before["deployment_num"]

        await plan_shown(app, pilot)
        await apply(app, pilot)
        await ended(app)
        lanes = {lane["name"]: lane for lane in await lanes_of(desk)}
        assert lanes["desk-spot"]["priority"] == 10
        assert lanes["desk-spot"]["min_replicas"] == 2
        assert lanes["desk-reserved"]["priority"] == 0
        assert "2 of 2 ready" in text(app)
        assert (await desk.run("desk"))["id"] == before["id"]

        await pilot.press("escape")
        await shown(app, ServiceScreen)
        await pilot.press("u")
        await shown(app, PlanScreen)
        assert "This undoes" in text(app)
        await apply(app, pilot)
        await ended(app)
    after = await desk.run("desk")
    assert after["run_spec"] == before["run_spec"]
    assert not requests.failed
    assert requests.answered > 50
    assert [entry["action"] for entry in ends(store.audit_path)] == ["apply", "undo"]


async def test_what_is_wrong_is_said_beside_the_field_and_can_not_be_planned(desk, tmp_path):
    async with dashboard(desk, Store(tmp_path)) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("right", "9")
        await until(lambda: findings(app), what="the line")
        assert "`max_replicas`" in findings(app)[0]
        await pilot.press("enter", "p")
        await all_painted(app, pilot)
        assert isinstance(app.screen, EditScreen)
        await pilot.press("R")
        await until(lambda: not findings(app), what="no line")


async def test_a_draft_survives_leaving_and_says_when_its_base_has_moved(desk, tmp_path):
    store = Store(tmp_path)
    async with dashboard(desk, store) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("7", "enter")
        await pilot.press("escape")
        await shown(app, ServiceScreen)
    await desk.touch_run("desk", priority=31)
    async with dashboard(desk, store) as (app, pilot):
        screen = await editor(app, pilot)
        await shown(app, AskScreen)
        asked = screen_text(app)
        assert "fleets desk-reserved priority  10 to 7" in asked
        assert "It was changed since: the draft is put on top of what is there now." in asked
        await pilot.press("enter")
        await until(lambda: screen.edit.lanes("")[0].priority == 7, what="the draft")
        assert screen.edit.configuration["priority"] == 31, "theirs is not undone by it"
        assert [path[-1] for path in screen.edit.changes] == ["priority"]
        await pilot.press("R", "escape")
        await shown(app, ServiceScreen)
        screen = await editor(app, pilot)
        assert isinstance(app.screen, EditScreen), "an edit that was taken back leaves no draft"


async def test_a_draft_survives_a_connection_that_is_lost(desk, tmp_path):
    store = Store(tmp_path)
    before = await desk.run("desk")
    async with dashboard(desk, store) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("6", "enter")
        await desk.faults.server_cut()
        try:
            await until(lambda: app.health.state is ConnectionState.STALE, what="it is noticed")
            await pilot.press("p")
            await until(lambda: findings(app), what="why there is no plan")
            assert f"The connection to {desk.url} was closed" in findings(app)[0]
            assert "[   6]  desk-reserved  [   1]" in fields(app)[1]
            await pilot.press("right", "0", "enter")
            further = "[   6]  desk-reserved  [   0]"
            await until(lambda: further in fields(app)[1], what="it is edited further")
            head = app.screen.query_one("#head", Flow)
            await until(lambda: "draft kept" in head.text, what="that it is kept")
        finally:
            await desk.faults.server_cut(on=False)
        await until(lambda: app.health.state is ConnectionState.LIVE, limit=60, what="it is back")
        await plan_shown(app, pilot)
        assert "fleets desk-reserved priority" in text(app)
        assert "fleets desk-reserved min_replicas" in text(app)
        await pilot.press("enter")
    async with dashboard(desk, store) as (app, pilot):
        await editor(app, pilot)
        await shown(app, AskScreen)
        assert "fleets desk-reserved priority  10 to 6" in screen_text(app)
    assert (await desk.run("desk"))["run_spec"] == before["run_spec"]


async def test_somebody_else_s_change_is_shown_and_kept(desk, tmp_path):
    await desk.touch_run("desk", priority=None, fleets=LANES)
    async with dashboard(desk, Store(tmp_path)) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("8", "enter")
        await plan_shown(app, pilot)
        theirs = [{**LANES[0], "priority": 9}, LANES[1]]
        await desk.touch_run("desk", priority=30, fleets=theirs)
        await pilot.press("right", "enter")
        await shown(app, ConflictScreen)
        head, *rows = cells(app, "#rows Static")
        assert head == ["", "FIELD", "WAS", "THEIRS", "MINE"]
        assert sorted(rows) == [
            ["", "priority", "0", "30"],
            ["!", "fleets desk-reserved priority", "10", "9", "8"],
        ]
        await pilot.press("right", "enter")
        await shown(app, PlanScreen)
        await apply(app, pilot)
        await ended(app)
        run = await desk.run("desk")
        configuration = run["run_spec"]["configuration"]
        assert configuration["priority"] == 30
        assert configuration["fleets"][0]["priority"] == 8
        await pilot.press("escape")
        await shown(app, ServiceScreen)
    await desk.touch_run("desk", priority=None, fleets=LANES)


async def test_lanes_are_added_from_the_fleets_that_exist_and_removed(desk, tmp_path):
    async with dashboard(desk, Store(tmp_path)) as (app, pilot):
        screen = await editor(app, pilot)
        await pilot.press("a")
        await shown(app, PickScreen)
        await pilot.press("enter")
        await shown(app, EditScreen)
        added = screen.edit.lanes("")[-1].fleet
        assert added not in ("desk-reserved", "desk-spot")
        await until(lambda: any("added" in line for line in fields(app)), what="the new lane")
        await pilot.press("D")
        await until(lambda: not screen.edit.changed, what="the lane to be gone")


async def test_text_that_is_wrong_comes_back_with_the_line_on_top(desk, tmp_path, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    async with dashboard(desk, Store(tmp_path)) as (app, pilot):
        screen = await editor(app, pilot)
        await pilot.press("E")
        await shown(app, TextScreen)
        area = app.screen.query_one(TextArea)
        assert "hf_kept_out" not in area.text, "secrets are masked"
        area.text = area.text.replace("priority: 10", "priority: [")
        first = app.screen
        await pilot.press("ctrl+s")
        await until(
            lambda: isinstance(app.screen, TextScreen) and app.screen is not first, what="again"
        )
        await shown(app, TextScreen)
        area = app.screen.query_one(TextArea)
        assert area.text.startswith("# ! The text is not valid YAML")
        area.text = area.text.replace("priority: [", "priority: 12")
        await pilot.press("ctrl+s")
        await until(
            lambda: screen.edit.changed and screen.edit.filled()[0].priority == 12, what="the edit"
        )


async def test_nothing_can_be_changed_in_read_only_mode(desk, tmp_path):
    settings = Settings(interval=1, read_only=True)
    async with dashboard(desk, Store(tmp_path), settings=settings) as (app, pilot):
        await pilot.press("e")
        await all_painted(app, pilot)
        assert isinstance(app.screen, ServiceScreen)
        assert app.header_state().mode == "READ-ONLY"
        keys = [key for key, _ in app.screen.query_one("KeysFooter")._keys]
        assert "e" not in keys


async def test_a_protected_project_wants_the_name_typed(desk, tmp_path):
    settings = Settings(interval=1, projects={desk.project: ProjectValues(protected=True)})
    async with dashboard(desk, Store(tmp_path), settings=settings) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("5", "enter", "p")
        await shown(app, PlanScreen)
        choices = app.screen.query_one(Choices)
        await pilot.press(*"des", "enter", "right")
        await all_painted(app, pilot)
        assert choices.current != "apply"
        await pilot.press("escape")
        await shown(app, EditScreen)


async def test_the_name_typed_lets_it_be_applied(desk, tmp_path):
    settings = Settings(interval=1, projects={desk.project: ProjectValues(protected=True)})
    async with dashboard(desk, Store(tmp_path), settings=settings) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("5", "enter", "p")
        await shown(app, PlanScreen)
        await pilot.press(*"desk", "enter")
        await until(lambda: app.screen.query_one(Choices).has_focus, what="the answers")
        assert app.screen.query_one(Choices).current == "cancel"
        await apply(app, pilot)
        await ended(app)
    assert (await lanes_of(desk))[0]["priority"] == 5
    await desk.touch_run("desk", fleets=LANES)


@pytest.mark.slow
async def test_a_rebalance_is_asked_for_and_followed(desk, tmp_path):
    lanes = [
        {"name": "desk-reserved", "max_replicas": 1},
        {"name": "desk-spot", "priority": 20},
    ]
    touched = await desk.touch_run("desk", fleets=lanes)
    store = Store(tmp_path)
    requests = Requests(desk, "desk")
    async with dashboard(desk, store) as (app, pilot), requests.flowing():
        service = app.snapshot.service_named("desk")
        assert service.deployment_num == touched["deployment_num"]

        async def even() -> bool:
            shares = app.snapshot.service_named("desk").shares
            return {share.fleet: share.ready for share in shares} == {
                "desk-reserved": 1,
                "desk-spot": 1,
            }

        await until(even, limit=60, what="the replicas before")
        await pilot.press("b")
        await shown(app, AskScreen)
        assert "Rebalance desk in" in screen_text(app)
        await pilot.press("enter")
        await shown(app, ServiceScreen)
        assert not store.audit_path.exists(), "Cancel asks for nothing"
        await pilot.press("b")
        await shown(app, AskScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await ended(app)
        assert "The server moves 1 replica of desk." in text(app)
        assert "2 of 2 ready" in text(app)
        await pilot.press("escape")
        await shown(app, ServiceScreen)
        await until(
            lambda: (
                {s.fleet for s in app.snapshot.service_named("desk").shares if s.ready}
                == {"desk-spot"}
            ),
            limit=30,
            what="the replica to have moved",
        )
        await pilot.press("b")
        await until(
            lambda: any("Nothing to move" in note.message for note in app.said.log),
            what="that it is done",
        )
    assert not requests.failed
    assert [entry["action"] for entry in ends(store.audit_path)] == ["rebalance"]
    await desk.touch_run("desk", fleets=LANES)


@pytest.mark.slow
async def test_on_a_stock_server_lanes_are_shown_and_the_rest_is_edited(edit_stock, tmp_path):
    async with dashboard(edit_stock, Store(tmp_path), name="grouped") as (app, pilot):
        screen = await editor(app, pilot)
        assert any("no placement add-on" in line for line in findings(app))
        await pilot.press("a")
        await all_painted(app, pilot)
        assert isinstance(app.screen, EditScreen)
        assert not screen.edit.changed
        await pilot.press("2", "enter")
        await plan_shown(app, pilot)
        assert "fleets" not in text(app).split("→")[0]
