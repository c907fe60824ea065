"""Texts that somebody typed: used, kept or discarded, and never lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Static, TextArea

from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.edit.text import TextScreen, Written
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_widgets.inputs.choices import Choices
from tests.builders.changing_dashboard import dashboard, settled, shown
from tests.builders.changing_server import ChangingServer
from tests.waiting import until

REFUSED = {"detail": [{"msg": "Access denied", "code": "forbidden"}]}
#: Text that the server does not accept.
BAD = "# mine\nno list of names"


@pytest.fixture
def server() -> ChangingServer:
    return ChangingServer()


@pytest.fixture(autouse=True)
def no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


async def _editor(app: FleetsApp, pilot: Pilot[int]) -> EditScreen:
    await pilot.press("e")
    await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
    screen = app.screen
    assert isinstance(screen, EditScreen)
    return screen


async def _text_area(app: FleetsApp, pilot: Pilot[int]) -> TextArea:
    await pilot.press("E")
    await shown(app, TextScreen)
    return app.screen.query_one(TextArea)


async def _answer(app: FleetsApp, pilot: Pilot[int], key: str) -> str:
    """Answers a box; gives what it says."""
    await shown(app, AskScreen)
    choices = app.screen.query_one(Choices)
    said = " ".join(
        str(each.content) for each in app.screen.query(Static) if isinstance(each.content, Content)
    )
    while choices.current != key:
        before = choices.current
        await pilot.press("right")
        await until(lambda before=before: choices.current != before, what="the next answer")
    await pilot.press("enter")
    return said


async def test_escape_after_typing_asks_and_the_text_is_there_again(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await _editor(app, pilot)
        area = await _text_area(app, pilot)
        area.text = f"{area.text}# mine"
        await pilot.press("escape")
        said = await _answer(app, pilot, "keep")
        assert "Your changes to the text of chat are not saved" in said
        await shown(app, EditScreen)

        area = await _text_area(app, pilot)
        assert area.text.endswith("# mine")
        await pilot.press("escape")
        await _answer(app, pilot, "again")
        await shown(app, TextScreen)
        assert app.screen.query_one(TextArea).text.endswith("# mine")
        await pilot.press("escape")
        await _answer(app, pilot, "discard")
        await shown(app, EditScreen)

        area = await _text_area(app, pilot)
        assert "# mine" not in area.text
        await pilot.press("escape")
        await until(lambda: app.said.log, what="that nothing was changed")
        await shown(app, EditScreen)


async def test_a_text_that_was_refused_is_not_lost(server: ChangingServer, tmp_path: Path) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        screen = await _editor(app, pilot)
        area = await _text_area(app, pilot)
        first, original = app.screen, area.text
        area.text = BAD
        await pilot.press("ctrl+s")
        await until(lambda: isinstance(app.front, TextScreen) and app.front is not first)
        await shown(app, TextScreen)
        assert app.screen.query_one(TextArea).text.startswith("# ! The text is not a list")
        await pilot.press("escape")
        await _answer(app, pilot, "keep")
        await shown(app, EditScreen)

        area = await _text_area(app, pilot)
        assert area.text.endswith(f"{BAD}\n")
        area.text = original.replace("priority: 0", "priority: 7")
        await pilot.press("ctrl+s")
        await until(lambda: screen.edit is not None and screen.edit.changed, what="the edit")
        assert app.changing.texts.unused == ()


@pytest.mark.parametrize("used", [True, False])
async def test_a_text_whose_screen_was_left_is_kept_and_opens_nothing(
    server: ChangingServer, tmp_path: Path, used: bool
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await _editor(app, pilot)
        area = await _text_area(app, pilot)
        area.text = BAD
        app.screen.answer(Written(area.text, used))
        app.do_fleets("")
        await until(lambda: not [w for w in app.workers if w.group == "changing"])
        await settled(app, pilot)
        assert isinstance(app.front, FleetsScreen)
        assert app.changing.texts.unused == ("chat",)


async def test_a_text_is_not_edited_again_where_its_screen_was_left(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await _editor(app, pilot)
        area = await _text_area(app, pilot)
        area.text = BAD
        await pilot.press("escape")
        await shown(app, AskScreen)
        app.screen.answer("again")
        app.do_fleets("")
        await until(lambda: not [w for w in app.workers if w.group == "changing"])
        await settled(app, pilot)
        assert isinstance(app.front, FleetsScreen)
        assert app.changing.texts.unused == ("chat",)


@pytest.mark.parametrize("what", ["cloud", "file", "fleet"])
async def test_what_was_picked_on_a_screen_that_was_left_is_dropped(
    server: ChangingServer, tmp_path: Path, what: str
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("1")
        await shown(app, FleetsScreen)
        await until(lambda: app.snapshot.fleets, what="the fleet")
        fleets = app.fleet_changes
        if what == "fleet":
            fleets.delete_some(next(iter(app.snapshot.fleets.values())), ())
        else:
            fleets.new("")
        await shown(app, PickScreen)
        app.screen.answer(what)
        app.show_help("fleets")
        await shown(app, HelpScreen)
        await settled(app, pilot)
        assert [type(each) for each in app.screen_stack] == [FleetsScreen, HelpScreen]
        assert not [w for w in app.workers if w.group == "changing"]


async def test_a_text_that_is_being_read_outlives_what_takes_its_place(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await _editor(app, pilot)
        area = await _text_area(app, pilot)
        area.text = area.text.replace("priority: 0", "priority: 7")
        event = server.hold("runs/get_plan")
        await pilot.press("ctrl+s")
        await until(lambda: server.asked["runs/get_plan"], what="the question")
        await pilot.press("escape")
        app.changing.undo("chat")
        event.set()
        server.held.clear()
        await until(lambda: not [w for w in app.workers if w.group == "changing"])
        await _editor(app, pilot)
        assert "priority: 7" in (await _text_area(app, pilot)).text


async def test_quitting_asks_first(server: ChangingServer, tmp_path: Path) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await _editor(app, pilot)
        area = await _text_area(app, pilot)
        area.text = f"{area.text}# mine"
        await pilot.press("ctrl+q")
        said = await _answer(app, pilot, "stay")
        assert "Your changes to the text of chat are not saved." in said
        await shown(app, TextScreen)
        await pilot.press("escape")
        await _answer(app, pilot, "keep")
        await shown(app, EditScreen)
        app.do_quit("")
        app.do_quit("")
        await shown(app, AskScreen)
        await settled(app, pilot)
        assert sum(isinstance(each, AskScreen) for each in app.screen_stack) == 1
        await _answer(app, pilot, "quit")
        await until(lambda: app.return_code == 0, what="the end")


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the editor: a shell script that gets the file as $1."""
    script = tmp_path / "editor.sh"
    monkeypatch.setenv("EDITOR", f"sh {script}")

    @contextmanager
    def suspended(app: FleetsApp) -> Iterator[None]:
        yield

    monkeypatch.setattr(FleetsApp, "suspend", suspended)

    def write(text: str) -> None:
        script.write_text(text)

    return write


