"""How wide the columns of a table are and which of them there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import is_

from rich.cells import cell_len

from dstack_widgets.drawing.text import clean
from dstack_widgets.table.cells import Cell, Cells, CellValue, Column

#: After so many looks at narrower contents a column gives room back: it must not jitter.
SHRINK_AFTER = 30

#: Room at the right end of the header for the sign that there are more columns.
MORE = 2

#: Room for a sort mark and the blank before it.
_MARK = 2


@dataclass(frozen=True)
class Place:
    """Where a column stands."""

    index: int
    """The index of its cells in a row."""
    column: Column
    x: int
    """Cells from the left end of the row, as if nothing was scrolled."""
    width: int


@dataclass(frozen=True)
class Layout:
    """Where everything in a row stands."""

    gutter: int
    """Cells before the first column."""
    gap: int
    """Cells between two columns."""
    places: tuple[Place, ...]
    """The columns shown, from the left."""
    dropped: int
    """How many columns there was no room for."""
    fixed: int
    """Cells at the left that do not scroll sideways."""
    width: int
    """Cells of a whole row."""


def cell_width(cell: Cell) -> int:
    """Measures a cell."""
    if isinstance(cell, CellValue):
        cell = cell.text
    return cell_len(clean(cell if isinstance(cell, str) else cell.plain))


def fitted(cell: Cell, width: int) -> Cell:
    """What a cell shows in so many cells."""
    if not isinstance(cell, CellValue) or cell.shorter is None or cell_width(cell) <= width:
        return cell
    return cell._replace(text=cell.shorter(width))


class ColumnWidths:
    """Remembers widths: they grow at once and shrink late."""

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}
        self._narrower: dict[str, list[int]] = {}
        self._measured: tuple[Sequence[Column], str | None, list[Cells], list[int]] | None = None

    def forget(self) -> None:
        """Starts over, as for other contents."""
        self._widths.clear()
        self._narrower.clear()

    def measure(
        self, columns: Sequence[Column], rows: Iterable[Cells], sort_column: str | None
    ) -> list[int]:
        """Measures what is visible.

        Args:
            columns: All columns.
            rows: The cells of the visible rows.
            sort_column: The column with the sort mark.

        Returns:
            A width for each column that would show everything, smoothed over time.
        """
        visible = list(rows)
        known = self._measured
        same = (
            known is not None
            and known[:2] == (columns, sort_column)
            and len(known[2]) == len(visible)
            and all(map(is_, known[2], visible))
        )
        if known is None or not same:
            wanted = _wanted(columns, visible, sort_column)
            self._measured = known = columns, sort_column, visible, wanted
        return [
            column.width
            if column.width is not None
            else self._smoothed(column.key, max(0 if column.flexible else column.min_width, width))
            for column, width in zip(columns, known[3], strict=True)
        ]

    def _smoothed(self, key: str, width: int) -> int:
        current = self._widths.get(key, 0)
        if width >= current:
            self._widths[key] = width
            self._narrower.pop(key, None)
            return width
        seen = self._narrower.setdefault(key, [0, 0])
        seen[0] += 1
        seen[1] = max(seen[1], width)
        if seen[0] >= SHRINK_AFTER:
            self._widths[key] = seen[1]
            self._narrower.pop(key)
        return self._widths[key]


def _wanted(columns: Sequence[Column], rows: Iterable[Cells], sort_column: str | None) -> list[int]:
    """The widths that would show everything."""
    wanted = [
        cell_len(column.title) + (_MARK if column.key == sort_column else 0) for column in columns
    ]
    automatic = [
        index for index, column in enumerate(columns) if column.width is None and not column.hidden
    ]
    for cells in rows:
        count = len(cells)
        for index in automatic:
            if index < count:
                width = cell_width(cells[index])
                if width > wanted[index]:
                    wanted[index] = width
    return wanted


def arrange(
    columns: Sequence[Column], widths: Sequence[int], room: int, gutter: int, *, everything: bool
) -> Layout:
    """Places columns in the room there is.

    The gaps give way first, then flexible columns, then the columns of the lowest priority; what is
    still too wide scrolls.

    Args:
        columns: All columns.
        widths: A width for each, from `ColumnWidths.measure`.
        room: Cells of a row on the screen.
        gutter: Cells before the first column.
        everything: Leave no column out; scroll instead.

    Returns:
        The layout.
    """
    cap = max(8, (room - gutter) // 2)
    shown = [index for index, column in enumerate(columns) if not column.hidden]
    fitted = {
        index: widths[index]
        if columns[index].width is not None
        else max(1, min(widths[index], _most(columns[index], cap)))
        for index in shown
    }
    dropped = 0
    gap = 2
    while shown:
        space = room - MORE if dropped else room
        gap = 2 if _total(shown, fitted, gutter, 2) <= space else 1
        over = _total(shown, fitted, gutter, gap) - space
        if over <= 0:
            break
        yielding = [index for index in shown if columns[index].flexible]
        spare = sum(max(0, fitted[index] - columns[index].min_width) for index in yielding)
        if spare >= over:
            _give_way(columns, fitted, yielding, over)
            break
        highest = max(columns[index].priority for index in shown)
        lowest = min((columns[index].priority for index in shown[1:]), default=highest)
        if everything or lowest >= highest:
            _give_way(columns, fitted, yielding, spare)
            break
        last = max(index for index in shown[1:] if columns[index].priority == lowest)
        shown.remove(last)
        dropped += 1
    places = []
    x = gutter
    for index in shown:
        places.append(Place(index, columns[index], x, fitted[index]))
        x += fitted[index] + gap
    width = x - gap if places else gutter
    fixed = places[0].x + places[0].width + gap if places else gutter
    if fixed > room * 2 // 3:
        fixed = gutter
    return Layout(gutter, gap, tuple(places), dropped, fixed, width)


def _most(column: Column, cap: int) -> int:
    if column.max_width is not None:
        return column.max_width
    return max(cap, column.min_width)


def _total(shown: Sequence[int], fitted: dict[int, int], gutter: int, gap: int) -> int:
    return gutter + sum(fitted[index] for index in shown) + gap * max(0, len(shown) - 1)


def _give_way(
    columns: Sequence[Column], fitted: dict[int, int], yielding: Sequence[int], over: int
) -> None:
    """Takes `over` cells from flexible columns, each time from the widest."""
    while over > 0:
        widest = max(yielding, key=lambda index: fitted[index] - columns[index].min_width)
        if fitted[widest] <= columns[widest].min_width:
            return
        fitted[widest] -= 1
        over -= 1
