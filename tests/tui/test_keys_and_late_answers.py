"""Keys pressed quickly, and answers that come late: one answer to each question, at its place."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.command import Command, CommandList, CommandPalette
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen

from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.actions.actions import BY_ID
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.conflict import ConflictScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.edit.text import TextScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.parts import questions
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.trouble import TroubleScreen
from dstack_widgets.inputs.choices import Choice, Choices
from dstack_widgets.screen.lean_screen import LeanScreen
from tests.builders.changing_dashboard import (
    applied_before,
    dashboard,
    in_front,
    settled,
    shown,
    storm,
)
from tests.builders.changing_server import ChangingServer
from tests.waiting import until, until_equal


@pytest.fixture
def server() -> ChangingServer:
    return ChangingServer()


@pytest.mark.parametrize("times", [2, 4, 9])
async def test_enter_pressed_quickly_applies_once(
    server: ChangingServer, tmp_path: Path, times: int
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("u")
        await shown(app, PlanScreen)
        storm(app, "right", *["enter"] * times)
        await until(lambda: server.writes, what="the change")
        await settled(app, pilot)
        assert server.writes == ["/api/project/main/runs/apply"]
        assert [type(each) for each in app.screen_stack[-2:]] == [ServiceScreen, ApplyScreen]


async def test_enter_pressed_quickly_deletes_once(server: ChangingServer, tmp_path: Path) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("1")
        await shown(app, FleetsScreen)
        await until(lambda: app.screen.table.row_count, what="the fleet")
        await pilot.press("D")
        await shown(app, AskScreen)
        await pilot.press(*"fleet-1", "enter")
        await until(lambda: app.screen.query_one(Choices).has_focus, what="the answers")
        storm(app, "right", *["enter"] * 4)
        await until(lambda: server.writes, what="the deletion")
        await settled(app, pilot)
        assert server.writes == ["/api/project/main/fleets/delete"]


async def test_a_box_is_closed_once_and_nothing_behind_it(
    server: ChangingServer, tmp_path: Path
) -> None:
    """Popping once for each key would leave the service, the list and the dashboard."""
    async with dashboard(server, tmp_path) as (app, pilot):
        for key in ("enter", "escape", "q"):
            await pilot.press("question_mark")
            await shown(app, HelpScreen)
            storm(app, *[key] * 5)
            await shown(app, ServiceScreen)
            await settled(app, pilot)
            assert in_front(app, ServiceScreen), key


VIEWS = [view for view in ServiceScreen.views if view not in ("router", "distribution")]


async def test_a_view_is_shown_though_its_key_came_before_the_screen_was_there(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        for view in VIEWS:
            app.open_service(server.runs[0]["id"])
            screen = app.front
            assert isinstance(screen, ServiceScreen)
            assert not screen.is_mounted
            storm(app, BY_ID[view].keys[0])
            await settled(app, pilot)
            await until(
                lambda screen=screen, view=view: screen.is_active and screen.view == view,
                what=view,
            )


async def test_no_key_comes_too_early_for_a_screen(server: ChangingServer, tmp_path: Path) -> None:
    early = ("filter", "sort", "reverse", "back", "command", "view", "view_back", "wrong", "open")
    async with dashboard(server, tmp_path) as (app, pilot):
        for action_id in early:
            screen = ServiceScreen(server.runs[0]["id"])
            app.push_screen(screen)
            assert not screen.is_mounted
            storm(app, BY_ID[action_id].keys[0])
            await until(lambda screen=screen: screen.is_mounted, what=action_id)
        await settled(app, pilot)


def test_a_key_may_come_while_an_editor_has_no_fields_yet_or_no_more() -> None:
    screen = EditScreen("chat", "run-1")
    screen._is_mounted = True
    assert screen.check_action("do", ("back",))


async def test_what_is_typed_while_an_editor_reads_waits_for_the_fields(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        release = server.hold("runs/get")
        await pilot.press("e")
        await shown(app, EditScreen)
        editor = app.screen
        assert isinstance(editor, EditScreen)
        await pilot.press("4", "p")
        release.set()
        await shown(app, PlanScreen)
        assert editor.edit is not None
        assert editor.edit.changed
        assert not server.writes


async def test_esc_leaves_an_editor_that_reads_and_takes_no_key_along(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        release = server.hold("runs/get")
        await pilot.press("e")
        await shown(app, EditScreen)
        await pilot.press("4", "escape")
        await shown(app, ServiceScreen)
        release.set()
        await pilot.press("e")
        await until(
            lambda: isinstance(app.screen, EditScreen) and app.screen.edit is not None,
            what="the fields",
        )
        assert isinstance(app.screen, EditScreen)
        assert app.screen.edit is not None
        assert not app.screen.grid.is_typing
        assert not app.screen.edit.changed


async def test_what_is_typed_before_a_draft_is_offered_goes_into_neither(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("e", "4", "enter")
        await until(lambda: isinstance(app.screen, EditScreen) and app.screen.open_work != "")
        await pilot.press("escape")
        await shown(app, ServiceScreen)
        release = server.hold("runs/get")
        await pilot.press("e")
        await shown(app, EditScreen)
        editor = app.screen
        await pilot.press("5", "p")
        release.set()
        await shown(app, AskScreen)
        assert isinstance(editor, EditScreen)
        assert not editor.grid.is_typing
        await until(lambda: "What was typed meanwhile" in str([*app.said.log]), what="the reason")


async def test_a_plan_is_cancelled_once(server: ChangingServer, tmp_path: Path) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        for key in ("enter", "escape"):
            await pilot.press("u")
            await shown(app, PlanScreen)
            storm(app, *[key] * 5)
            await shown(app, ServiceScreen)
            await settled(app, pilot)
            assert in_front(app, ServiceScreen), key
            assert not server.writes


async def test_what_was_typed_before_a_box_was_drawn_answers_nothing(
    server: ChangingServer, tmp_path: Path
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        storm(app, "u")
        await until(lambda: isinstance(app.front, PlanScreen), what="the plan")
        storm(app, "right", "enter")
        await shown(app, PlanScreen)
        assert app.screen.query_one(Choices).current == "cancel"
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
    assert len(server.writes) == 1


async def test_a_key_counts_only_a_moment_after_the_plan_was_drawn() -> None:
    screen = AskScreen("Really?", (), (Choice("no", "No"),))
    assert not screen.takes(1e9), "it was not drawn"
    screen._drawn_at = 10.0
    assert not screen.takes(9.9)
    assert not screen.takes(10.0 + screen.guard / 2)
    assert screen.takes(10.0 + screen.guard)
    screen._answered = True
    assert not screen.takes(11.0)


async def test_what_comes_late_does_not_open_over_something_else(
    server: ChangingServer, tmp_path: Path
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        for keys in (
            ("escape",),
            ("escape", "e"),
            ("down",),
            ("question_mark",),
            ("d", "enter"),
        ):
            app.open_service(server.runs[0]["id"])
            await shown(app, ServiceScreen)
            asked = server.asked["runs/get"]
            event = server.hold("runs/get")
            await pilot.press("u")
            await until(lambda asked=asked: server.asked["runs/get"] > asked, what="the question")
            await pilot.press(*keys)
            now = app.front
            event.set()
            server.held.clear()
            await until(
                lambda: not [w for w in app.workers if w.group == "changing"], what="the answer"
            )
            await settled(app, pilot)
            assert app.front is now or isinstance(app.front, EditScreen), keys
            opened = [
                each for each in app.screen_stack if isinstance(each, (PlanScreen, AskScreen))
            ]
            assert not opened, keys
            assert not server.writes, keys


async def test_the_question_about_a_deletion_does_not_open_late(
    server: ChangingServer, tmp_path: Path
) -> None:
    """It waits for who borrows the fleet."""
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("1")
        await shown(app, FleetsScreen)
        await until(lambda: app.screen.table.row_count, what="the fleet")
        event = server.hold("exports/list")
        await pilot.press("D")
        await until(lambda: server.asked["exports/list"], what="the question")
        await pilot.press("down")
        event.set()
        said = "The question about deleting fleet-1 is ready and was not opened"
        await until(lambda: [n for n in app.said.log if n.message.startswith(said)])
        assert isinstance(app.front, FleetsScreen)


async def test_a_key_gives_a_sign_while_a_slow_server_is_asked(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        event = server.hold("runs/get")
        await pilot.press("b")
        sign = "Asking what a rebalancing of"
        await until(lambda: [n for n in app.said.log if n.message.startswith(sign)])
        event.set()


async def test_the_sign_goes_when_the_answer_is_there(
    server: ChangingServer, tmp_path: Path
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        event = server.hold("runs/get_plan")
        app.said._clock = lambda: 0.0  # no message goes by itself
        await pilot.press("u")
        sign = "Reading the last change of chat."
        await until(lambda: app.said.current and app.said.current.message == sign)
        event.set()
        await shown(app, PlanScreen)
        await until(lambda: app.said.current is None, what="an empty line")
        assert sign in [each.message for each in app.said.log]


async def test_who_is_still_there_is_told_that_a_plan_was_not_opened(
    server: ChangingServer, tmp_path: Path
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        event = server.hold("runs/get_plan")
        await pilot.press("u")
        await until(lambda: server.asked["runs/get_plan"], what="the question")
        await pilot.press("down")
        event.set()
        await until(lambda: app.said.log, what="the notice")
        (notice,) = app.said.log
        assert notice.message.startswith("The undo of chat is ready and was not opened")
        await pilot.press("u")
        await shown(app, PlanScreen)


async def test_a_question_that_another_takes_the_place_of_at_once_leaves_nothing_behind(
    server: ChangingServer, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, _):
        app.changing.rebalance("chat")
        app.changing.undo("chat")
        await shown(app, PlanScreen)
    gc.collect()
    assert [str(each.message) for each in recwarn if each.category is RuntimeWarning] == []


async def test_a_fleet_that_is_left_at_once_leaves_nothing_behind(
    server: ChangingServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    """What it would read ends before it has begun."""
    run_worker = FleetScreen.run_worker

    def leaves(*arguments: Any, **options: Any) -> Any:
        worker = run_worker(*arguments, **options)
        worker.cancel()
        return worker

    monkeypatch.setattr(FleetScreen, "run_worker", leaves)
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("1")
        await shown(app, FleetsScreen)
        await until(lambda: app.screen.table.row_count, what="the fleet")
        await pilot.press("enter")
        await shown(app, FleetScreen)
    gc.collect()
    assert not server.asked["exports/list"]
    assert [str(each.message) for each in recwarn if each.category is RuntimeWarning] == []


async def found_by_name(app: FleetsApp, pilot: Pilot[int], command: str) -> CommandList:
    """Opens the palette and types the name of a command, until that one alone is listed."""
    await pilot.press("ctrl+p")
    await until(lambda: CommandPalette.is_open(app), what="the palette")
    await pilot.press(*command)
    found = app.screen.query_one(CommandList)

    def listed() -> list[str]:
        # Options are commands, except the one that says that there is none.
        return [each.hit.text for each in found.options if isinstance(each, Command)]

    await until_equal(lambda: (listed(), found.highlighted), ([command.capitalize()], 0))
    return found


@pytest.mark.parametrize("way", ["palette", "command"])
async def test_what_is_asked_for_by_name_opens_too(
    server: ChangingServer, tmp_path: Path, way: str
) -> None:
    await applied_before(server, Store(tmp_path))
    async with dashboard(server, tmp_path) as (app, pilot):
        if way == "palette":
            await found_by_name(app, pilot, "undo")
            await pilot.press("enter")
        else:
            await pilot.press("colon", *"undo", "enter")
        await shown(app, PlanScreen)


@pytest.mark.parametrize("command", ["help", "theme"])
async def test_the_palette_closes_itself_and_not_what_opened_over_it(
    server: ChangingServer, tmp_path: Path, command: str
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        app.changing.texts._kept["text"] = ("chat", "mine")
        found = await found_by_name(app, pilot, command)
        found.action_select()  # as Enter does; the palette takes it in its turn
        app.do_quit("")
        await shown(app, AskScreen)
        await until(
            lambda: not any(isinstance(each, CommandPalette) for each in app.screen_stack),
            what="the palette is closed",
        )
        await settled(app, pilot)
        assert [type(each) for each in app.screen_stack[-2:]] == [ServiceScreen, AskScreen]
        await pilot.press("escape")
        await shown(app, ServiceScreen)


async def test_a_palette_without_room_for_its_list_bears_every_key(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        found = await found_by_name(app, pilot, "undo")
        await pilot.resize_terminal(40, 2)
        await until(lambda: not found.scrollable_content_region, what="no room")
        await pilot.press("pagedown", "pageup", "down", "up", "escape")
        await settled(app, pilot)
        await shown(app, ServiceScreen)


async def test_the_plan_of_an_edit_does_not_open_over_further_typing(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
        await pilot.press("down", "5", "enter")
        await until(lambda: app.screen.edit.changed, what="the change")
        event = server.hold("runs/get_plan")
        await pilot.press("p")
        await until(lambda: server.asked["runs/get_plan"], what="the question")
        await pilot.press("6")
        event.set()
        await until(lambda: not app.screen._planning, what="the plan")
        await settled(app, pilot)
        assert isinstance(app.front, EditScreen)
        await pilot.press("enter")
        await pilot.press("p")
        await shown(app, PlanScreen)


async def test_trouble_waits_until_an_editor_is_left(
    server: ChangingServer, tmp_path: Path
) -> None:
    """The q of a text would end the dashboard there."""
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
        server.fail = lambda path: httpx.Response(401, json={"detail": "no"})
        await until(lambda: app.said.log, what="the notice")
        assert isinstance(app.front, EditScreen)
        await pilot.press("escape")
        await until(lambda: isinstance(app.front, TroubleScreen), what="the trouble")


@pytest.mark.parametrize("box", [AskScreen, PickScreen, ConflictScreen, TextScreen, HelpScreen])
def test_boxes_are_painted_by_the_plain_screen(box: type[Screen[object]]) -> None:
    """What writes only changed cells is for screens that change every second."""
    assert issubclass(box, ModalScreen)
    assert issubclass(box, Asking)
    assert not issubclass(box, LeanScreen)


async def test_a_box_that_was_not_drawn_is_drawn_as_after_a_resize(
    server: ChangingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out: list[object] = []

    def lost(screen: HelpScreen, callback: object) -> bool:
        return True

    def resized(screen: HelpScreen, size: object) -> None:
        laid_out.append(size)

    monkeypatch.setattr(questions, "OVERDUE", 0.05)
    monkeypatch.setattr(HelpScreen, "call_after_refresh", lost)
    monkeypatch.setattr(HelpScreen, "_screen_resized", resized)
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("question_mark")
        await shown(app, HelpScreen)
        assert laid_out[-1] == app.size
        await pilot.press("escape")
        await shown(app, ServiceScreen)


async def test_a_box_is_drawn_whole_each_time(
    server: ChangingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to the terminal has the question in it, without anybody asking for more."""
    written: list[str] = []
    display = FleetsApp._display

    def note(app: FleetsApp, screen: Screen[object], update: RenderableType | None) -> None:
        if isinstance(update, CompositorUpdate):
            written.append(update.render_segments(app.console))
        display(app, screen, update)

    monkeypatch.setattr(FleetsApp, "_display", note)
    async with server.client() as client:
        base = await read_service(client, "main", "chat")
    configuration = {**base.configuration, "priority": 5}
    Store(tmp_path).keep_draft(base, {**base.spec, "configuration": configuration})
    async with dashboard(server, tmp_path) as (app, pilot):
        for _ in range(5):
            written.clear()
            await pilot.press("e")
            await until(lambda: "A draft of chat is kept" in "".join(written), what="the box")
            await shown(app, AskScreen)
            storm(app, "escape")
            await until(lambda: isinstance(app.front, EditScreen), what="the editor")
            await pilot.press("escape")
            await shown(app, ServiceScreen)
