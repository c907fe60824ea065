from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dstack_widgets.drawing.bars import (
    Filling,
    Share,
    filled_bar,
    ratio,
    share_bar,
    share_out,
    sparkline,
    state_bar,
)
from dstack_widgets.drawing.glyphs import ASCII, UNICODE, Glyphs


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_every_glyph_is_one_cell_wide(glyphs: Glyphs) -> None:
    for field in fields(glyphs):
        for character in getattr(glyphs, field.name):
            assert cell_len(character) == 1, field.name
        if field.name not in ("axes", "fills", "spark"):
            assert len(getattr(glyphs, field.name)) == 1, field.name


def test_ascii_is_ascii() -> None:
    assert all(getattr(ASCII, field.name).isascii() for field in fields(ASCII))


def test_instances_by_state() -> None:
    assert state_bar({"busy": 3, "provisioning": 1}, 6).plain == "███▒   3 busy  1 starting"
    assert state_bar({"busy": 4, "idle": 0}, 4, ASCII).plain == "#### 4 busy"
    assert state_bar({}, 4).plain == "–"
    assert state_bar({"idle": 0}, 4, ASCII).plain == "-"


def test_what_is_wrong_comes_first_in_words_and_is_never_lost_in_the_bar() -> None:
    bar = state_bar({"busy": 500, "unreachable": 1, "idle": 2}, 8).plain
    assert bar[:8].count("✗") == 1
    assert bar[8:].split("  ") == [" 1 unreachable", "500 busy", "2 idle"]


def test_a_state_of_a_newer_server_is_named() -> None:
    assert state_bar({"busy": 1, "hibernating": 2}, 4).plain == "█··  1 busy  2 hibernating"


@given(st.lists(st.integers(0, 2000), max_size=8), st.integers(1, 20))
def test_a_bar_is_shared_out_whole(counts: list[int], cells: int) -> None:
    shares = share_out(counts, cells)
    assert sum(shares) == min(sum(counts), cells)
    if sum(1 for count in counts if count) <= cells:
        assert all((share > 0) == (count > 0) for share, count in zip(shares, counts, strict=True))


def test_a_distribution() -> None:
    parts = [Share("gpu-reserved", 4), Share("none", 0), Share("gpu-spot", 5, 1)]
    assert share_bar(parts).plain == "gpu-reserved 4 · gpu-spot 5+1"
    with_bar = share_bar(parts, 5, ASCII).plain
    assert with_bar == "##=== # gpu-reserved 4 - = gpu-spot 5+1"
    assert share_bar([]).plain == "–"
    assert share_bar([Share("[red]x", 1)]).plain == "[red]x 1"


@pytest.mark.parametrize(
    ("used", "total", "text"),
    [
        (24, 32, "###- 24/32"),
        (0, 8, "---- 0/8"),
        (1, 1, "#### 1/1"),
        (1, 100, "#--- 1/100"),
        (0, 0, "-"),
    ],
)
def test_a_ratio(used: int, total: int, text: str) -> None:
    assert ratio(used, total, 4, ASCII).plain == text


def test_a_ratio_without_a_bar() -> None:
    assert ratio(24, 32).plain == "24/32"


def test_a_sparkline_shows_the_newest_and_leaves_gaps() -> None:
    assert sparkline([0, 7], 4).plain == "  ▁█"
    assert sparkline([9, 0, None, 7, 3.5], 4).plain == "▁ █▅"
    assert sparkline([1, 2], 2, top=100).plain == "▁▁"
    assert sparkline([0, 0], 2).plain == "▁▁"
    assert sparkline([], 3).plain == "   "
    assert sparkline([1, 2], 0).plain == ""


def test_a_replica_is_a_cell_where_there_is_room_for_the_largest_bar():
    assert filled_bar(Filling(2, 1, 1, 1, 1), 6, 8).plain == "██▒░▚·  "
    assert filled_bar(Filling(1), 6, 8).plain == "█       "
    assert filled_bar(Filling(), 6, 8).plain == " " * 8


def test_bars_of_more_replicas_than_cells_can_be_compared():
    assert filled_bar(Filling(3000), 3000, 8).plain == "█" * 8
    assert filled_bar(Filling(1500), 3000, 8).plain == "████    "
    # Whatever is there can be seen.
    assert filled_bar(Filling(2998, 1, 1), 3000, 8).plain == "██████▒░"
    assert filled_bar(Filling(1, 1), 3000, 8).plain == "█▒      "
    assert filled_bar(Filling(1, 1), 3000, 8, ASCII).plain == "#+      "
