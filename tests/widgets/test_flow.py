from __future__ import annotations

from textual.content import Content

from dstack_widgets.panels.flow import flow_lines


def plain(parts, width):
    return [line.plain for line in flow_lines([Content(part) for part in parts], width)]


def test_lines_break_between_parts_only():
    assert plain(["one two", "three", "four"], 15) == ["one two   three", "four"]


def test_a_part_wider_than_a_line_is_cut():
    assert plain(["a", "b" * 20], 10) == ["a", "b" * 9 + "…"]


def test_wide_characters_count_twice():
    assert plain(["宽宽", "b"], 7) == ["宽宽", "b"]
    assert plain(["宽宽", "b"], 8) == ["宽宽   b"]
