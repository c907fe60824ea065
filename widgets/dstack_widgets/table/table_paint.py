"""Draws the lines of a table as strips."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.strip import Strip
from textual.style import Style

from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import clean, fitting, shorten, shorten_name
from dstack_widgets.table.cells import Cell, Cells, CellValue
from dstack_widgets.table.table_layout import Layout, cell_width, fitted

#: Cuts a text to a number of cells, with a sign where it was cut.
_Cut = Callable[[str, int, str], str]


class Line:
    """Collects texts and styles from left to right and joins what looks the same."""

    def __init__(self, base: RichStyle) -> None:
        self.base = base
        self.width = 0
        self._texts: list[str] = []
        self._style = base
        self._segments: list[Segment] = []

    def add(self, text: str, style: RichStyle, width: int) -> None:
        """Adds a text that is `width` cells wide."""
        if not text:
            return
        if style is not self._style:
            self._flush()
            self._style = style
        self._texts.append(text)
        self.width += width

    def pad_to(self, x: int) -> None:
        """Adds blanks until the line is `x` cells wide."""
        blanks = x - self.width
        if blanks > 0:
            style = self._style if _same_blank(self._style, self.base) else self.base
            self.add(" " * blanks, style, blanks)

    def _flush(self) -> None:
        if self._texts:
            self._segments.append(Segment("".join(self._texts), self._style))
            self._texts = []

    def strip(self) -> Strip:
        """Gives the line as a strip."""
        self._flush()
        return Strip(self._segments, self.width)


def _same_blank(one: RichStyle, other: RichStyle) -> bool:
    """Tells whether a blank looks the same in two styles; then it needs no escape sequence."""
    return one is other or (
        one.bgcolor == other.bgcolor
        and not (one.reverse or other.reverse)
        and not (one.underline or other.underline or one.strike or other.strike)
    )


class Painter:
    """Draws rows in the styles of one look of the table; made again when the theme changes."""

    def __init__(
        self, look: Callable[[str], Style], parse: Callable[[Style | str], Style], glyphs: Glyphs
    ) -> None:
        self._look = look
        self._parse = parse
        self._glyphs = glyphs
        self._bases: dict[str, Style] = {}
        self._rich: dict[tuple[str, Style | str], RichStyle] = {}

    def _base(self, component: str) -> Style:
        base = self._bases.get(component)
        if base is None:
            base = self._bases[component] = self._look(component)
        return base

    def style(self, component: str, style: Style | str = "") -> RichStyle:
        """Gives a style on top of a component's own.

        Args:
            component: The component class, such as `live-table--cursor`.
            style: A style, or one as Textual writes it.
        """
        found = self._rich.get((component, style))
        if found is None:
            base = self._base(component)
            # In a reversed row, a colour would come out as a patch of background.
            coloured = style and not base.reverse
            found = (base + self._parse(style) if coloured else base).rich_style
            self._rich[component, style] = found
        return found

    def row(self, layout: Layout, component: str, gutter: str, cells: Cells, room: int) -> Strip:
        """Draws a row at its full width.

        Args:
            layout: Where the columns stand.
            component: The component class of the row.
            gutter: The signs before the first column.
            cells: The cells.
            room: Cells to fill at least.
        """
        line = Line(self.style(component))
        line.add(gutter, line.base, cell_len(gutter))
        count = len(cells)
        for place in layout.places:
            if place.index >= count:
                continue
            cell = fitted(cells[place.index], place.width)
            width = cell_width(cell)
            x = place.x
            if place.column.justify == "right" and width < place.width:
                x += place.width - width
            line.pad_to(x)
            cut = shorten_name if place.column.names else shorten
            self._add(line, component, cell, width, place.width, cut)
        line.pad_to(room)
        return line.strip()

    def _add(
        self, line: Line, component: str, cell: Cell, width: int, room: int, cut: _Cut
    ) -> None:
        style = line.base
        if isinstance(cell, CellValue):
            if cell.style:
                style = self.style(component, style_of(cell.style))
            cell = cell.text
        if isinstance(cell, Content):
            self._add_content(line, component, cell, width, room)
            return
        text = cell
        cleaned = clean(text)
        if cleaned is not text:
            text, width = cleaned, cell_len(cleaned)
        if width > room:
            text = cut(text, room, self._glyphs.ellipsis)
            width = cell_len(text)
        line.add(text, style, width)

    def _add_content(
        self, line: Line, component: str, cell: Content, width: int, room: int
    ) -> None:
        ellipsis = ""
        if width > room:
            # `clean` replaces one character by one: positions stay.
            end, _ = fitting(clean(cell.plain), room - 1)
            cell = cell[:end]
            ellipsis = self._glyphs.ellipsis
        if line.base.reverse:
            cell = cell.without_spans
        for text, style in cell.render(self._base(component), end="", parse_style=self._parse):
            text = clean(text)
            line.add(text, self._combined(style), cell_len(text))
        line.add(ellipsis, line.base, 1)

    def _combined(self, style: Style) -> RichStyle:
        found = self._rich.get(("", style))
        if found is None:
            found = self._rich["", style] = style.rich_style
        return found

    def header(
        self, layout: Layout, component: str, sort_column: str | None, *, reverse: bool, room: int
    ) -> Strip:
        """Draws the header at its full width.

        Args:
            layout: Where the columns stand.
            component: The component class of the header.
            sort_column: The column that gets the sort mark.
            reverse: Which sort mark.
            room: Cells to fill at least.
        """
        line = Line(self.style(component))
        mark = self._glyphs.descending if reverse else self._glyphs.ascending
        for place in layout.places:
            title = clean(place.column.title)
            if place.column.key == sort_column:
                title = f"{shorten(title, place.width - 2, self._glyphs.ellipsis)} {mark}"
            title = shorten(title, place.width, self._glyphs.ellipsis)
            width = cell_len(title)
            x = place.x
            if place.column.justify == "right":
                x += place.width - width
            line.pad_to(x)
            line.add(title, line.base, width)
        line.pad_to(room)
        return line.strip()

    def text(self, component: str, text: str) -> Strip:
        """Draws a line of plain text."""
        return Strip([Segment(text, self.style(component))], cell_len(text))
