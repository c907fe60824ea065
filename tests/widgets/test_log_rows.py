"""Which lines of a log are shown, and how they fill a window."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
from rich.cells import cell_len

from dstack_widgets.logs.log_rows import Passing, pieces, window
from dstack_widgets.search.patterns import Pattern
from tests.builders.generation import seeds

START = datetime(2026, 3, 14, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Given:
    text: str
    at: datetime = START
    left_out: bool = False


def lines(*seconds: float) -> list[Given]:
    return [Given(str(each), START + timedelta(seconds=each)) for each in seconds]


@pytest.mark.parametrize(
    ("typed", "passing", "marked"),
    [
        ("", ["GET 200", "GET 503", "post"], ["", "", ""]),
        ("get", ["GET 200", "GET 503"], ["GET", "GET", ""]),
        ("!get", ["post"], ["", "", ""]),
        (r"/5\d\d|post/", ["GET 503", "post"], ["", "503", "post"]),
        ("!/ 5/", ["GET 200", "post"], ["", "", ""]),
        ("/v1", [], ["", "", ""]),
        ("2.0", [], ["", "", ""]),
    ],
)
def test_what_is_typed_is_a_part_or_an_expression_or_what_must_not_be_there(typed, passing, marked):
    pattern, texts = Pattern(typed), ["GET 200", "GET 503", "post"]
    assert [text for text in texts if pattern.passes(text)] == passing
    found = ["".join(text[a:b] for a, b in pattern.spans(text)) for text in texts]
    assert found == marked


def test_an_expression_that_is_none_says_so_and_hides_nothing():
    pattern = Pattern("/(/")
    assert "not a regular expression" in pattern.error
    assert pattern.passes("anything")
    assert not pattern


@pytest.mark.parametrize("text", ["", "abc", "x" * 40, "日本語" * 9, "e\u0301" * 20, "a日" * 12])
@pytest.mark.parametrize("width", [2, 10, 16])
def test_pieces_are_the_whole_text_and_none_is_too_wide(text, width):
    found = [text[start:end] for start, end in pieces(text, width)]
    assert "".join(found) == text
    assert all(cell_len(piece) <= width for piece in found)


def test_only_lines_that_may_have_changed_are_sifted_again():
    asked = []

    def passes(entry):
        asked.append(entry.text)
        return entry.text != "2"

    shown = Passing()
    first = lines(1, 2, 3, 4)
    shown.show(first, passes)
    asked.clear()
    between, last = lines(3.5, 5)
    later = [*first[1:3], between, first[3], last]
    shown.show(later, passes, between.at)
    assert shown.passing == [first[2], between, first[3], last]
    assert asked == ["2", "3.5", "4", "5"]
    assert shown.index_of(first[3]) == 2
    assert shown.index_of(first[0]) == 0


@pytest.mark.generated
def test_at_random_sifting_in_part_is_sifting_all():
    for seed in seeds(30):
        rng = random.Random(seed)
        every, shown = [], Passing()
        for _ in range(20):
            new = lines(*sorted(rng.choice([1, 2, 2.5, 3, 9]) for _ in range(rng.randrange(1, 5))))
            new = [Given(f"{rng.randrange(9)}", each.at) for each in new]
            changed_from = new[0].at
            every = sorted([*every, *new], key=lambda each: each.at)[-12:]
            shown.show(every, lambda each: each.text > "4", changed_from)
            expected = [each for each in every if each.text > "4"]
            assert [id(each) for each in shown.passing] == [id(each) for each in expected], seed


def rows(heights, cursor, row, height):
    found = window(heights.__getitem__, len(heights), cursor, row, height)
    return ["".join(f"{line}{'abcdefghij'[part]}" for line, part in found.rows), found.row]


@pytest.mark.parametrize(
    ("heights", "cursor", "row", "height", "shown"),
    [
        ([1, 1], 1, 9, 4, ["0a1a", 1]),
        ([1, 2, 1, 1], 3, 9, 3, ["1b2a3a", 2]),
        ([1, 2, 1, 1], 0, 0, 3, ["0a1a1b", 0]),
        ([1, 1, 1, 1], 1, 2, 3, ["0a1a2a", 1]),
        ([1, 1, 1, 1], 3, 0, 3, ["1a2a3a", 2]),
        ([1, 5, 1], 1, 9, 3, ["1a1b1c", 0]),
        ([1, 5, 1], 1, -1, 3, ["1b1c1d", -1]),
        ([1, 5], 1, -9, 3, ["1c1d1e", -2]),
        ([], 0, 0, 3, ["", 0]),
    ],
)
def test_the_window_is_full_and_the_cursor_in_it(heights, cursor, row, height, shown):
    assert rows(heights, cursor, row, height) == shown
