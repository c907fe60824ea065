"""Pictures of the widgets. `pytest --snapshot-update` makes them again: look at them then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from dstack_widgets.drawing.glyphs import ASCII
from dstack_widgets.inputs.command_line import CommandLine, FilterLine
from dstack_widgets.panels.facts import YamlView
from tests.builders.widget_gallery import Gallery, HostileTable

SIZES = [(80, 24), (120, 40)]
Compare = Callable[..., bool]


@pytest.mark.parametrize("size", SIZES)
def test_gallery(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(Gallery(), terminal_size=size, press=["j"])


@pytest.mark.parametrize("size", SIZES)
def test_ascii(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(Gallery(ASCII, connection="stale"), terminal_size=size, press=["j"])


def test_no_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(Gallery(connection="unreachable"), terminal_size=(80, 24), press=["j"])


@pytest.mark.parametrize("theme", ["textual-light", "ansi-dark"])
def test_themes(snap_compare: Compare, theme: str) -> None:
    app = Gallery(connection="paused")
    app.theme = theme
    assert snap_compare(app, terminal_size=(120, 40), press=["j"])


def test_all_columns(snap_compare: Compare) -> None:
    assert snap_compare(Gallery(), terminal_size=(80, 24), press=["right", "right", "right"])


def test_command_line(snap_compare: Compare) -> None:
    async def type_a_command(pilot: Pilot[Any]) -> None:
        pilot.app.query_one(CommandLine).open()
        await pilot.press("s", "tab", "tab")

    assert snap_compare(Gallery(), terminal_size=(80, 24), run_before=type_a_command)


def test_filter_without_a_match(snap_compare: Compare) -> None:
    async def filter_all_out(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, Gallery)
        app.query_one(FilterLine).open()
        await pilot.press("n", "o", "n", "e")
        app.table.filter_text = app.query_one(FilterLine).text

    assert snap_compare(Gallery(), terminal_size=(80, 24), run_before=filter_all_out)


def test_no_rows(snap_compare: Compare) -> None:
    async def empty(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, Gallery)
        app.table.set_rows({})
        app.query_one(YamlView).show("")

    assert snap_compare(Gallery(connection="connecting"), terminal_size=(80, 24), run_before=empty)


@pytest.mark.parametrize("size", SIZES)
def test_hostile_names(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(HostileTable(), terminal_size=size, press=["space", "j"])
