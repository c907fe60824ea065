"""Plain tables: a header, columns aligned by the cells their text takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from dstack_api_client.text import one_line

_GAP = "  "
_END = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    right: bool = False
    """Whether its cells stand to the right, as numbers do."""
    paint: Callable[[str], str] | None = None
    """Gives the escape sequence of a cell's colour, if it has one."""


def render(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    colour: bool = False,
    least: Sequence[int] = (),
) -> str:
    """Writes a table, every cell whole.

    Args:
        columns: Its columns.
        rows: Their cells.
        colour: Whether the terminal is to be sent colours.
        least: Cells that each column has at least.

    Returns:
        The table with its header, a line feed after each line.
    """
    lines = [[column.title for column in columns]]
    lines += [[one_line(cell) for cell in row] for row in rows]
    widths = list(map(max, _widths(lines), least or [0] * len(columns)))
    text = ""
    for number, line in enumerate(lines):
        cells = []
        for column, cell, width in zip(columns, line, widths, strict=True):
            blank = " " * (width - cell_len(cell))
            code = column.paint(cell) if colour and number and column.paint else ""
            painted = f"{code}{cell}{_END}" if code else cell
            cells.append(blank + painted if column.right else painted + blank)
        text += _GAP.join(cells).rstrip() + "\n"
    return text


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """The cells that the widest text of each column takes."""
    return [max(map(cell_len, texts)) for texts in zip(*lines, strict=True)]


class GrowingTable:
    """A table that goes on: its header comes once, and a column never gets narrower.

    Args:
        columns: Its columns.
        colour: Whether the terminal is to be sent colours.
    """

    def __init__(self, columns: Sequence[Column], *, colour: bool = False) -> None:
        self._columns = columns
        self._colour = colour
        self._least: list[int] = []

    def more(self, rows: Sequence[Sequence[str]]) -> str:
        """Writes further rows, below the header where they are the first."""
        told = [[column.title for column in self._columns]]
        told += [[one_line(cell) for cell in row] for row in rows]
        # A last column that grows moves nothing.
        widths = [*_widths(told)[:-1], 0]
        begun = bool(self._least)
        self._least = list(map(max, widths, self._least)) if begun else widths
        text = render(self._columns, rows, colour=self._colour, least=self._least)
        return text.partition("\n")[2] if begun else text
