from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest
from textual.theme import BUILTIN_THEMES

from dstack_fleets_tui.terminal.terminal import (
    THEME_OF_FEW_COLOURS,
    has_few_colours,
    takes_mouse,
    terminal_is_gone,
    theme_of,
)


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


@pytest.mark.parametrize(
    ("setting", "environ", "used"),
    [
        ("auto", {"TERM": "xterm-256color"}, True),
        ("auto", {"TERM": "screen.xterm-256color", "STY": "1.pts-0"}, False),
        ("auto", {"TERM": "screen"}, False),
        ("auto", {"TERM": "screen-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, True),
        ("auto", {"TERM": "screen", "STY": "1.pts-0", "TMUX": "/tmp/tmux-0/default,1,0"}, False),
        ("on", {"TERM": "screen", "STY": "1.pts-0"}, True),
        ("off", {"TERM": "xterm"}, False),
    ],
)
def test_the_mouse_is_left_to_gnu_screen(setting, environ, used):
    assert takes_mouse(setting, environ) is used


def test_there_is_a_theme_for_them():
    assert THEME_OF_FEW_COLOURS in BUILTIN_THEMES


@pytest.mark.parametrize(
    ("chosen", "few", "theme"),
    [
        (None, False, None),
        (None, True, THEME_OF_FEW_COLOURS),
        ("nord", False, "nord"),
        ("nord", True, THEME_OF_FEW_COLOURS),
        ("ansi-light", True, "ansi-light"),
    ],
)
def test_a_theme_chosen_elsewhere_is_left_out_where_it_comes_out_grey(chosen, few, theme):
    assert theme_of(chosen, few_colours=few) == theme


def test_a_terminal_that_hung_up_is_gone(monkeypatch):
    master, slave = pty.openpty()
    # Not the controlling terminal of this process.
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "__stdin__", stdin)
        assert not terminal_is_gone()
        os.close(master)
        assert terminal_is_gone()


def test_without_a_terminal_it_is_gone(monkeypatch):
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "__stdin__", stdin)
        assert terminal_is_gone()
    assert terminal_is_gone()
    monkeypatch.setattr(sys, "__stdin__", None)
    assert terminal_is_gone()
