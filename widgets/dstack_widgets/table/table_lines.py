"""A small table as lines of text: no cursor, nothing to scroll."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from textual.content import Content

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal, safe, shorten, shorten_name
from dstack_widgets.table.cells import Cell, Cells, CellValue, Column, plain_text
from dstack_widgets.table.table_layout import ColumnWidths, Layout, arrange, cell_width, fitted

#: Cells that a text has at least that is wrapped beside the other columns.
_WRAPPED = 30
#: Cells before a text below its row.
_INDENT = 2


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Cells],
    width: int,
    *,
    wraps: str = "",
    titles: bool = True,
    glyphs: Glyphs = UNICODE,
) -> list[Content]:
    """Lays a table out in the room there is, as a `LiveTable` does; columns without text go.

    Args:
        columns: The columns.
        rows: The cells of each row, one per column.
        width: Cells of a line.
        wraps: The column whose texts go on in further lines where they are too long; below their
            rows where the column would be too narrow for that.
        titles: Whether the titles of the columns stand above.
        glyphs: The signs to draw.
    """
    columns = [
        replace(column, hidden=column.hidden or not any(plain_text(row[at]) for row in rows))
        for at, column in enumerate(columns)
    ]
    layout = _arranged(columns, rows, width)
    index = next((at for at, column in enumerate(columns) if column.key == wraps), None)
    beside = next((place.width for place in layout.places if place.index == index), 0)
    longest = max((cell_width(row[index]) for row in rows), default=0) if index is not None else 0
    below = index is not None and beside < min(longest, _WRAPPED)
    if below:
        columns = [replace(each, hidden=each.hidden or each.key == wraps) for each in columns]
        layout = _arranged(columns, rows, width)
    lines = []
    if titles:
        heads = [
            (place.x, _fit(place.column.title, place.column, place.width, glyphs))
            for place in layout.places
        ]
        lines.append(_line(heads).stylize(style_of("dim")))
    for cells in rows:
        parts, more = [], []
        for place in layout.places:
            cell, column = cells[place.index], place.column
            if column.key == wraps:
                first, *more = _content(cell).wrap(place.width) or [Content("")]
                parts.append((place.x, first))
                more = [line.pad_left(place.x) for line in more]
            else:
                parts.append((place.x, _fit(cell, column, place.width, glyphs)))
        if below and index is not None and plain_text(cells[index]):
            room = max(2, width - _INDENT)
            more = [line.pad_left(_INDENT) for line in _content(cells[index]).wrap(room)]
        lines += [_line(parts), *more]
    return lines


def _arranged(columns: Sequence[Column], rows: Sequence[Cells], width: int) -> Layout:
    widths = ColumnWidths().measure(columns, rows, None)
    return arrange(columns, widths, width, 0, everything=False)


def _content(cell: Cell) -> Content:
    style = ""
    if isinstance(cell, CellValue):
        style = style_of(cell.style)
        cell = cell.text
    return _styled(cell, style) if isinstance(cell, str) else safe(cell)


#: Most cells of a table say what they said at the last look.
_styled = lru_cache(maxsize=1024)(literal)


def _fit(cell: Cell, column: Column, width: int, glyphs: Glyphs) -> Content:
    """A cell in its column, cut where it is too wide."""
    cell = fitted(cell, width)
    content = _content(cell)
    if content.cell_length > width:
        if isinstance(cell, Content) or isinstance(getattr(cell, "text", ""), Content):
            content = content.truncate(max(0, width - 1)) + literal(glyphs.ellipsis)
        else:
            cut = shorten_name if column.names else shorten
            style = style_of(cell.style) if isinstance(cell, CellValue) else ""
            content = literal(cut(content.plain, width, glyphs.ellipsis), style)
    return content.pad_left(width - content.cell_length) if column.justify == "right" else content


def _line(parts: Sequence[tuple[int, Content]]) -> Content:
    pieces, end = [], 0
    for x, content in parts:
        if x > end:
            pieces.append(Content(" " * (x - end)))
        pieces.append(content)
        end = max(x, end) + content.cell_length
    return Content("").join(pieces)
