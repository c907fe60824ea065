"""Boxes that ask in small terminals: every answer is in sight, and the text can be scrolled."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App
from textual.containers import VerticalScroll
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from dstack_api_client.edits.base.merging import ConflictError, three_way
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.conflict import ConflictScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_widgets.inputs.choices import Choice, Choices
from dstack_widgets.screen.status_header import KeysFooter
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.service_edits import base
from tests.builders.snapshots import snapshot
from tests.screens import filled
from tests.waiting import until, until_equal

SIZES = [(120, 32), (60, 20), (40, 10), (30, 8)]


class Host(App[None]):
    def was_answered(self) -> None:
        """As the dashboard has it."""

    def show_keys(self) -> None:
        """As the dashboard has it."""


def _conflict() -> ConflictScreen:
    was, theirs = base(), base(priority=7, replicas={"min": 3, "max": 3})
    mine = {**was.spec, "configuration": {**was.configuration, "priority": 9, "port": 9}}
    error = ConflictError(
        "Somebody else changed chat since the edit began (deployment 3, now 4).",
        "Look at both changes and plan again.",
        three_way(was, theirs, mine),
    )
    return ConflictScreen(error)


def _question() -> AskScreen:
    choices = [Choice("keep", "Keep it"), Choice("again", "Edit it again"), Choice("no", "No")]
    lines = [Content(f"line {number}") for number in range(40)]
    return AskScreen("Your changes to the text of chat are not saved", lines, choices)


def _typed() -> AskScreen:
    choices = [Choice("cancel", "Cancel"), Choice("delete", "Delete")]
    lines = [Content(f"instance {number}") for number in range(40)]
    return AskScreen("Delete 40 idle instances of gpu-spot", lines, choices, confirm="gpu-spot")


@pytest.mark.parametrize("size", SIZES)
async def test_every_answer_is_in_sight(size: tuple[int, int]) -> None:
    app = Host()
    async with app.run_test(size=size) as pilot:
        for make in (_conflict, _question, _typed):
            await _answers_in_sight(app, pilot, make())


async def test_a_question_without_a_text_has_no_lines_for_one() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        choices = [Choice("stay", "Stay"), Choice("quit", "Quit")]
        await app.push_screen(AskScreen("Quit", [], choices))
        await pilot.pause()
        box = app.screen.query_one("#box")
        title, answers = app.screen.query_one("#title"), app.screen.query_one(Choices)
        await until_equal(lambda: answers.region.y - title.region.bottom, 1)
        assert box.region.height == answers.region.bottom - box.region.y + 2


async def _answers_in_sight(app: Host, pilot: Pilot[None], screen: Screen[Any]) -> None:
    app.push_screen(screen)
    await until(lambda: screen.is_active and screen.query(Choices), what="the box")
    choices = screen.query_one(Choices)
    text = screen.query_one(screen.text_of_box, VerticalScroll)  # type: ignore[attr-defined]

    def in_sight() -> bool:
        whole = choices.region.height == choices.height_at(choices.size.width)
        return whole and screen.region.contains_region(choices.region) and text.size.height > 0

    await until(in_sight, what=f"the answers: {choices.region} in {screen.region}")
    shown = choices.render().plain
    for choice in choices._choices:
        assert choice.title[:12] in shown
    if text.max_scroll_y:
        await until(lambda: screen.takes_keys, what="the guard")  # type: ignore[attr-defined]
        await pilot.press("down")
        await until_equal(lambda: text.scroll_offset.y, 1)
    app.pop_screen()


async def test_a_box_follows_the_terminal() -> None:
    app = Host()
    async with app.run_test(size=(120, 32)) as pilot:
        screen = _conflict()
        app.push_screen(screen)
        await until(lambda: screen.is_active and screen.query(Choices), what="the box")
        choices = screen.query_one(Choices)
        await until(lambda: choices.region.height == 1, what="one line")
        await pilot.resize_terminal(40, 10)
        await until(lambda: choices.region.height == 3, what="a line each")
        await until(lambda: screen.region.contains_region(choices.region), what="all in sight")


def _keys(app: FleetsApp) -> str:
    """The line of keys of the screen behind all boxes, without blanks around it."""
    behind = next(screen for screen in reversed(app.screen_stack) if not screen.is_modal)
    return str(behind.query_one(KeysFooter).render()).strip()


async def test_behind_a_box_stand_the_keys_of_the_box() -> None:
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=(120, 30)) as pilot:
        await filled(app)
        await until(lambda: "open  e edit" in _keys(app), what="the keys of the list")
        of_list = _keys(app)
        assert of_list.endswith("? help")
        await pilot.press("question_mark")
        await until_equal(lambda: _keys(app), "esc close")
        await pilot.press("escape")
        await until_equal(lambda: _keys(app), of_list)
        app.push_screen(_typed())
        await until_equal(lambda: _keys(app), "esc cancel")
        await until(lambda: isinstance(app.screen.focused, Input), what="the field")
        choices = app.screen.query_one(Choices)
        assert "[" not in choices.render().plain
        choices.focus()
        await until_equal(lambda: _keys(app), "←→ choose  ⏎ take  esc cancel")
        await until(lambda: "[ " in choices.render().plain, what="the answer that Enter takes")
        app.push_screen(PickScreen("Sort by", [("name", "")]))
        await until_equal(lambda: _keys(app), "↑↓ choose  ⏎ take  esc cancel")
        app.pop_screen()
        await until_equal(lambda: _keys(app), "←→ choose  ⏎ take  esc cancel")
        app.pop_screen()
        await until_equal(lambda: _keys(app), of_list)
        await pilot.press("ctrl+p")
        await until_equal(lambda: _keys(app), "↑↓ choose  ⏎ take  esc close")
