"""The dashboard on several projects: one list, and what is done to a row is done in its project."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.settings.projects import Projects
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from dstack_widgets.inputs.choices import Choices
from dstack_widgets.inputs.command_line import CommandLine
from tests.builders.apps import CONNECTION
from tests.screens import header, on_screen, screen_text, summary, table, texts
from tests.servers.cordoning_server import CordoningServer
from tests.servers.dashboards import shown
from tests.waiting import until, until_equal

#: How answers name the project.
_PROJECT = re.compile(r'("project(?:_name)?": ?)"main"')


class ServerOf(CordoningServer):
    """A server with one project; what is asked of another one fails the test.

    Attributes:
        project: The project.
        strays: What was asked of others.
    """

    def __init__(self, project: str) -> None:
        super().__init__()
        self.project = project
        self.strays: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "/project" in path and f"/{self.project}/" not in path:
            self.strays.append(path)
        inner = request.url.copy_with(path=path.replace(f"/{self.project}/", "/main/"))
        asked = httpx.Request(
            request.method, inner, headers=request.headers, content=request.content
        )
        answer = super().__call__(asked)
        self.writes = [each.replace("/main/", f"/{self.project}/") for each in self.writes]
        own = _PROJECT.sub(rf'\1"{self.project}"', answer.read().decode())
        return httpx.Response(answer.status_code, text=own)


def away(path: str) -> httpx.Response:
    return httpx.Response(503)


@asynccontextmanager
async def dashboard(
    servers: dict[str, ServerOf], folder: Path, *late: str
) -> AsyncIterator[tuple[FleetsApp, Any]]:
    """The dashboard on the projects of servers, the list of services in front.

    Args:
        servers: By project; the first one is in hand at first.
        folder: Where what is kept is kept.
        late: Projects whose server never answers.
    """

    @asynccontextmanager
    async def opened(connection: Connection) -> AsyncIterator[Source]:
        if connection.project in late:
            await asyncio.Event().wait()
        async with servers[connection.project].client() as client:
            yield Source(Feed(client, connection.project), client, connection.project)

    connections = {name: replace(CONNECTION, project=name) for name in servers}
    first, *beside = connections.values()
    values = {"prod": ProjectValues(protected=True), "audit": ProjectValues(read_only=True)}
    app = FleetsApp(
        first,
        Settings(interval=0.5, projects=values),
        open_source=opened,
        terminal_is_gone=lambda: False,
        store=Store(folder),
        beside=beside,
        projects=Projects(
            lambda: [*servers],
            lambda name: connections.get(name) or ConfigError(f"There is no {name}.", "Look."),
            lambda settings, _: settings,
        ),
    )
    app._somebody_is_there()
    async with app.run_test(size=(120, 32)) as pilot:
        await pilot.press("2")
        await shown(app, ServicesScreen)
        yield app, pilot


def row_of(app: FleetsApp, project: str) -> str:
    (key,) = (key for key in table(app).keys if key.startswith(f"{project}/"))
    return key


async def rows_of(app: FleetsApp, *projects: str) -> None:
    await until_equal(lambda: [key.partition("/")[0] for key in table(app).keys], [*projects])


async def at(app: FleetsApp, project: str) -> None:
    """Puts the cursor on the one row of a project."""
    assert table(app).move_cursor_to(row_of(app, project))
    await until_equal(lambda: app.screen.session_at_hand.project, project)


async def entered(pilot: Any, text: str) -> None:
    pilot.app.screen.query_one(CommandLine).open(text)
    await pilot.press("enter")


async def test_a_change_goes_to_the_project_of_its_row_though_names_and_ids_are_equal(
    tmp_path: Path,
) -> None:
    servers = {name: ServerOf(name) for name in ("main", "prod")}
    async with dashboard(servers, tmp_path) as (app, pilot):
        await rows_of(app, "main", "prod")
        ours, theirs = (row_of(app, name) for name in servers)
        assert ours.partition("/")[2] == theirs.partition("/")[2], "the same id"
        assert (texts(app, theirs)["project"], texts(app, theirs)["service"]) == ("prod", "chat")
        assert "PROTECTED" not in header(app)

        await at(app, "prod")
        await until(lambda: "prod PROTECTED" in header(app), what="what guards the row")
        assert app.session.project == "main", "to look at a row takes nothing in hand"
        await pilot.press("D")
        await shown(app, AskScreen)
        assert app.session.project == "prod"
        assert "Stop service chat in prod" in screen_text(app)
        await pilot.press("right", "enter")
        assert not servers["prod"].writes, "its name has to be typed"
        await pilot.press("escape")
        await shown(app, ServicesScreen)

        await at(app, "main")
        await until(lambda: "PROTECTED" not in header(app), what="that this is not protected")
        await pilot.press("D")
        await shown(app, AskScreen)
        assert "Stop service chat in main" in screen_text(app)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        stop = "/api/project/main/runs/stop"
        await until_equal(lambda: servers["main"].writes, [stop])
        assert not servers["prod"].writes

        await pilot.press("escape")
        await shown(app, ServicesScreen)
        app._quitting.in_the_way = lambda: ["A change is being sent."]
        await at(app, "prod")
        await pilot.press("enter")
        await until(lambda: "before you go to prod" in app.said.log[-1].message, what="the refusal")
        assert isinstance(app.screen, ServicesScreen)
        assert app.session.project == "main"
    assert [server.strays for server in servers.values()] == [[], []]


async def main_in_hand(app: FleetsApp, pilot: Any) -> None:
    """Has the other project be in hand, and the cursor on the row of this one again."""
    before, front = table(app).cursor_key, type(app.screen)
    ours = next(key for key in table(app).keys if key.startswith("main/"))
    assert table(app).move_cursor_to(ours)
    await pilot.press("enter")
    await until(lambda: not isinstance(app.screen, front), what="what is opened")
    assert app.session.project == "main"
    await pilot.press("escape")
    await shown(app, front)
    assert table(app).move_cursor_to(before)
    await until_equal(lambda: app.screen.session_at_hand.project, "lab")


async def confirmed(app: FleetsApp, pilot: Any, kind: type, *typed: str) -> None:
    """Says yes to what asks, and leaves what it is followed on once it was sent."""
    await shown(app, kind)
    assert " in lab" in screen_text(app), "where it is done"
    if typed:
        await pilot.press(*typed)
        await until(lambda: app.screen.query_one(Choices).has_focus, what="the answers")
    await pilot.press("right", "enter")
    await shown(app, ApplyScreen)
    await until(lambda: not app.screen._sending, what="the outcome")
    assert header(app).startswith("lab @")
    await pilot.press("escape")


async def test_every_write_goes_to_the_project_of_its_row(tmp_path: Path) -> None:
    servers = {name: ServerOf(name) for name in ("main", "lab")}
    lab, ours = servers["lab"], servers["main"]
    async with dashboard(servers, tmp_path) as (app, pilot):
        await rows_of(app, "main", "lab")
        await at(app, "lab")
        await main_in_hand(app, pilot)
        await pilot.press("e")
        await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
        await pilot.press("4", "enter")
        await until(lambda: app.screen.edit.changed, what="the change")
        await pilot.press("p")
        await shown(app, PlanScreen)
        plan = app.screen._plan
        await confirmed(app, pilot, PlanScreen)
        await shown(app, ServicesScreen)

        await main_in_hand(app, pilot)
        await pilot.press("enter")
        await shown(app, ServiceScreen)
        await pilot.press("u")
        await confirmed(app, pilot, PlanScreen)
        await shown(app, ServiceScreen)
        await pilot.press("b")
        await confirmed(app, pilot, AskScreen)
        await shown(app, ServiceScreen)

        await pilot.press("1")
        await shown(app, FleetsScreen)
        await until(lambda: len(table(app).keys) == 4, what="the fleets")
        assert table(app).move_cursor_to(f"lab/{lab.fleets[0]['id']}")
        await until_equal(lambda: app.screen.session_at_hand.project, "lab")
        await main_in_hand(app, pilot)
        await pilot.press("C")
        await confirmed(app, pilot, AskScreen)
        await shown(app, FleetsScreen)
        assert (lab.told, ours.told) == ([("cordon", "fleet-1", "")], [])

        await main_in_hand(app, pilot)
        await pilot.press("D")
        await confirmed(app, pilot, AskScreen, *"fleet-1", "enter")
        await shown(app, FleetsScreen)

        await pilot.press("2")
        await shown(app, ServicesScreen)
        await at(app, "lab")
        await main_in_hand(app, pilot)
        await pilot.press("D")
        await confirmed(app, pilot, AskScreen)
        await shown(app, ServicesScreen)

        await main_in_hand(app, pilot)
        app.changing.apply(plan)
        assert "This plan is of project lab" in app.said.log[-1].message
    done = ("runs/apply", "runs/apply", "placement/rebalance", "fleets/delete", "runs/stop")
    assert lab.writes == [f"/api/project/lab/{each}" for each in done]
    assert ours.writes == []
    assert (lab.strays, ours.strays) == ([], [])


async def test_what_comes_late_for_a_project_not_in_hand_any_more_is_not_opened(
    tmp_path: Path,
) -> None:
    servers = {name: ServerOf(name) for name in ("main", "lab")}
    async with dashboard(servers, tmp_path) as (app, pilot):
        await rows_of(app, "main", "lab")
        await at(app, "lab")
        held = servers["lab"].hold("/runs/get")
        asked = servers["lab"].asked["runs/get"]
        await pilot.press("D")
        await until(lambda: servers["lab"].asked["runs/get"] > asked, what="the question")
        await at(app, "main")
        assert app.screen.takes_in_hand()
        held.set()
        await until(
            lambda: any("was not opened" in each.message for each in app.said.log),
            what="that it is late",
        )
        assert isinstance(app.screen, ServicesScreen)

        # A quick pair of keys is of the row that the first one goes to.
        await pilot.press("down", "D")
        await shown(app, AskScreen)
        assert "Stop service chat in lab" in screen_text(app)
    assert [server.writes for server in servers.values()] == [[], []]


async def test_one_that_fails_or_is_late_stops_no_other(tmp_path: Path) -> None:
    servers = {name: ServerOf(name) for name in ("late", "main", "audit")}
    async with dashboard(servers, tmp_path, "late") as (app, pilot):
        await rows_of(app, "main", "audit")
        await until(lambda: "late (connecting), main, audit" in header(app), what="which is late")
        servers["audit"].fail = away
        await until(lambda: "audit (stale)" in header(app), what="which one fails")
        await until(lambda: summary(app).startswith("audit: "), what="why")
        await rows_of(app, "main", "audit")
        await at(app, "audit")
        await until(lambda: "audit READ-ONLY" in header(app), what="what guards it")
        assert "edit" not in {title for _, title in app.screen.footer_keys()}
        await pilot.press("e")
        await until(lambda: "read-only" in app.said.log[-1].message, what="the refusal")
        servers["audit"].fail = lambda path: None
        await until(lambda: "audit (" not in header(app), what="that it is there again")

        await at(app, "main")
        await pilot.press("enter")
        await shown(app, ServiceScreen)
        await until(lambda: header(app).startswith("main @"), what="its project")
        await pilot.press("escape")
        await shown(app, ServicesScreen)
        await pilot.press("3")
        await shown(app, ProblemsScreen)
        await until(lambda: {"main", "audit"} >= {key.partition("/")[0] for key in table(app).keys})


async def test_what_is_open_of_one_project_is_left_for_another(tmp_path: Path) -> None:
    servers = {name: ServerOf(name) for name in ("main", "prod")}
    async with dashboard(servers, tmp_path) as (app, pilot):
        await rows_of(app, "main", "prod")
        await pilot.press("enter")
        await shown(app, ServiceScreen)
        assert app.session.project == "main"
        await pilot.press("1")
        await shown(app, FleetsScreen)
        await until(lambda: len({key.partition("/")[0] for key in table(app).keys}) == 2)
        other = next(key for key in table(app).keys if key.startswith("prod/"))
        table(app).move_cursor_to(other)
        await pilot.press("enter")
        await until(lambda: app.session.project == "prod", what="the other project")
        assert [len(stack) for mode, stack in app._screen_stacks.items() if mode == "services"] == [
            1
        ]
        await pilot.press("escape", "2")
        await shown(app, ServicesScreen)

        # A name in a command is of the project of the row under the cursor.
        await at(app, "main")
        await entered(pilot, "services chat")
        await shown(app, ServiceScreen)
        assert app.session.project == "main"


async def test_projects_are_chosen_while_it_runs(tmp_path: Path) -> None:
    servers = {name: ServerOf(name) for name in ("main", "prod")}
    async with dashboard(servers, tmp_path) as (app, pilot):
        await rows_of(app, "main", "prod")
        await entered(pilot, "project prod")
        await until(lambda: header(app).startswith("prod @"), what="that one alone")
        await on_screen(app, ServicesScreen)
        await until(lambda: len(table(app).keys) == 1, what="its rows")
        assert "project" not in {column.key for column in table(app).columns}
        assert "/" not in table(app).keys[0]
        await entered(pilot, "project nosuch,main")
        await until(lambda: "There is no nosuch" in app.said.log[-1].message, what="the refusal")
        await entered(pilot, "project prod,main")
        await rows_of(app, "prod", "main")
        await entered(pilot, "filter project:main")
        await rows_of(app, "main")
        await pilot.press("escape")
        await rows_of(app, "prod", "main")
        await until(lambda: header(app).startswith("prod, main @"), what="both")