async def test_an_editor_that_ends_with_an_error_loses_nothing(
    server: ChangingServer, tmp_path: Path, editor: Callable[[str], None]
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        screen = await _editor(app, pilot)
        editor('echo "# mine" >> "$1"; exit 3')
        await pilot.press("E")
        said = await _answer(app, pilot, "keep")
        assert "sh ended with status 3." in said
        await shown(app, EditScreen)
        editor('grep -q mine "$1" && sed -i "s/priority: 0/priority: 7/" "$1"')
        await pilot.press("E")
        await until(lambda: screen.edit is not None and screen.edit.changed, what="the edit")
        assert screen.edit is not None
        assert screen.edit.configuration["priority"] == 7

        editor("exit 3")
        await pilot.press("E")
        await until(
            lambda: any("The text was not changed" in n.message for n in app.said.log),
            what="that nothing was changed",
        )
        assert app.front is screen


async def test_an_editor_that_leaves_a_refused_text_alone_is_asked(
    server: ChangingServer, tmp_path: Path, editor: Callable[[str], None]
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        await _editor(app, pilot)
        editor('grep -q "no list" "$1" || echo "no list of names" > "$1"')
        await pilot.press("E")
        await _answer(app, pilot, "keep")
        await shown(app, EditScreen)
        assert app.changing.texts.unused == ("chat",)


async def test_a_new_fleet_is_kept_until_it_is_applied(
    server: ChangingServer, tmp_path: Path
) -> None:
    file = tmp_path / "pond.dstack.yml"
    file.write_text("type: task\nname: pond\nnodes: {min: 0, max: 1}\n")
    async with dashboard(server, tmp_path / "state") as (app, pilot):
        await pilot.press("1")
        await shown(app, FleetsScreen)
        for _ in range(2):
            app.fleet_changes.new(str(file))
            await shown(app, TextScreen)
            area = app.screen.query_one(TextArea)
            area.text = area.text.replace("type: task", "type: fleet")
            await pilot.press("ctrl+s")
            await shown(app, PlanScreen)
            await pilot.press("escape")
            await shown(app, FleetsScreen)
            assert app.changing.texts.unused == (str(file),)
        server.faults["/fleets/get"] = lambda request: httpx.Response(403, json=REFUSED)
        app.fleet_changes.new(str(file))
        await shown(app, TextScreen)
        await pilot.press("ctrl+s")
        await shown(app, PlanScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until(lambda: app.screen._failed, what="the refusal")
        assert app.changing.texts.unused == (str(file),), "it was not made"
        assert not server.writes
        server.faults.clear()
        await pilot.press("escape")
        await shown(app, FleetsScreen)
        app.changing.texts.discard(str(file))
        server.fail = lambda path: httpx.Response(500) if "get_plan" in path else None
        file.write_text("type: fleet\nname: pond\nnodes: {min: 0, max: 1}\n")
        app.fleet_changes.new(str(file))
        await shown(app, TextScreen)
        await pilot.press("escape")
        await until(lambda: app.said.log, what="that nothing was changed")
        assert app.changing.texts.unused == ()


async def test_a_change_that_could_not_be_sent_is_planned_again_with_a_key(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        screen = await _editor(app, pilot)
        edit = screen.edit
        assert edit is not None
        screen._change(edit.with_priority(7))
        await pilot.press("p")
        await shown(app, PlanScreen)

        def gone(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        server.faults["/runs/get"] = gone
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        applying = app.screen
        assert isinstance(applying, ApplyScreen)
        await until(lambda: applying._failed, what="that it failed")
        assert not server.writes
        server.faults.clear()
        await pilot.press("p")
        await shown(app, PlanScreen)
        await pilot.press("right", "enter")
        await until(lambda: server.writes == ["/api/project/main/runs/apply"], what="the change")


async def test_the_editor_of_a_service_that_was_stopped_says_so(
    server: ChangingServer, tmp_path: Path
) -> None:
    async with dashboard(server, tmp_path) as (app, pilot):
        screen = await _editor(app, pilot)
        assert screen.edit is not None
        screen._change(screen.edit.with_replicas("0", 4))
        follows = screen.query_one("#follows", Static)
        await until(lambda: "stay 1" in str(follows.content), what="what would follow")
        server.runs[0]["status"] = "terminating"
        await until(
            lambda: "The service chat is terminating." in str(follows.content), what="its end"
        )
        assert "stay 1" not in str(follows.content)
        assert "The draft is kept." in str(follows.content)
        server.runs[0]["status"] = "running"
        assert screen.edit is not None
        screen._change(screen.edit.with_replicas("0", 1))
        await until(lambda: "terminating" not in str(follows.content), what="what would follow")
        server.runs[0]["status"] = "terminating"
        await until(
            lambda: "The service chat is terminating." in str(follows.content), what="its end"
        )
        assert "draft" not in str(follows.content), "nothing was edited"
