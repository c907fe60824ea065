"""Text of a log that the mouse selects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen

from dstack_widgets.logs.log_lines import LogLines
from dstack_widgets.screen.lean_screen import LeanScreen
from tests.waiting import until, until_equal

START = datetime(2026, 3, 14, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Given:
    text: str
    at: datetime
    left_out: bool = False


def given(*texts: str) -> list[Given]:
    return [Given(text, START + timedelta(seconds=at)) for at, text in enumerate(texts)]


class LogApp(App[None]):
    def get_default_screen(self) -> Screen[Any]:
        return LeanScreen()

    def compose(self) -> ComposeResult:
        yield LogLines(lambda _: [("14:00 ", "dim")])

    @property
    def log_lines(self) -> LogLines:
        return self.query_one(LogLines)


async def drag(pilot: Pilot[Any], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.mouse_down(LogLines, offset=start)
    await pilot.hover(LogLines, offset=end)
    await pilot.mouse_up(LogLines, offset=end)


async def test_dragging_selects_lines_however_they_are_broken_and_they_stay() -> None:
    app = LogApp()
    async with app.run_test(size=(30, 6)) as pilot:
        log = app.log_lines
        lines = given("first", "one two three four five six seven", "last")
        log.show(lines)
        await until(lambda: "seven" in log.render_line(2).text, what="three lines in four rows")
        await drag(pilot, (8, 1), (12, 3))
        selected = "one two three four five six seven\n14:00 last"
        await until_equal(app.screen.get_selected_text, selected)
        assert log.entry == lines[-1], "the end of a selection goes nowhere"
        log.show(given("first", lines[1].text, "last", *map(str, range(9))))
        await until_equal(lambda: len(log.passing), 12)
        assert app.screen.get_selected_text() == selected, "it does not follow meanwhile"

        # Where lines move, nothing that was not chosen is copied.
        log.action_last()
        await until_equal(app.screen.get_selected_text, None)
        assert log.is_following

        log.wrap(wraps=False)
        log.action_first()
        await until(lambda: "first" in log.render_line(0).text, what="the first line")
        await drag(pilot, (8, 1), (29, 1))
        await until_equal(app.screen.get_selected_text, "one two three four fi")
        await pilot.click(LogLines, offset=(3, 0))
        await until_equal(lambda: log.entry, lines[0])
        assert not app.screen.get_selected_text()
