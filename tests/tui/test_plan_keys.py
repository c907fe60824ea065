"""From a plan to its replicas by single keys, and what the footer says of them."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Static

from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from dstack_widgets.screen.status_header import KeysFooter
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.changing_dashboard import applied_before, dashboard, in_front, shown
from tests.builders.changing_server import ChangingServer
from tests.builders.fleet_edit_looks import EDITS, SHOT, plan, planning
from tests.screens import screen_text
from tests.waiting import until


def footer(app: FleetsApp) -> str:
    return str(app.screen.query_one(KeysFooter).render())


async def test_y_applies_and_the_keys_after_it_lead_on(tmp_path: Path) -> None:
    server = ChangingServer()
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("u")
        await shown(app, PlanScreen)
        assert "←→ choose  ⏎ take" in footer(app)
        assert "y apply  w save" in footer(app)
        await pilot.press("slash", *"replicas", "enter", "n", "N")
        await until(lambda: "/replicas  1 of " in screen_text(app), what="what is found")
        await pilot.press("escape")
        await until(lambda: "/replicas" not in screen_text(app), what="the end of the search")
        assert isinstance(app.screen, PlanScreen)
        await pilot.press("y")
        await shown(app, ApplyScreen)
        text = app.screen.query_one("#text", Static)
        untouched = "no restart: 1 of 1 untouched"
        await until(lambda: untouched in str(text.content), what="what became of it")
        assert all(f"{key} " in footer(app) for key in ("u", "e", "r"))
        await pilot.press("e")
        await shown(app, EditScreen)
        await pilot.press("4", "q")
        await shown(app, AskScreen)
        said = str(app.screen.query_one("#lines Static", Static).content)
        assert said.endswith("The edit of chat is not applied. Its draft is kept.")
        app.screen.action_first()
        await shown(app, EditScreen)
        await pilot.press("escape")
        await shown(app, ApplyScreen)
        await pilot.press("r")
        await until(
            lambda: in_front(app, ServiceScreen) and app.screen.view == "replicas",
            what="the replicas",
        )


async def test_y_goes_around_no_name_that_has_to_be_typed() -> None:
    settings = Settings(projects={"main": ProjectValues(protected=True)})
    app = app_on(GivenFeed(live(SHOT)), settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await planning(plan(EDITS["changed"]))(pilot)
        screen = app.screen
        assert isinstance(screen, PlanScreen)
        await until(lambda: screen.takes_keys, what="the guard")
        assert "y apply" not in footer(app)
        screen.action_do("apply")
        await pilot.pause()
        assert app.screen is screen


async def test_what_is_known_stands_there_before_it_is_looked_at(tmp_path: Path) -> None:
    server = ChangingServer()
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("u")
        await shown(app, PlanScreen)
        server.hold("/events/list")
        await pilot.press("y")
        await shown(app, ApplyScreen)
        await until(lambda: "on its way" in screen_text(app), what="how far it has come")
        assert "no restart: 1 of 1 untouched" in screen_text(app)
