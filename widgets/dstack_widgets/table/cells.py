"""What a table is made of: columns, rows and cells, as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from textual.content import Content


class CellValue(NamedTuple):
    """A text with what it means.

    A named tuple, since a table of 10,000 rows makes many of them at every refresh.
    """

    text: str | Content
    """Shown as it stands; a `str` is never parsed as markup."""
    style: str = ""
    """A name in the palette; content has styles of its own instead."""
    sort: Any = None
    """What the column sorts by; the text when there is none."""
    shorter: Callable[[int], Content] | None = None
    """Says the same in so many cells, where the text has no room."""


Cell: TypeAlias = "Content | CellValue | str"
"""A `str` is literal text."""

Cells: TypeAlias = "Sequence[Cell]"
"""The cells of one row, in the order of the columns."""


class Row(NamedTuple):
    """A row with its key."""

    key: str
    """Names the row for as long as it exists."""
    cells: Cells
    """In the order of the columns."""
    search: str = ""
    """More text for the filter to look in, which no cell shows."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str
    """Names the column."""
    title: str
    """Stands in the header, as it is."""
    width: int | None = None
    """In cells; without it, the width follows what is visible."""
    min_width: int = 3
    """The least that a column of automatic width gets; a flexible one gives way down to it."""
    max_width: int | None = None
    """The most that a column of automatic width gets; without it, half of the table."""
    justify: Literal["left", "right"] = "left"
    """Numbers stand to the right."""
    priority: int = 0
    """When the width is not enough, columns of the lowest priority go first. The first column never
    goes, nor do those of the highest priority there is: then the table scrolls."""
    sort_key: Callable[[Any], Any] | None = None
    """Makes what to sort by of a cell's sort value, or of its text when it has none. Rows for which
    it gives `None` come last."""
    hidden: bool = False
    """Never shown, but the filter looks into it."""
    flexible: bool = False
    """Gives way, down to `min_width`, before any column goes; it has no more than it needs."""
    names: bool = False
    """Its texts are cut in the middle: names of one kind differ at either end."""


_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_NOTHING = frozenset({"", "-", "\N{EN DASH}", "\N{EM DASH}"})


def plain_text(cell: Cell) -> str:
    """Gives the text of a cell without its styles."""
    if isinstance(cell, CellValue):
        cell = cell.text
    return cell if isinstance(cell, str) else cell.plain


def same_cell(one: Cell, other: Cell) -> bool:
    """Tells whether two cells look the same. `Content` compares its text only."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, str):
        return one == other
    if isinstance(one, CellValue) and isinstance(other, CellValue):
        return one.style == other.style and same_cell(one.text, other.text)
    return isinstance(one, Content) and isinstance(other, Content) and one.is_same(other)


def _of_text(text: str) -> Any:
    text = text.strip()
    if text in _NOTHING:
        return None
    if _NUMBER.fullmatch(text):
        return float(text.replace(",", "").rstrip("%"))
    folded = text.casefold()
    # "gpu-10" comes after "gpu-9".
    return _DIGITS.sub(lambda found: found.group().rjust(12, "0"), folded)


def sort_value(cell: Cell, sort_key: Callable[[Any], Any] | None = None) -> Any:
    """Finds what a cell is sorted by.

    Args:
        cell: The cell.
        sort_key: The column's own rule, if it has one.

    Returns:
        A number where the text is one, else its text such that numbers within it count as numbers;
        `None` when there is nothing to sort by.
    """
    value: Any
    if isinstance(cell, CellValue) and cell.sort is not None:
        value = cell.sort
        if sort_key is not None:
            value = sort_key(value)
    else:
        text = plain_text(cell)
        value = sort_key(text) if sort_key is not None else _of_text(text)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
