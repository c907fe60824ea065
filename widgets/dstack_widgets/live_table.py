"""A table for lists that change all the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from .cells import Cell, Cells, CellValue, Column, Row, same_cell
from .glyphs import UNICODE, Glyphs
from .table_layout import ColumnWidths, Layout, Place, arrange
from .table_paint import Painter
from .table_rows import TableRows
from .text import clean, shorten

__all__ = ["Cell", "CellValue", "Cells", "Column", "LiveTable", "Row"]

_HEADER_LINES = 1
_WHEEL_LINES = 3
_SIDEWAYS = 8


@dataclass(frozen=True)
class _Shown:
    """What a line of the table shows, to compare with what it is to show."""

    key: str
    component: str
    gutter: str
    cells: Cells


class LiveTable(ScrollView, can_focus=True, inherit_bindings=False):
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

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--row",
        "live-table--cursor",
        "live-table--selected",
        "live-table--empty",
    }

    DEFAULT_CSS = """
    LiveTable {
        height: 1fr;
        color: $foreground;
        background: $background;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;

        & > .live-table--header {
            color: $foreground;
            text-style: bold dim;
        }
        & > .live-table--cursor {
            background: $primary 15%;
        }
        & > .live-table--selected {
            text-style: bold;
            color: $text-accent;
        }
        & > .live-table--empty {
            text-style: dim;
        }
        &:focus > .live-table--cursor {
            background: $primary 35%;
            text-style: bold;
        }
        &:nocolor:focus > .live-table--cursor, &:ansi:focus > .live-table--cursor {
            text-style: reverse;
        }
    }
    """

    ALLOW_SELECT = False

    filter_text: var[str] = var("", init=False)
    """Only rows with this text in a cell are shown; case does not matter."""
    empty_text: var[str] = var("", init=False)
    """Stands where the rows would, when there are none."""
    no_match_text: var[str] = var("No row matches the filter", init=False)
    """Stands where the rows would, when the filter lets none through."""
    show_all_columns: var[bool] = var(False, init=False)
    """Scroll sideways rather than leave columns out."""

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
            glyphs: The signs to draw.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
            disabled: As for every widget.
        """
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.selectable = selectable
        self.glyphs = glyphs
        self._rows = TableRows()
        self._rows.set_columns(columns)
        self._widths = ColumnWidths()
        self._layout_of_columns = arrange(columns, [0] * len(columns), 0, 0, everything=False)
        self._cursor_key: str | None = None
        self._cursor_index = -1
        self._lost_key: str | None = None
        self._selected: set[str] = set()
        self._shown: list[_Shown] = []
        self._shown_at = (0, 0)
        self._room = 0
        self._painter: Painter | None = None
        self._strips: LRUCache[tuple[str, str, str], tuple[Cells, Strip]] = LRUCache(512)
        self._opened_by_click: str | None = None
        self.set_reactive(LiveTable.empty_text, empty_text)

    # What the table holds.

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, hidden ones included."""
        return self._rows.columns

    @property
    def row_count(self) -> int:
        """How many rows there are, filtered out or not."""
        return len(self._rows)

    @property
    def keys(self) -> Sequence[str]:
        """The keys of the rows that pass the filter, in the order they are shown."""
        return tuple(self._rows.order)

    @property
    def visible_columns(self) -> Sequence[str]:
        """The keys of the columns there is room for, from the left."""
        return tuple(place.column.key for place in self._layout_of_columns.places)

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._cursor_key

    @property
    def selected_keys(self) -> frozenset[str]:
        """The keys of the selected rows that still exist."""
        return frozenset(key for key in self._selected if key in self._rows)

    @property
    def sort_column(self) -> str | None:
        """The key of the column sorted by, if any."""
        return self._rows.sort_column

    @property
    def sort_reverse(self) -> bool:
        """Whether it sorts downwards."""
        return self._rows.sort_reverse

    def get_cells(self, key: str) -> Cells:
        """Gives the cells of a row.

        Raises:
            KeyError: There is no such row.
        """
        return self._rows.cells(key)

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

    def clear_selection(self) -> None:
        """Selects nothing."""
        if self._selected:
            self._selected.clear()
            self._refresh_changed()
            self.post_message(self.SelectionChanged(self, frozenset()))

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
        return max(1, self.scrollable_content_region.height - _HEADER_LINES)

    def _scroll_to_cursor(self) -> None:
        top = round(self.scroll_y)
        if self._cursor_index < top:
            self._jump(self._cursor_index)
        elif self._cursor_index >= top + self._page:
            self._jump(self._cursor_index - self._page + 1)

    def _jump(self, top: int) -> None:
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
        """Scrolls sideways; columns that were left out come in.

        Args:
            direction: -1 for left, 1 for right.
        """
        if direction > 0 and self._layout_of_columns.dropped:
            self.show_all_columns = True
        elif direction < 0 and self.scroll_x <= 0:
            self.show_all_columns = False
        self.scroll_to(x=self.scroll_x + direction * _SIDEWAYS, animate=False)

    def action_activate(self) -> None:
        """Opens the row under the cursor."""
        if self._cursor_key is not None:
            self.post_message(self.RowActivated(self, self._cursor_key))

    def action_toggle_mark(self) -> None:
        """Selects the row under the cursor, or no longer, and goes to the next."""
        if not self.selectable or self._cursor_key is None:
            return
        self._selected ^= {self._cursor_key}
        self.post_message(self.SelectionChanged(self, self.selected_keys))
        self._move_cursor(self._cursor_index + 1)

    # The mouse.

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor, opens a row or reports a header."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < _HEADER_LINES:
            place = self._place_at(offset.x)
            if place is not None:
                self.post_message(self.HeaderClicked(self, place.column.key))
            return
        index = round(self.scroll_y) + offset.y - _HEADER_LINES
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

    def _place_at(self, x: int) -> Place | None:
        layout = self._layout_of_columns
        if x >= layout.fixed:
            x += round(self.scroll_x)
        for place in layout.places:
            if place.x <= x < place.x + place.width + layout.gap:
                return place
        return None

    # Changes.

    def watch_filter_text(self, text: str) -> None:
        """Filters."""
        before = self._rows.order
        self._rows.filter_by(text)
        self._after_change(before)

    def watch_show_all_columns(self) -> None:
        """Arranges the columns anew."""
        if not self.show_all_columns:
            self.scroll_to(x=0, animate=False)
        self._refresh_changed()

    def watch_empty_text(self) -> None:
        """Paints the text."""
        self._refresh_empty()

    def watch_no_match_text(self) -> None:
        """Paints the text."""
        self._refresh_empty()

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        """Paints the other columns."""
        self._strips.clear()
        super().watch_scroll_x(old_value, new_value)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Paints the other rows."""
        super().watch_scroll_y(old_value, new_value)
        self._refresh_changed()

    def on_resize(self) -> None:
        """Arranges the columns anew."""
        self._refresh_changed()
        if self._cursor_index >= 0:
            self._scroll_to_cursor()

    def notify_style_update(self) -> None:
        """Forgets what was drawn in the old styles."""
        super().notify_style_update()
        self._painter = None
        self._strips.clear()

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
        if 0 <= index < len(order) and order[index] == key:
            return index
        places = {each: place for place, each in enumerate(order)}
        if key in places:
            return places[key]
        for neighbour in (*before[index + 1 :], *reversed(before[: max(0, index)])):
            if neighbour in places:
                return places[neighbour]
        return max(0, min(index, len(order) - 1))

    def _fit_virtual_size(self) -> None:
        """Follows the size of what there is to scroll over.

        A new virtual size makes Textual repaint the whole table, even for one row more. Only where
        a scrollbar comes or goes is that needed.
        """
        size = Size(self._layout_of_columns.width, len(self._rows.order) + _HEADER_LINES)
        if size == self.virtual_size:
            return
        window = self.scrollable_content_region
        bars = (self.show_vertical_scrollbar, self.show_horizontal_scrollbar)
        if (size.height > window.height, size.width > window.width) == bars:
            self.set_reactive(Widget.virtual_size, size)
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.window_virtual_size = size.height
            if self.show_horizontal_scrollbar:
                self.horizontal_scrollbar.window_virtual_size = size.width
            self.scroll_y = self.validate_scroll_y(self.scroll_y)
            self.scroll_x = self.validate_scroll_x(self.scroll_x)
        else:
            self.virtual_size = size

    # Painting.

    def _gutter(self, key: str) -> str:
        glyphs = self.glyphs
        cursor = glyphs.cursor if key == self._cursor_key else " "
        if not self.selectable:
            return f"{cursor} "
        return f"{cursor}{glyphs.mark if key in self._selected else ' '} "

    def _show(self, key: str) -> _Shown:
        if key == self._cursor_key:
            component = "live-table--cursor"
        elif key in self._selected:
            component = "live-table--selected"
        else:
            component = "live-table--row"
        return _Shown(key, component, self._gutter(key), self._rows.cells(key))

    def _refresh_changed(self) -> None:
        """Compares what is to be seen with what was painted, and repaints the difference."""
        window = self.scrollable_content_region
        if not window:
            return
        top = round(self.scroll_y)
        keys = self._rows.order[top : top + max(0, window.height - _HEADER_LINES)]
        shown = [self._show(key) for key in keys]
        before, self._shown = self._shown, shown
        at = (top, round(self.scroll_x))
        layout = self._arrange(window.width, shown)
        if layout != self._layout_of_columns or window.width != self._room:
            self._layout_of_columns = layout
            self._room = window.width
            self._strips.clear()
            self._fit_virtual_size()
            self.refresh()
        elif at != self._shown_at or bool(before) != bool(shown):
            self.refresh(self.size.region)
        else:
            regions = [
                region
                for line in range(max(len(shown), len(before)))
                if (region := self._changed_region(line, before, shown)) is not None
            ]
            if regions:
                self.refresh(*regions)
        self._shown_at = at

    def _arrange(self, room: int, shown: Sequence[_Shown]) -> Layout:
        widths = self._widths.measure(
            self.columns, (row.cells for row in shown), self._rows.sort_column
        )
        gutter = 3 if self.selectable else 2
        return arrange(self.columns, widths, room, gutter, everything=self.show_all_columns)

    def _changed_region(
        self, line: int, before: Sequence[_Shown], shown: Sequence[_Shown]
    ) -> Region | None:
        """Finds which part of a line looks different now."""
        y = line + _HEADER_LINES
        if line >= len(shown) or line >= len(before):
            return Region(0, y, self.size.width, 1)
        old, new = before[line], shown[line]
        if old.component != new.component:
            return Region(0, y, self.size.width, 1)
        left, right = self.size.width, 0
        if old.gutter != new.gutter:
            left, right = 0, self._layout_of_columns.gutter
        if old.cells is not new.cells:
            layout = self._layout_of_columns
            shift = round(self.scroll_x)
            for place in layout.places:
                if not same_cell(_at(old.cells, place.index), _at(new.cells, place.index)):
                    x = place.x if place.x < layout.fixed else place.x - shift
                    left = min(left, x)
                    right = max(right, x + place.width)
        left, right = max(0, left), min(right, self.size.width)
        return Region(left, y, right - left, 1) if right > left else None

    def _refresh_header(self) -> None:
        self.refresh(Region(0, 0, self.size.width, _HEADER_LINES))

    def _refresh_empty(self) -> None:
        if not self._rows.order:
            self.refresh(Region(0, _HEADER_LINES, self.size.width, 1))

    def _get_painter(self) -> Painter:
        if self._painter is None:
            self._painter = Painter(self.get_visual_style, self._get_style, self.glyphs)
        return self._painter

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draws lines of the table.

        Without border, padding and opacity of its own there is nothing for Textual to add to a
        line, and a line that was drawn once is written again as it is while the table scrolls.
        """
        plain = not (self.styles.gutter or self.styles.has_rule("tint") or self.opacity < 1)
        if not plain:
            return super().render_lines(crop)
        filters = self.get_line_filters()
        _, background = self.background_colors
        strips = []
        for y in crop.line_range:
            strip = self.render_line(y)
            for each in filters:
                strip = strip.apply_filter(each, background)
            strips.append(strip)
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """Draws a line of the table.

        Args:
            y: The line, counted from the top of the table.
        """
        width = self.size.width
        painter = self._get_painter()
        layout = self._layout_of_columns
        if y < _HEADER_LINES:
            header = painter.header(
                layout,
                "live-table--header",
                self._rows.sort_column,
                reverse=self._rows.sort_reverse,
                room=self._room,
            )
            return self._window(header)
        line = y - _HEADER_LINES
        if line < len(self._shown):
            shown = self._shown[line]
            name = (shown.key, shown.component, shown.gutter)
            drawn = self._strips.get(name)
            if drawn is not None and drawn[0] is shown.cells:
                return drawn[1]
            strip = painter.row(layout, shown.component, shown.gutter, shown.cells, self._room)
            strip = self._window(strip)
            self._strips[name] = (shown.cells, strip)
            return strip
        if line == 0:
            return self._empty_line(painter, width)
        return Strip.blank(width, painter.style("live-table--row"))

    def _window(self, strip: Strip) -> Strip:
        """Cuts out of a whole row what sideways scrolling leaves on the screen."""
        width = self.size.width
        shift = round(self.scroll_x)
        fixed = self._layout_of_columns.fixed
        if shift and fixed:
            strip = Strip.join(
                [strip.crop(0, fixed), strip.crop(fixed + shift, max(fixed, width) + shift)]
            )
        elif shift:
            strip = strip.crop(shift, width + shift)
        return strip.adjust_cell_length(width, self._get_painter().style("live-table--row"))

    def _empty_line(self, painter: Painter, width: int) -> Strip:
        text = self.no_match_text if len(self._rows) else self.empty_text
        text = "  " + shorten(clean(text), width - 2, self.glyphs.ellipsis)
        strip = Strip.blank(0)
        if text.strip():
            strip = painter.text("live-table--empty", text)
        return strip.adjust_cell_length(width, painter.style("live-table--row"))


def _at(cells: Cells, index: int) -> Cell:
    return cells[index] if index < len(cells) else ""
