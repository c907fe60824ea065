"""Lines that are painted only where they changed, and findings."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.screen import Screen

from dstack_widgets.drawing.glyphs import ASCII
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.findings import Finding, Findings, finding_lines
from dstack_widgets.panels.flow import Flow
from dstack_widgets.screen.lean_screen import LeanScreen
from tests.builders.terminal_driver import Terminal
from tests.painting import all_painted


class Padded(App[None]):
    """Both kinds of lines, as far from the edge as the dashboard has them."""

    CSS = "Flow, Findings { padding: 0 1; }"

    def __init__(self, screen: type[Screen[None]]) -> None:
        super().__init__(driver_class=Terminal)
        self.screen_type = screen

    def get_default_screen(self) -> Screen[None]:
        return self.screen_type(id="_default")

    def compose(self) -> ComposeResult:
        yield Flow()
        yield Findings()

    @property
    def terminal(self) -> Terminal:
        assert isinstance(self._driver, Terminal)
        return self._driver

    def show(self, number: int) -> None:
        self.query_one(Flow).show([literal(f"{number} of 9"), literal("ready")])
        self.query_one(Findings).show([Finding("bad", "gpu", f"{number} fell back")])


@pytest.mark.parametrize("screen", [Screen, LeanScreen])
async def test_a_changed_character_reaches_the_terminal_and_little_else(screen):
    app = Padded(screen)
    async with app.run_test(size=(60, 10), headless=False) as pilot:
        app.show(1)
        await all_painted(app, pilot)
        before = app.terminal.written
        app.show(2)
        await all_painted(app, pilot)
        lines = [line.rstrip() for line in app.terminal.lines[:2]]
        assert lines == [" 2 of 9   ready", " ✗ gpu  2 fell back"]
        assert app.terminal.written - before < 250
        before = app.terminal.written
        app.show(2)
        await all_painted(app, pilot)
        assert app.terminal.written == before


FINDINGS = [
    Finding("bad", "gpu-reserved", "one two three four five six"),
    Finding("warn", "", "seven"),
    Finding("dim", "", "eight"),
]


def plain(*args, **kwargs):
    return [line.plain.rstrip() for line in finding_lines(*args, **kwargs)]


def test_findings_wrap_behind_their_marks():
    assert plain(FINDINGS, 24) == [
        "✗ gpu-reserved  one two",
        "  three four five six",
        "! seven",
        "· eight",
    ]
    assert plain(FINDINGS[2:], 24, glyphs=ASCII) == ["- eight"]


def test_what_has_no_room_is_counted_and_the_loudest_stays():
    assert plain(FINDINGS, 24, 4) == plain(FINDINGS, 24)
    assert plain(FINDINGS, 24, 3) == [
        "✗ gpu-reserved  one two",
        "  three four five six",
        "  … and 2 more",
    ]
    assert plain(FINDINGS, 24, 2) == ["✗ gpu-reserved  one two", "  … and 2 more"]
    assert plain(FINDINGS, 24, 1) == ["  … and 3 more"]
    assert plain(FINDINGS, 24, 0) == []
    assert plain(FINDINGS[:1], 24, 1) == ["  … and 1 more"]
