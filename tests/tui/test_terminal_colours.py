from __future__ import annotations

import pytest
from textual.theme import BUILTIN_THEMES

from dstack_fleets_tui.terminal import THEME_OF_FEW_COLOURS, has_few_colours


@pytest.mark.parametrize(
    ("term", "colorterm", "few"),
    [
        ("linux", None, True),
        ("xterm", None, True),
        ("screen", None, True),
        ("xterm-256color", None, False),
        ("xterm", "truecolor", False),
        ("dumb", None, False),
    ],
)
def test_terminals_of_16_colours_are_known(monkeypatch, term, colorterm, few):
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORTERM", raising=False)
    if colorterm is not None:
        monkeypatch.setenv("COLORTERM", colorterm)
    assert has_few_colours() is few


def test_there_is_a_theme_for_them():
    assert THEME_OF_FEW_COLOURS in BUILTIN_THEMES
