"""How a table looks: it compares what is to be seen with what was painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.geometry import Region, Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.drawing.text import literal
from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.screen.text_selection import SelectsText
from dstack_widgets.table.cells import Cell, Cells, Column, same_cell
from dstack_widgets.table.table_layout import MORE, ColumnWidths, Layout, Place, arrange
from dstack_widgets.table.table_paint import Painter
from dstack_widgets.table.table_rows import TableRows

#: Lines above the rows.
HEADER_LINES = 1

#: To write so many cells again costs about as much as to begin at another place of the line.
_STRETCH = 24

#: How many drawn rows are kept: some screens full, to scroll over them again.
_STRIPS = 256


class _Shown(NamedTuple):
    """What a line of the table shows, to compare with what it is to show."""

    key: str
    component: str
    gutter: str
    cells: Cells


class TableView(ScrollView, SelectsText, inherit_bindings=False):
    """The part of a table that draws. What happens on keys and clicks is `LiveTable`'s."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--row",
        "live-table--cursor",
        "live-table--selected",
        "live-table--empty",
    }

    DEFAULT_CSS = """
    TableView {
        height: 1fr;
        color: $foreground;
        background: $background;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;

        & > .live-table--header {
            color: $foreground;
            text-style: bold dim;
        }
        & > .live-table--cursor {
            background: $primary-muted 50%;
        }
        & > .live-table--selected {
            text-style: bold;
            color: $text-accent;
        }
        & > .live-table--empty {
            text-style: dim;
        }
        &:focus > .live-table--cursor {
            background: $primary-muted;
            text-style: bold;
        }
        &:nocolor:focus > .live-table--cursor, &:ansi:focus > .live-table--cursor {
            text-style: reverse;
        }
        &:ansi > .live-table--cursor, &:ansi:focus > .live-table--cursor {
            color: ansi_default;
            background: ansi_default;
        }
    }
    """

    empty_text: var[str] = var("", init=False)
    """Stands where the rows would, when there are none."""
    no_match_text: var[str] = var("No row matches the filter", init=False)
    """Stands where the rows would, when the filter lets none through."""
    show_all_columns: var[bool] = var(False, init=False)
    """Scroll sideways rather than leave columns out."""

    def __init__(
        self,
        *,
        selectable: bool,
        glyphs: Glyphs,
        name: str | None,
        id: str | None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None,
        disabled: bool,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.selectable = selectable
        self.glyphs = glyphs
        self._rows = TableRows()
        self._widths = ColumnWidths()
        self._placed = arrange((), (), 0, 0, everything=False)
        self._cursor_key: str | None = None
        self._selected: set[str] = set()
        self._shown: list[_Shown] = []
        self._shown_at = (0, 0)
        self._shown_notice: list[str] = []
        self._room = 0
        self._painter: Painter | None = None
        self._strips: dict[tuple[str, str, str], tuple[Cells, Strip]] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, hidden ones included."""
        return self._rows.columns

    @property
    def visible_columns(self) -> Sequence[str]:
        """The keys of the columns there is room for, from the left."""
        return tuple(place.column.key for place in self._placed.places)

    @property
    def visible_keys(self) -> Sequence[str]:
        """The keys of the rows on the screen, from the top."""
        return tuple(shown.key for shown in self._shown)

    def watch_show_all_columns(self) -> None:
        """Arranges the columns again."""
        if not self.show_all_columns:
            self.scroll_to(x=0, animate=False)
        self._refresh_changed()

    def watch_empty_text(self) -> None:
        """Paints the text."""
        self._refresh_notice()

    def watch_no_match_text(self) -> None:
        """Paints the text."""
        self._refresh_notice()

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        """Paints the other columns."""
        self._strips.clear()
        super().watch_scroll_x(old_value, new_value)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Paints the other rows."""
        super().watch_scroll_y(old_value, new_value)
        self._refresh_changed()

    def watch_show_vertical_scrollbar(self) -> None:
        """Leaves room for the scrollbar, which Textual does not report as a new size."""
        self._refresh_changed()

    def notify_style_update(self) -> None:
        """Forgets what was drawn in the old styles."""
        super().notify_style_update()
        self._painter = None
        self._strips.clear()

    def _place_at(self, x: int) -> Place | None:
        layout = self._placed
        if x >= layout.fixed:
            x += round(self.scroll_x)
        for place in layout.places:
            if place.x <= x < place.x + place.width + layout.gap:
                return place
        return None

    def _fit_virtual_size(self) -> None:
        """Follows the size of what there is to scroll over.

        A new virtual size makes Textual repaint the whole table, even for one row more. Only where
        a scrollbar comes or goes is that needed.
        """
        size = Size(self._placed.width, len(self._rows.order) + HEADER_LINES)
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
        keys = self._rows.order[top : top + max(0, window.height - HEADER_LINES)]
        shown = [self._show(key) for key in keys]
        before, self._shown = self._shown, shown
        at = (top, round(self.scroll_x))
        layout = self._arrange(window.width, shown)
        if layout != self._placed or window.width != self._room:
            self._placed = layout
            self._room = window.width
            self._strips.clear()
            self._fit_virtual_size()
            self.refresh()
        elif at != self._shown_at:
            self.refresh(self.size.region)
        else:
            lean = isinstance(self.screen, LeanScreen)
            regions = [
                region
                for line in range(max(len(shown), len(before)))
                for region in self._changed_regions(line, before, shown, lean=lean)
            ]
            if regions:
                self.refresh(*regions)
            self._refresh_notice()
        self._shown_at = at

    def _arrange(self, room: int, shown: Sequence[_Shown]) -> Layout:
        widths = self._widths.measure(
            self.columns, (row.cells for row in shown), self._rows.sort_column
        )
        gutter = 3 if self.selectable else 2
        return arrange(self.columns, widths, room, gutter, everything=self.show_all_columns)

    def _changed_regions(
        self, line: int, before: Sequence[_Shown], shown: Sequence[_Shown], *, lean: bool
    ) -> list[Region]:
        """Finds which parts of a line look different now."""
        y = line + HEADER_LINES
        if line >= len(shown) or line >= len(before):
            return [Region(0, y, self._room, 1)]
        old, new = before[line], shown[line]
        if old.component != new.component:
            return [Region(0, y, self._room, 1)]
        layout = self._placed
        spans = []
        if old.gutter != new.gutter:
            spans.append((0, layout.gutter))
        if old.cells is not new.cells:
            shift = round(self.scroll_x)
            for place in layout.places:
                if not same_cell(_at(old.cells, place.index), _at(new.cells, place.index)):
                    x = place.x if place.x < layout.fixed else place.x - shift
                    spans.append((max(0, x), min(x + place.width, self._room)))
        # An ordinary screen writes every stretch from the left edge of the table: there, one
        # stretch is always the cheapest.
        joined = _joined([span for span in spans if span[0] < span[1]], _STRETCH if lean else None)
        return [Region(left, y, right - left, 1) for left, right in joined]

    def _refresh_header(self) -> None:
        self.refresh(Region(0, 0, self._room, HEADER_LINES))

    @property
    def _notice(self) -> str:
        """What stands where the rows would."""
        if self._shown:
            return ""
        return self.no_match_text if len(self._rows) else self.empty_text

    @property
    def _notice_lines(self) -> list[str]:
        notice = self._notice
        # As far from the right end as from the left one.
        return (
            [line.plain for line in literal(notice).wrap(max(8, self._room - 4))] if notice else []
        )

    def _refresh_notice(self) -> None:
        before, self._shown_notice = self._shown_notice, self._notice_lines
        if self._shown_notice != before:
            height = max(len(before), len(self._shown_notice))
            self.refresh(Region(0, HEADER_LINES, self._room, height))

    def _get_painter(self) -> Painter:
        if self._painter is None:
            self._painter = Painter(self._look, self._get_style, self.glyphs)
        return self._painter

    def _look(self, component: str) -> Style:
        style = self.get_visual_style(component)
        # Textual leaves this one out of visual styles.
        reverse = self.get_component_styles(component).text_style.reverse
        return style + Style(reverse=True) if reverse else style

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
        return self.with_selection(y, self._draw(y))

    @property
    def fixed_lines(self) -> int:
        """The headings."""
        return HEADER_LINES

    def whole_line(self, number: int) -> Strip | None:
        """The headings, or any of the rows, as they are drawn where they are in the window."""
        painter = self._get_painter()
        if number < HEADER_LINES:
            return self._header(painter)
        order = self._rows.order
        if number - HEADER_LINES >= len(order):
            return None
        shown = self._show(order[number - HEADER_LINES])
        row = painter.row(self._placed, shown.component, shown.gutter, shown.cells, self._room)
        return self._window(row)

    def _draw(self, y: int) -> Strip:
        width = self._room
        painter = self._get_painter()
        layout = self._placed
        if y < HEADER_LINES:
            return self._header(painter)
        line = y - HEADER_LINES
        if line < len(self._shown):
            shown = self._shown[line]
            name = (shown.key, shown.component, shown.gutter)
            drawn = self._strips.get(name)
            if drawn is not None and drawn[0] is shown.cells:
                return drawn[1]
            strip = painter.row(layout, shown.component, shown.gutter, shown.cells, self._room)
            strip = self._window(strip)
            if len(self._strips) >= _STRIPS:
                self._strips.clear()
            self._strips[name] = (shown.cells, strip)
            return strip
        blank = painter.style("live-table--row")
        if line >= len(self._notice_lines):
            return Strip.blank(width, blank)
        text = "  " + self._notice_lines[line]
        return painter.text("live-table--empty", text).adjust_cell_length(width, blank)

    def _header(self, painter: Painter) -> Strip:
        header = painter.header(
            self._placed,
            "live-table--header",
            self._rows.sort_column,
            reverse=self._rows.sort_reverse,
            room=self._room,
        )
        header = self._window(header)
        if self._placed.dropped or self.scroll_x < self.max_scroll_x:
            more = painter.text("live-table--header", self.glyphs.more.rjust(MORE))
            header = Strip.join([header.crop(0, header.cell_length - MORE), more])
        return header

    def _window(self, strip: Strip) -> Strip:
        """Cuts out of a whole row what sideways scrolling leaves on the screen."""
        width = self._room
        shift = round(self.scroll_x)
        fixed = self._placed.fixed
        if shift and fixed:
            strip = Strip.join(
                [strip.crop(0, fixed), strip.crop(fixed + shift, max(fixed, width) + shift)]
            )
        elif shift:
            strip = strip.crop(shift, width + shift)
        return strip.adjust_cell_length(width, self._get_painter().style("live-table--row"))


def _at(cells: Cells, index: int) -> Cell:
    return cells[index] if index < len(cells) else ""


def _joined(spans: Sequence[tuple[int, int]], gap: int | None) -> list[tuple[int, int]]:
    """Joins spans with no more than `gap` cells between them, or all of them."""
    joined: list[tuple[int, int]] = []
    for left, right in sorted(spans):
        if joined and (gap is None or left - joined[-1][1] <= gap):
            joined[-1] = (joined[-1][0], max(right, joined[-1][1]))
        else:
            joined.append((left, right))
    return joined
