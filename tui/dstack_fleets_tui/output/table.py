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
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, colour: bool = False
) -> str:
    """Writes a table, every cell whole.

    Args:
        columns: Its columns.
        rows: Their cells.
        colour: Whether the terminal is to be sent colours.

    Returns:
        The table with its header, a line feed after each line.
    """
    lines = [[column.title for column in columns]]
    lines += [[one_line(cell) for cell in row] for row in rows]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(columns))]
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
