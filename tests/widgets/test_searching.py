"""Looking for a text in lines."""

from __future__ import annotations

from textual.content import Content

from dstack_widgets.search.patterns import Pattern
from dstack_widgets.search.searching import Search

LINES = [Content(text) for text in ("type: fleet", "nodes: 2", "Node: x", "", "a node of nodes")]


def search(text: str) -> Search:
    found = Search()
    found.look_for(Pattern(text), LINES)
    return found


def test_next_goes_around_from_where_one_is() -> None:
    found = search("node")
    assert found.told == "/node  3 lines, n next, esc ends it"
    assert [found.next(1, 2) for _ in range(4)] == [2, 4, 1, 2]
    assert [found.next(-1, 0) for _ in range(3)] == [1, 4, 2]
    assert found.told == "/node  2 of 3 lines, n next, esc ends it"


def test_the_line_before_is_the_last_one_at_the_top() -> None:
    assert search("node").next(-1, 0) == 4


def test_what_is_found_is_marked_and_the_rest_is_left_alone() -> None:
    found = search("node")
    found.next(1, 4)
    marked = found.marked(LINES)
    assert [[(span.start, span.end, span.style) for span in line.spans] for line in marked] == [
        [],
        [(0, 4, "reverse")],
        [(0, 4, "reverse")],
        [],
        [(2, 6, "bold reverse underline"), (10, 14, "bold reverse underline")],
    ]


def test_what_is_not_there_or_no_expression_says_so() -> None:
    found = search("absent")
    assert found.next(1, 0) is None
    assert (found.told, found.marked(LINES)) == ("/absent  not found", LINES)
    assert search("/(/").told.startswith("/(/ is not a regular expression")
    assert search("").told == ""


def test_other_lines_keep_the_place() -> None:
    found = search("node")
    found.next(1, 0)
    found.look_for(Pattern("node"), LINES[:2])
    assert (found.at, found.found) == (1, [1])
