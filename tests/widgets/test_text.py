from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.content import Content

from dstack_widgets.drawing.text import (
    changed_stretches,
    clean,
    literal,
    safe,
    shorten,
    shorten_name,
)

HOSTILE = [
    "[/x]",
    "[red]a[/]",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "a\tb\nc",
    "\u202eabc",
    "x" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_literal_keeps_brackets_and_loses_control(text: str) -> None:
    content = literal(text)
    assert not content.spans
    assert len(content.plain) == len(text)
    assert not [each for each in content.plain if unicodedata.category(each) == "Cc"]


def test_literal_keeps_markup_as_text() -> None:
    assert literal("[red]a[/red]").plain == "[red]a[/red]"


def test_a_blank_for_line_breaks_and_a_sign_for_the_rest() -> None:
    assert clean("a\nb\tc") == "a b c"
    assert clean("\x1b[2J") == "\ufffd[2J"
    assert clean("\u202egnp.exe") == "\ufffdgnp.exe"
    assert clean("\ud800").encode() == "\ufffd".encode()


@given(st.text())
def test_cleaning_replaces_one_by_one_and_once(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert clean(cleaned) == cleaned
    cleaned.encode()


@given(st.text(), st.integers(0, 40))
def test_shortened_text_fits_and_is_a_beginning(text: str, cells: int) -> None:
    text = clean(text)
    short = shorten(text, cells)
    assert cell_len(short) <= cells
    assert short == text or text.startswith(short[:-1])


@pytest.mark.parametrize(
    ("text", "cells", "short"),
    [
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("cafe\u0301s", 5, "cafe\u0301s"),
        ("cafe\u0301s", 4, "caf…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("שלום עולם", 5, "שלום…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_shorten_counts_cells(text: str, cells: int, short: str) -> None:
    assert shorten(text, cells) == short


@given(st.text(), st.integers(0, 40))
def test_a_shortened_name_fits_and_has_both_ends(text: str, cells: int) -> None:
    text = clean(text)
    short = shorten_name(text, cells)
    assert cell_len(short) <= cells
    if short != text and cells:
        assert any(
            text.startswith(short[:cut]) and text.endswith(short[cut + 1 :])
            for cut, sign in enumerate(short)
            if sign == "…"
        )


@pytest.mark.parametrize(
    ("name", "cells", "short"),
    [
        ("gpu-reserved-us-east-1a", 23, "gpu-reserved-us-east-1a"),
        ("gpu-reserved-us-east-1a", 12, "gpu-re…st-1a"),
        ("gpu-reserved-us-east-1b", 12, "gpu-re…st-1b"),
        ("日本語日本語", 7, "日本…語"),
        ("abc", 2, "a…"),
        ("abc", 0, ""),
    ],
)
def test_a_name_is_cut_in_the_middle(name: str, cells: int, short: str) -> None:
    assert shorten_name(name, cells) == short


def test_content_made_elsewhere_is_looked_at() -> None:
    good = Content.styled("fine\nlines", "bold")
    assert safe(good) is good
    assert safe(Content("a\x1b[0mb\nc")).plain == "a\ufffd[0mb\nc"


def test_only_the_cells_that_changed_are_found() -> None:
    def line(text: str) -> Content:
        return literal(text, "bold")

    assert changed_stretches(line("live 1 s, 07:12:22"), line("live 1 s, 07:12:22")) == []
    assert changed_stretches(line("live 1 s, at 07:12:22"), line("live 0 s, at 07:12:23")) == [
        (5, 6),
        (20, 21),
    ]
    assert changed_stretches(line("09:59"), line("10:00")) == [(0, 5)]
    assert changed_stretches(line("9 s"), line("10 s")) == [(0, 4)]
    assert changed_stretches(line("日本"), line("日木")) == [(0, 4)]
    assert changed_stretches(line("same"), literal("same", "dim")) == [(0, 4)]
