"""The rows of a table: keyed, sorted, filtered. Pure data, no screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dstack_widgets.table.cells import Cell, Cells, Column, Row, plain_text, sort_value
from dstack_widgets.table.row_filter import BETWEEN, RowFilter


class TableRows:
    """Keeps rows by key and the order in which they are shown."""

    def __init__(self) -> None:
        self.columns: tuple[Column, ...] = ()
        """The columns, hidden ones included."""
        self.order: list[str] = []
        """The keys of the rows that pass the filter, in the order they are shown."""
        self.sort_column: str | None = None
        """The key of the column sorted by, if any."""
        self.sort_reverse = False
        """Whether it sorts downwards."""
        self._cells: dict[str, Cells] = {}
        self._search: dict[str, str] = {}
        self._sought = ""
        self._filter = RowFilter()
        self._sort_values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._cells)

    def __contains__(self, key: str) -> bool:
        return key in self._cells

    def cells(self, key: str) -> Cells:
        """Gives the cells of a row.

        Raises:
            KeyError: There is no such row.
        """
        return self._cells[key]

    def keys(self) -> Iterable[str]:
        """Gives the keys of all rows, filtered out or not, in the order they came."""
        return self._cells.keys()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Replaces the columns; the rows stay."""
        self.columns = tuple(columns)
        self._sort_values = {}
        self._filter = RowFilter(self._sought, self.columns)
        self._arrange()

    def replace(self, rows: Mapping[str, Cells] | Iterable[Row]) -> None:
        """Replaces all rows."""
        before = self._cells
        self._search = {}
        if isinstance(rows, Mapping):
            self._cells = dict(rows)
        else:
            self._cells = {}
            for row in rows:
                self._cells[row.key] = row.cells
                if row.search:
                    self._search[row.key] = row.search
            self._texts = {}
        if self._texts:
            # Only the texts of rows that are still the same are of use.
            cells = self._cells
            self._texts = {
                key: text for key, text in self._texts.items() if cells.get(key) is before.get(key)
            }
        self._sort_values = {}
        self._arrange()

    def update(self, changed: Mapping[str, Cells] | Iterable[Row], removed: Iterable[str]) -> None:
        """Changes, adds and removes some rows.

        Args:
            changed: The new cells of changed rows and of rows that are new; these come last where
                nothing sorts them.
            removed: Keys of rows that are gone; unknown ones are ignored.
        """
        reorder = False
        index = self._sort_index()
        if not isinstance(changed, Mapping):
            rows = list(changed)
            changed = {row.key: row.cells for row in rows}
            self._search.update({row.key: row.search for row in rows})
        for key, cells in changed.items():
            known = key in self._cells
            self._cells[key] = cells
            self._texts.pop(key, None)
            if index is not None:
                value = self._sort_value(cells, index)
                if not known or self._sort_values.get(key) != value:
                    self._sort_values[key] = value
                    reorder = True
            if not known or self._filter:
                reorder = True
        for key in removed:
            if key in self._cells:
                del self._cells[key]
                self._texts.pop(key, None)
                self._search.pop(key, None)
                self._sort_values.pop(key, None)
                reorder = True
        if reorder:
            self._arrange()

    def sort_by(self, column: str | None, *, reverse: bool = False) -> None:
        """Sorts by a column, or not at all.

        Args:
            column: The key of the column; `None` for the order in which the rows came.
            reverse: Downwards. Rows without a value come last either way.

        Raises:
            KeyError: There is no such column.
        """
        if column is not None and column not in {each.key for each in self.columns}:
            raise KeyError(column)
        self.sort_column = column
        self.sort_reverse = reverse
        self._sort_values = {}
        self._arrange()

    def filter_by(self, text: str) -> None:
        """Keeps only the rows that a `RowFilter` of this text lets pass; empty for all."""
        self._sought = text
        self._filter = RowFilter(text, self.columns)
        if not self._filter:
            self._texts = {}
        self._arrange()

    @property
    def filter_error(self) -> str:
        """Why the filter can't be used; empty where it can."""
        return self._filter.error

    def _sort_index(self) -> int | None:
        for index, column in enumerate(self.columns):
            if column.key == self.sort_column:
                return index
        return None

    def _sort_value(self, cells: Cells, index: int) -> Any:
        cell: Cell = cells[index] if index < len(cells) else ""
        return sort_value(cell, self.columns[index].sort_key)

    def _arrange(self) -> None:
        keys = [*self._cells] if not self._filter else [*filter(self._matches, self._cells)]
        index = self._sort_index()
        if index is not None:
            known = self._sort_values
            if not known:
                known.update(
                    (key, self._sort_value(cells, index)) for key, cells in self._cells.items()
                )
            keys = _sorted(keys, known, reverse=self.sort_reverse)
        self.order = keys

    def _matches(self, key: str) -> bool:
        text = self._texts.get(key)
        if text is None:
            parts = [plain_text(cell) for cell in self._cells[key]]
            parts.append(self._search.get(key, ""))
            text = self._texts[key] = BETWEEN.join(parts).casefold()
        return self._filter.passes(text)


def _sorted(keys: list[str], values: Mapping[str, Any], *, reverse: bool) -> list[str]:
    """Sorts keys by their values, stably; keys without a value come last either way."""
    present = [key for key in keys if values[key] is not None]
    missing = [key for key in keys if values[key] is None]
    try:
        present = sorted(present, key=values.__getitem__, reverse=reverse)
    except TypeError:
        present = sorted(present, key=lambda key: _by_kind(values[key]), reverse=reverse)
    return present + missing


def _by_kind(value: Any) -> tuple[str, float, str]:
    """Makes values of different kinds comparable: numbers first, then everything as text."""
    if isinstance(value, (int, float)):
        return ("", float(value), "")
    return (type(value).__name__, 0.0, str(value))


def follow(key: str, index: int, before: Sequence[str], order: Sequence[str]) -> int:
    """Finds where a row went, or its neighbour if it is gone.

    Args:
        key: The key of the row.
        index: Where it was.
        before: The order then.
        order: The order now, not empty.

    Returns:
        The index of the row; else of the nearest row after it that is still there, else of the
        nearest one before it; else whichever row is where it was.
    """
    if 0 <= index < len(order) and order[index] == key:
        return index
    places = {each: place for place, each in enumerate(order)}
    for each in (key, *before[index + 1 :], *reversed(before[: max(0, index)])):
        if each in places:
            return places[each]
    return max(0, min(index, len(order) - 1))
