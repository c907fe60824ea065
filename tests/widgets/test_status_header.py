from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from textual.app import App, ComposeResult

from dstack_widgets.drawing.glyphs import ASCII
from dstack_widgets.inputs.command_line import CommandLine
from dstack_widgets.screen.status_header import (
    HeaderState,
    KeysFooter,
    StatusHeader,
    Tab,
    TabsLine,
    age_text,
    connection_text,
    header_parts,
    keys_line,
)
from tests.builders.widget_gallery import Gallery
from tests.waiting import until_equal

NOW = datetime(2026, 1, 2, 14, 2, 31)
LIVE = HeaderState(
    "main", "dstack.acme.io", NOW, "live", NOW - timedelta(seconds=1), "0.22.5", "placement 1.0"
)
KEYS = [("enter", "open"), ("e", "edit"), ("/", "filter"), ("?", "help"), ("q", "quit")]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "live 1 s"),
        ({"observed_at": NOW - timedelta(minutes=3)}, "live 3 min"),
        ({"observed_at": NOW + timedelta(seconds=5)}, "live 0 s"),
        ({"connection": "stale"}, "stale since 14:02:30"),
        ({"connection": "late"}, "late since 14:02:30"),
        (
            {"connection": "unreachable", "observed_at": NOW - timedelta(days=1)},
            "unreachable since 2026-01-01 14:02",
        ),
        ({"connection": "unauthorised"}, "unauthorised"),
        ({"connection": "paused"}, "paused since 14:02:30"),
        ({"connection": "connecting"}, "connecting"),
        ({"connection": "stale", "observed_at": None}, "stale"),
    ],
)
def test_the_state_comes_with_an_age(change: dict[str, Any], text: str) -> None:
    assert connection_text(replace(LIVE, **change)) == text


def test_ages() -> None:
    assert [age_text(each) for each in (-1, 59.9, 60, 3_600, 90_000)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "1 d",
    ]


@pytest.mark.parametrize(
    ("width", "left", "right"),
    [
        (80, " main @ dstack.acme.io  0.22.5 - placement 1.0", "live 1 s - 14:02:31 "),
        (60, " main @ dstack.acme.io  0.22.5", "live 1 s - 14:02:31 "),
        (45, " main @ dstack.acme.io  0.22.5", "live 1 s "),
        (36, " main @ dstack.acme.io", "live 1 s "),
        (24, " main @ dsta~", "live 1 s "),
        (9, "", "live 1 s "),
    ],
)
def test_the_less_important_goes_first(width: int, left: str, right: str) -> None:
    found = header_parts(LIVE, width, ASCII)
    assert (found[0].plain, found[1].plain) == (left, right)


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, " enter open  e edit  / filter  q quit  ? help"),
        (30, " enter open  e edit  ? help"),
        (5, " ? help"),
    ],
)
def test_as_many_keys_as_there_is_room_for_and_always_help(width: int, text: str) -> None:
    assert keys_line(KEYS, width).plain == text


class LinesApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.clicked: list[str] = []

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield TabsLine([Tab("1", "Fleets"), Tab("2", "Services", "2!")], "1")
        yield KeysFooter(KEYS)

    def on_tabs_line_tab_clicked(self, message: TabsLine.TabClicked) -> None:
        self.clicked.append(message.key)

    def lines(self) -> list[str]:
        return [strip.text for strip in self.screen._compositor.render_strips()]


async def test_the_header_follows_its_state_and_the_terminal() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)) as pilot:
        header = app.query_one(StatusHeader)
        header.show(LIVE)
        await pilot.pause()
        assert app.lines()[0].startswith(" main @ dstack.acme.io  0.22.5 · placement 1.0")
        assert app.lines()[0].endswith("live 1 s · 14:02:31 ")
        header.show(replace(LIVE, connection="stale", project="[red]p\x1b"))
        await pilot.pause()
        assert app.lines()[0].startswith(" [red]p\ufffd @ ")
        assert app.lines()[0].endswith("stale since 14:02:30 · 14:02:31 ")
        await pilot.resize_terminal(40, 5)
        await pilot.pause()
        assert app.lines()[0].endswith("stale since 14:02:30 ")
        assert "stale since" in header.text


async def test_a_shorter_age_keeps_the_room_of_a_longer_one() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)) as pilot:
        header = app.query_one(StatusHeader)
        header.show(replace(LIVE, observed_at=NOW - timedelta(seconds=10)))
        await pilot.pause()
        updates = header._right._layout_updates
        header.show(replace(LIVE, observed_at=NOW))
        await pilot.pause()
        assert header._right._layout_updates == updates
        assert app.lines()[0].endswith("   live 0 s · 14:02:31 ")


async def test_tabs_that_do_not_fit_come_closer_and_leave_others_out_then() -> None:
    app = LinesApp()
    async with app.run_test(size=(24, 5)) as pilot:
        await pilot.pause()
        assert app.lines()[1] == " 1 Fleets  2 Services 2!"
        await pilot.resize_terminal(16, 5)
        await until_equal(lambda: app.lines()[1].rstrip(), " 1 Fleets …")
        tabs = app.query_one(TabsLine)
        tabs.show([Tab("1", "Fleets"), Tab("2", "Services", "2!")], "2")
        await until_equal(lambda: app.lines()[1].rstrip(), "… 2 Services 2!")
        await pilot.click(TabsLine, offset=(0, 0))
        await pilot.click(TabsLine, offset=(4, 0))
        await until_equal(lambda: app.clicked, ["2"])
        five = [Tab(name[0], name) for name in ("one", "two", "six", "ten", "no")]
        for active, line in (
            ("o", " o one  t two …"),
            ("s", "… t two  s six …"),
            ("n", "… t ten  n no"),
        ):
            tabs.show(five, active)
            await until_equal(lambda: app.lines()[1].rstrip(), line)


async def test_tabs_are_clicked_by_key() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)) as pilot:
        await pilot.pause()
        assert app.lines()[1].rstrip() == " 1 Fleets   2 Services 2!"
        await pilot.click(TabsLine, offset=(3, 0))
        await pilot.click(TabsLine, offset=(14, 0))
        await pilot.click(TabsLine, offset=(70, 0))
        await pilot.pause()
        await until_equal(lambda: app.clicked, ["1", "2"])
        app.query_one(TabsLine).show([Tab("1", "Fleets")], "1")
        app.query_one(KeysFooter).show([])
        await pilot.pause()
        await until_equal(lambda: app.lines()[1].rstrip(), " 1 Fleets")
        await until_equal(lambda: app.lines()[2].rstrip(), "")


@pytest.mark.parametrize("size", [(1, 1), (8, 4), (20, 12)])
async def test_every_widget_bears_a_terminal_that_is_too_small(size: tuple[int, int]) -> None:
    app = Gallery()
    async with app.run_test(size=size) as pilot:
        app.query_one(CommandLine).open()
        await pilot.press("s", "tab")
        await pilot.resize_terminal(100, 30)
        await pilot.resize_terminal(2, 2)
        await until_equal(
            lambda: [strip.cell_length for strip in app.screen._compositor.render_strips()], [2, 2]
        )
