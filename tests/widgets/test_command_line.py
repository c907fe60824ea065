from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult
from textual.message import Message
from textual.widgets import Input

from dstack_widgets.inputs.command_line import CommandLine, FilterLine
from dstack_widgets.table.live_table import Column, LiveTable
from tests.waiting import until, until_equal

COMMANDS = ["fleets", "service chat-7b", "service chat-70b", "services", "[red]quit"]


def complete(text: str) -> Sequence[str]:
    return [each for each in COMMANDS if each.startswith(text)]


class LineApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def compose(self) -> ComposeResult:
        yield LiveTable([Column("a", "A")])
        yield CommandLine(complete)
        yield FilterLine()

    def on_command_line_submitted(self, message: CommandLine.Submitted) -> None:
        self.messages.append(message)

    def on_command_line_closed(self, message: CommandLine.Closed) -> None:
        self.messages.append(message)

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        self.messages.append(message)

    def on_filter_line_closed(self, message: FilterLine.Closed) -> None:
        self.messages.append(message)

    def said(self) -> list[tuple[str, str]]:
        return [(type(each).__name__, getattr(each, "text", "")) for each in self.messages]

    def lines(self) -> list[str]:
        return [strip.text for strip in self.screen._compositor.render_strips()]


async def test_a_command_is_typed_sent_and_the_focus_comes_back() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        table, line = app.query_one(LiveTable), app.query_one(CommandLine)
        table.focus()
        await pilot.pause()
        assert not line.is_open
        line.open()
        await pilot.press(*"fleets")
        await until(lambda: app.lines()[9].startswith(" :fleets"))
        await pilot.press("enter")
        await pilot.pause()
        await until_equal(lambda: app.said(), [("Submitted", "fleets")])
        assert not line.is_open
        await until(lambda: app.focused is table)


async def test_esc_and_an_empty_command_close_the_line() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(CommandLine)
        line.open("x")
        await pilot.press("escape")
        line.open()
        await pilot.press("space", "enter")
        await pilot.pause()
        await until_equal(lambda: app.said(), [("Closed", ""), ("Closed", "")])
        await until_equal(lambda: line.history, ())


async def test_tab_goes_through_the_candidates() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(CommandLine)
        line.open()
        await pilot.press("s")
        await pilot.pause()
        await until_equal(
            lambda: app.lines()[8].split("  ")[:4],
            [" service chat-7b", "service chat-70b", "services", ""],
        )
        first, second, third = COMMANDS[1:4]
        for key, text in (
            ("tab", first),
            ("tab", second),
            ("tab", third),
            ("tab", first),
            ("shift+tab", third),
        ):
            await pilot.press(key)
            await until_equal(lambda: line.text, text)
        # With no candidate, the key does nothing.
        await pilot.press("x", "tab")
        await until_equal(lambda: line.text, "servicesx")


async def test_the_first_candidate_is_a_shadow_that_right_takes() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(CommandLine)
        line.open()
        await pilot.press("f", "l")
        shadow = app.query_one(CommandLine).query_one(Input)
        await until(lambda: shadow._suggestion == "fleets", what="the shadow")
        await pilot.press("right")
        await until_equal(lambda: line.text, "fleets")


async def test_candidates_are_literal() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(CommandLine)
        line.open()
        await pilot.press("[", "tab")
        await pilot.pause()
        await until(lambda: app.lines()[9].startswith(" :[red]quit"))


async def test_the_arrow_keys_go_through_the_history_and_back() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(CommandLine)
        for text in ("one", "two", "two"):
            line.open(text)
            await pilot.press("enter")
        await until_equal(lambda: line.history, ("one", "two"))
        line.open()
        await pilot.press("d")
        for key, text in (
            ("up", "two"),
            ("up", "one"),
            ("up", "one"),
            ("down", "two"),
            ("down", "d"),
            ("down", "d"),
        ):
            await pilot.press(key)
            await until_equal(lambda: line.text, text)


async def test_a_filter_works_while_it_is_typed_and_enter_keeps_it() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(FilterLine)
        line.open()
        await pilot.press("g", "p", "backspace", "enter")
        await pilot.pause()
        await until_equal(
            lambda: app.said(),
            [("Changed", "g"), ("Changed", "gp"), ("Changed", "g"), ("Closed", "g")],
        )
        await until(lambda: not line.is_open)


async def test_esc_gives_the_filter_up() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)) as pilot:
        line = app.query_one(FilterLine)
        line.open("gpu")
        await pilot.pause()
        assert app.said() == []
        await pilot.press("escape")
        await pilot.pause()
        await until_equal(lambda: app.said(), [("Changed", ""), ("Closed", "")])
        await until(lambda: app.focused is not line.query_one(Input))


async def test_the_cursor_does_not_blink() -> None:
    app = LineApp()
    async with app.run_test(size=(60, 10)):
        assert not any(each.cursor_blink for each in app.query(Input))
