"""A table for lists that change all the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import var

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.table.cells import Cell, Cells, CellValue, Column, Row
from dstack_widgets.table.table_layout import cell_width
from dstack_widgets.table.table_rows import follow
from dstack_widgets.table.table_view import HEADER_LINES, TableView

__all__ = ["Cell", "CellValue", "Cells", "Column", "LiveTable", "Row"]

#: Lines that one turn of the wheel scrolls.
_WHEEL_LINES = 3


class LiveTable(TableView, can_focus=True):
    """A table with keyed rows that paints only the visible cells that changed.

    The cursor and the selection belong to keys: they stay with their rows through every refresh,
    sort and filter. Strings in cells are literal text, never markup.

    Borders and padding belong on a container around the table: with none of its own, the table
    keeps drawn lines while it scrolls.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "Up", show=False, id="table.up"),
        Binding("down,j", "cursor_down", "Down", show=False, id="table.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="table.page-up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="table.page-down"),
        Binding("home,g", "first", "First row", show=False, id="table.first"),
        Binding("end,G", "last", "Last row", show=False, id="table.last"),
        Binding("left", "sideways(-1)", "Scroll left", show=False, id="table.left"),
        Binding("right", "sideways(1)", "Scroll right", show=False, id="table.right"),
        Binding("enter", "activate", "Open", show=False, id="table.activate"),
        Binding("space", "toggle_mark", "Select", show=False, id="table.select"),
    ]

    filter_text: var[str] = var("", init=False)
    """Only rows that a `RowFilter` of this text lets pass are shown."""

    @dataclass
    class RowHighlighted(Message):
        """The cursor came to another row, or to none."""

        table: LiveTable
        key: str | None

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

    @dataclass
    class RowActivated(Message):
        """A row was opened with Enter or the mouse."""

        table: LiveTable
        key: str

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

    @dataclass
    class HeaderClicked(Message):
        """The header of a column was clicked."""

        table: LiveTable
        column_key: str

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

    @dataclass
    class HeaderPointed(Message):
        """The mouse is over the header of another column, or of none any more."""

        table: LiveTable
        column_key: str | None

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

    @dataclass
    class SelectionChanged(Message):
        """Rows were selected or are no longer."""

        table: LiveTable
        keys: frozenset[str]

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

    def __init__(
        self,
        columns: Sequence[Column] = (),
        *,
        empty_text: str = "",
        selectable: bool = False,
        wide: bool = False,
        glyphs: Glyphs = UNICODE,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        """Makes a table without rows.

        Args:
            columns: The columns.
            empty_text: Stands where the rows would, when there are none.
            selectable: Space selects rows.
            wide: All columns are shown; it scrolls where they do not fit.
            glyphs: The signs to draw.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
            disabled: As for every widget.
        """
        super().__init__(
            selectable=selectable,
            glyphs=glyphs,
            name=name,
            id=id,
            classes=classes,
            disabled=disabled,
        )
        self._rows.set_columns(columns)
        self._cursor_index = -1
        self._lost_key: str | None = None
        self._opened_by_click: str | None = None
        self._pointed: str | None = None
        self.set_reactive(LiveTable.empty_text, empty_text)
        self.set_reactive(LiveTable.show_all_columns, wide)

    # What the table holds.

    @property
    def row_count(self) -> int:
        """How many rows there are, filtered out or not."""
        return len(self._rows)

    def cells(self, key: str) -> Cells:
        """Gives the cells of a row.

        Raises:
            KeyError: There is no such row.
        """
        return self._rows.cells(key)

    @property
    def keys(self) -> Sequence[str]:
        """The keys of the rows that pass the filter, in the order they are shown."""
        return tuple(self._rows.order)

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._cursor_key

    @property
    def selected_keys(self) -> frozenset[str]:
        """The keys of the selected rows that still exist."""
        return frozenset(key for key in self._selected if key in self._rows)

    @property
    def filter_error(self) -> str:
        """Why the filter can't be used; empty where it can."""
        return self._rows.filter_error

    @property
    def sort_column(self) -> str | None:
        """The key of the column sorted by, if any."""
        return self._rows.sort_column

    @property
    def sort_reverse(self) -> bool:
        """Whether it sorts downwards."""
        return self._rows.sort_reverse

    def has_row(self, key: str) -> bool:
        """Whether there is such a row, filtered out or not."""
        return key in self._rows

    def get_cells(self, key: str) -> Cells:
        """Gives the cells of a row.

        Raises:
            KeyError: There is no such row.
        """
        return self._rows.cells(key)

    def shows_whole(self, key: str, column_key: str) -> bool:
        """Whether a cell is on the screen and not cut."""
        if key not in self._rows:
            return False
        cells = self._rows.cells(key)
        return any(
            place.column.key == column_key and cell_width(cells[place.index]) <= place.width
            for place in self._placed.places
        )

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Replaces the columns; the rows stay."""
        before = self._rows.order
        self._rows.set_columns(columns)
        self._widths.forget()
        self._after_change(before)

    def set_rows(self, rows: Mapping[str, Cells] | Iterable[Row]) -> None:
        """Replaces all rows, painting only what looks different.

        Args:
            rows: Cells by key, or rows; shown in this order unless sorted.
        """
        before = self._rows.order
        self._rows.replace(rows)
        self._after_change(before)

    def update_rows(
        self, changed: Mapping[str, Cells] | Iterable[Row] = (), removed: Iterable[str] = ()
    ) -> None:
        """Changes, adds and removes some rows in one go.

        Args:
            changed: The new cells of rows that changed or are new.
            removed: Keys of rows that are gone.
        """
        before = self._rows.order
        self._rows.update(changed, removed)
        self._after_change(before)

    def sort_by(self, column_key: str | None, reverse: bool = False) -> None:
        """Sorts by a column, or not at all.

        Args:
            column_key: The key of the column; `None` for the order in which the rows came.
            reverse: Downwards. Rows without a value come last either way.

        Raises:
            KeyError: There is no such column.
        """
        before = self._rows.order
        self._rows.sort_by(column_key, reverse=reverse)
        self._after_change(before)
        self._refresh_header()

    def move_cursor_to(self, key: str) -> bool:
        """Moves the cursor to a row.

        Args:
            key: The key of the row.

        Returns:
            Whether the row is there to move to.
        """
        if key not in self._rows:
            return False
        try:
            index = self._rows.order.index(key)
        except ValueError:
            return False
        self._move_cursor(index)
        return True

    # The cursor.

    def _move_cursor(self, index: int) -> None:
        order = self._rows.order
        if not order:
            return
        index = max(0, min(index, len(order) - 1))
        self._lost_key = None
        self._put_cursor(index)
        self._scroll_to_cursor()
        self._refresh_changed()

    def _put_cursor(self, index: int) -> None:
        key = self._rows.order[index] if index >= 0 else None
        self._cursor_index = index
        if key != self._cursor_key:
            self._cursor_key = key
            self.post_message(self.RowHighlighted(self, key))

    @property
    def _page(self) -> int:
        """How many rows there is room for."""
        return max(1, self.scrollable_content_region.height - HEADER_LINES)

    def _scroll_to_cursor(self) -> None:
        top = round(self.scroll_y)
        if self._cursor_index < top:
            self._jump(self._cursor_index)
        elif self._cursor_index >= top + self._page:
            self._jump(self._cursor_index - self._page + 1)

    def _jump(self, top: int) -> None:
        # Before there is a size there is nothing to scroll; `on_resize` finds the cursor.
        if self.size:
            self.scroll_to(y=top, animate=False)

    def action_cursor_up(self) -> None:
        """Moves the cursor one row up."""
        self._move_cursor(self._cursor_index - 1)

    def action_cursor_down(self) -> None:
        """Moves the cursor one row down."""
        self._move_cursor(self._cursor_index + 1)

    def action_page_up(self) -> None:
        """Moves the cursor one page up."""
        self._jump(max(0, round(self.scroll_y) - self._page))
        self._move_cursor(self._cursor_index - self._page)

    def action_page_down(self) -> None:
        """Moves the cursor one page down."""
        self._jump(round(self.scroll_y) + self._page)
        self._move_cursor(self._cursor_index + self._page)

    def action_first(self) -> None:
        """Moves the cursor to the first row."""
        self._move_cursor(0)

    def action_last(self) -> None:
        """Moves the cursor to the last row."""
        self._move_cursor(len(self._rows.order) - 1)

    def action_sideways(self, direction: int) -> None:
        """Scrolls sideways by a column; columns that were left out come in.

        Args:
            direction: -1 for left, 1 for right.
        """
        if direction > 0 and self._placed.dropped:
            self.show_all_columns = True
        elif direction < 0 and self.scroll_x <= 0:
            self.show_all_columns = False
        layout = self._placed
        now = round(self.scroll_x)
        stops = [place.x - layout.fixed for place in layout.places if place.x >= layout.fixed]
        if direction > 0:
            stop = min((each for each in stops if each > now), default=now)
        else:
            stop = max((each for each in stops if each < now), default=0)
        self.scroll_to(x=stop, animate=False)

    def action_activate(self) -> None:
        """Opens the row under the cursor."""
        if self._cursor_key is not None:
            self.post_message(self.RowActivated(self, self._cursor_key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves the key for selecting to others where nothing can be selected."""
        return self.selectable if action == "toggle_mark" else True

    def action_toggle_mark(self) -> None:
        """Selects the row under the cursor, or no longer, and goes to the next."""
        if self._cursor_key is None:
            return
        self._selected ^= {self._cursor_key}
        self.post_message(self.SelectionChanged(self, self.selected_keys))
        self._move_cursor(self._cursor_index + 1)

    # The mouse.

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor, opens a row or reports a header."""
        if self.text_selection is not None:
            return  # the end of a selection, not a click
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < HEADER_LINES:
            place = self._place_at(offset.x)
            if place is not None:
                self.post_message(self.HeaderClicked(self, place.column.key))
            return
        index = round(self.scroll_y) + offset.y - HEADER_LINES
        if index >= len(self._rows.order):
            return
        key = self._rows.order[index]
        if event.chain > 1 and self._opened_by_click == key:
            return
        self._opened_by_click = None
        if key == self._cursor_key:
            self._opened_by_click = key
            self.post_message(self.RowActivated(self, key))
        else:
            self._move_cursor(index)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Reports the header that the mouse is over."""
        offset = event.get_content_offset(self)
        place = self._place_at(offset.x) if offset is not None and offset.y < HEADER_LINES else None
        self._point(place.column.key if place is not None else None)

    def on_leave(self) -> None:
        """Reports that the mouse is over none."""
        self._point(None)

    def _point(self, column_key: str | None) -> None:
        if column_key != self._pointed:
            self._pointed = column_key
            self.post_message(self.HeaderPointed(self, column_key))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scrolls three rows down."""
        if not (event.ctrl or event.shift):
            self._wheel(event, _WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scrolls three rows up."""
        if not (event.ctrl or event.shift):
            self._wheel(event, -_WHEEL_LINES)

    def _wheel(self, event: events.MouseEvent, lines: int) -> None:
        event.prevent_default()
        event.stop()
        self._jump(round(self.scroll_y) + lines)

    # Changes.

    def watch_filter_text(self, text: str) -> None:
        """Filters."""
        before = self._rows.order
        self._rows.filter_by(text)
        self._after_change(before)

    def on_resize(self) -> None:
        """Arranges the columns again."""
        self._refresh_changed()
        if self._cursor_index >= 0:
            self._scroll_to_cursor()

    def _after_change(self, before: list[str]) -> None:
        """Follows a change of the rows or of their order.

        Args:
            before: The keys in the order they were shown.
        """
        top = round(self.scroll_y)
        old_index = self._cursor_index
        new_index = self._find_cursor(before)
        if self._selected:
            gone = {key for key in self._selected if key not in self._rows}
            if gone:
                self._selected -= gone
                self.post_message(self.SelectionChanged(self, frozenset(self._selected)))
        self._put_cursor(new_index)
        self._fit_virtual_size()
        if new_index >= 0:
            # The cursor stays on its line of the screen; at the top, the top stays.
            on_screen = top <= old_index < top + self._page
            if on_screen and not (top == 0 and new_index < self._page):
                self._jump(max(0, top + new_index - old_index))
            elif not on_screen and top < len(before):
                self._keep_top(before[top], top)
            if on_screen:
                self._scroll_to_cursor()
        self._refresh_changed()

    def _keep_top(self, key: str, top: int) -> None:
        order = self._rows.order
        if top < len(order) and order[top] == key:
            return
        if key in self._rows and top > 0:
            try:
                self._jump(order.index(key))
            except ValueError:
                return

    def _find_cursor(self, before: list[str]) -> int:
        """Finds where the row under the cursor is now, or its neighbour if it is gone."""
        order = self._rows.order
        index = self._cursor_index
        key = self._cursor_key
        if not order:
            self._lost_key = self._lost_key or key
            return -1
        if self._lost_key is not None and key is None:
            key, self._lost_key = self._lost_key, None
        if key is None:
            return 0
        return follow(key, index, before, order)
