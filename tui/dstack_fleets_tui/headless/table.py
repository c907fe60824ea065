"""Plain tables: a header, columns aligned by the cells their text takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

_GAP = "  "
_CUT = "…"
#: No column is cut to fewer cells than this.
_LEAST = 12


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
    width: int | None = None,
    colour: bool = False,
) -> str:
    """Writes a table.

    Args:
        columns: Its columns.
        rows: Their cells: one line each, free of control characters.
        width: Cells of a line; the widest columns are cut until they fit. None for no limit.
        colour: Whether the terminal is to be sent colours.

    Returns:
        The table with its header, a line feed after each line.
    """
    lines = [[column.title for column in columns], *rows]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(columns))]
    if width is not None:
        widths = _fit(widths, width)
    text = ""
    for number, line in enumerate(lines):
        cells = []
        for column, cell, size in zip(columns, line, widths, strict=True):
            padded = _pad(cell, size, right=column.right)
            paint = column.paint if colour and number else None
            code = paint(cell) if paint else ""
            cells.append(f"{code}{padded}\x1b[0m" if code else padded)
        text += _GAP.join(cells).rstrip() + "\n"
    return text


def _fit(widths: Sequence[int], width: int) -> list[int]:
    sizes = list(widths)
    excess = sum(sizes) + len(_GAP) * (len(sizes) - 1) - width
    while excess > 0:
        widest = max(range(len(sizes)), key=lambda i: sizes[i])
        second = max((s for i, s in enumerate(sizes) if i != widest), default=_LEAST)
        step = min(excess, max(sizes[widest] - max(second, _LEAST), 1))
        if sizes[widest] - step < _LEAST:
            break
        sizes[widest] -= step
        excess -= step
    return sizes


def _pad(text: str, size: int, *, right: bool) -> str:
    taken = cell_len(text)
    if taken > size:
        text = set_cell_size(text, size - 1).rstrip() + _CUT
        taken = cell_len(text)
    blank = " " * (size - taken)
    return blank + text if right else text + blank
