"""Which lines of a log are shown, and how they fill a window: without a terminal."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple, Protocol

from rich.cells import cell_len

from dstack_widgets.drawing.text import fitting


class Entry(Protocol):
    """One line of a log."""

    @property
    def at(self) -> datetime:
        """When it was written."""

    @property
    def text(self) -> str:
        """What was written."""

    @property
    def left_out(self) -> bool:
        """Whether lines before it are missing."""


_AT = attrgetter("at")


class Passing:
    """The lines that a filter lets through, found again only where lines changed.

    Attributes:
        every: All lines, in the order of time.
        passing: Those that pass.
    """

    def __init__(self) -> None:
        self.every: Sequence[Entry] = ()
        self.passing: list[Entry] = []

    def show(
        self,
        every: Sequence[Entry],
        passes: Callable[[Entry], bool],
        changed_from: datetime | None = None,
    ) -> None:
        """Takes other lines.

        Args:
            every: All lines.
            passes: The filter.
            changed_from: Lines from before this moment are those of before, if any are left of
                them, with the same filter; None where nothing is known of that.
        """
        self.every = every
        if changed_from is None or not every or changed_from <= every[0].at:
            self.passing = [entry for entry in every if passes(entry)]
            return
        # Of several lines of the first moment, some may be gone.
        first = every[0].at
        begin = [each for each in every[: bisect_right(every, first, key=_AT)] if passes(each)]
        end = [each for each in every[bisect_left(every, changed_from, key=_AT) :] if passes(each)]
        known = self.passing
        kept = known[
            bisect_right(known, first, key=_AT) : bisect_left(known, changed_from, key=_AT)
        ]
        self.passing = [*begin, *kept, *end]

    def index_of(self, entry: Entry) -> int:
        """Where a line is, or where the one after it is that is still there."""
        known = self.passing
        near = bisect_left(known, entry.at, key=_AT)
        for index in range(near, len(known)):
            if known[index] is entry:
                return index
            if known[index].at != entry.at:
                break
        return min(near, len(known) - 1)


def pieces(text: str, width: int) -> list[tuple[int, int]]:
    """Where a text is broken to fit a width, after a space where one is near.

    Returns:
        The begin and the end of each piece.
    """
    if len(text) <= width and cell_len(text) <= width:
        return [(0, len(text))]
    found, start = [], 0
    while start < len(text):
        end = start + max(1, fitting(text[start : start + width], width)[0])
        if end < len(text):
            space = text.rfind(" ", start + (end - start) // 2, end)
            end = end if space < 0 else space + 1
        found.append((start, end))
        start = end
    return found


class Window(NamedTuple):
    """What fills a window.

    Attributes:
        rows: The line of each row by its index, and which of its rows it is.
        row: Where the first row of the line under the cursor stands; above the window where less
            than zero.
    """

    rows: list[tuple[int, int]]
    row: int


def window(heights: Callable[[int], int], count: int, cursor: int, row: int, height: int) -> Window:
    """Fills a window around the cursor, without a row left empty where there are more lines.

    Only the lines in it and next to it are measured, however many there are.

    Args:
        heights: How many rows a line takes.
        count: How many lines there are.
        cursor: The line under the cursor, by its index.
        row: Where its first row is to stand.
        height: Rows of the window.
    """
    if not count or height <= 0:
        return Window([], 0)
    tall = heights(cursor)
    # The cursor's line is in sight; of one that is higher than the window, some of it.
    row = min(max(row, min(0, height - tall)), max(0, height - tall))
    above: list[tuple[int, int]] = []
    index = cursor - 1
    while index >= 0 and len(above) < height:
        above = [(index, part) for part in range(heights(index))] + above
        index -= 1
    below = [(cursor, part) for part in range(tall)]
    index = cursor + 1
    while index < count and len(below) < 2 * height + tall:
        below += [(index, part) for part in range(heights(index))]
        index += 1
    every = above + below
    top = min(max(0, len(above) - row), max(0, len(every) - height))
    return Window(every[top : top + height], len(above) - top)
