"""The part of a log that draws: lines of several writers, wrapped or not, filtered, marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual.geometry import Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.text import clean, fitting
from dstack_widgets.logs.log_rows import Entry, Passing, pieces, window
from dstack_widgets.screen.text_selection import SelectsText
from dstack_widgets.search.patterns import Pattern
from dstack_widgets.table.table_paint import Line, Painter

#: Cells of the cursor's sign.
_GUTTER = 2
#: Cells that are left to the text, however long what stands before it is.
_LEAST = 16
#: The part of a line that says that there are lines missing before it.
_MISSING = -1


class _Row(NamedTuple):
    """What a row of the window shows."""

    entry: Entry
    start: int
    end: int
    first: bool
    under_cursor: bool


class LogView(SelectsText):
    """Lines in the order of time, the newest last; what happens on keys is `LogLines`'s.

    Only what is in the window is ever laid out, so tens of thousands of lines cost no more than
    one screen of them.

    Attributes:
        empty_text: Stands where the lines would, when there are none.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-lines--line",
        "log-lines--cursor",
        "log-lines--empty",
    }

    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        color: $foreground;
        background: $background;

        & > .log-lines--cursor {
            background: $primary-muted;
        }
        & > .log-lines--empty {
            text-style: dim;
        }
        &:nocolor > .log-lines--cursor, &:ansi > .log-lines--cursor {
            text-style: bold;
        }
        &:ansi > .log-lines--cursor {
            color: ansi_default;
            background: ansi_default;
        }
    }
    """

    @dataclass
    class Moved(Message):
        """The cursor came to another line, or other lines are shown."""

        log: LogView

        @property
        def control(self) -> LogView:
            """The log."""
            return self.log

    def __init__(
        self,
        before: Callable[[Entry], Sequence[tuple[str, str]]],
        *,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes a log without lines.

        Args:
            before: Gives what stands before a line: texts with their styles in Textual's terms.
            glyphs: The signs to draw.
            id: As for every widget.
        """
        super().__init__(id=id)
        self.empty_text = ""
        self.glyphs = glyphs
        self._before = before
        self._lines = Passing()
        self._only: Callable[[Entry], bool] | None = None
        self._pattern = Pattern()
        self._filters = True
        self._wraps = True
        self._shift = 0
        self._index = 0
        self._row = 0
        self._follows = True
        self._rows: list[_Row] = []
        self._painter: Painter | None = None

    # What is shown ------------------------------------------------------------------------

    def show(self, lines: Sequence[Entry], changed_from: datetime | None = None) -> None:
        """Shows other lines; the same list again costs nothing.

        Args:
            lines: All lines, in the order of time.
            changed_from: Lines from before this moment are those of before; None where that is
                not so.
        """
        if lines is not self._lines.every:
            at = self.entry
            self._lines.show(lines, self._passes, changed_from)
            self._find(at)

    def only(self, passes: Callable[[Entry], bool] | None) -> None:
        """Shows only some lines; all for None."""
        self._only = passes
        self._sift()

    def look_for(self, pattern: Pattern, *, filters: bool) -> None:
        """Marks what is looked for.

        Args:
            pattern: What is looked for.
            filters: Whether only lines with it are shown. What lines must not have always filters.
        """
        self._pattern, self._filters = pattern, filters
        self._sift()

    def _sift(self) -> None:
        at = self.entry
        self._lines.show(self._lines.every, self._passes)
        self._find(at)
        self.refresh()

    def _passes(self, entry: Entry) -> bool:
        if self._only is not None and not self._only(entry):
            return False
        filters = self._filters or self._pattern.excludes
        return not filters or self._pattern.passes(entry.text)

    def _find(self, at: Entry | None) -> None:
        """Puts the cursor where it was before lines came and went."""
        count = len(self._lines.passing)
        if self._follows or at is None:
            self._index = max(0, count - 1)
            self._row = self._row_of_end
        else:
            self._index = max(0, self._lines.index_of(at))
        self._lay_out()
        self.post_message(self.Moved(self))

    @property
    def _row_of_end(self) -> int:
        """Where the cursor's line begins when its end is at the bottom."""
        return self.size.height - (self._height(self._index) if self._lines.passing else 0)

    @property
    def entry(self) -> Entry | None:
        """The line under the cursor."""
        passing = self._lines.passing
        return passing[self._index] if self._index < len(passing) else None

    @property
    def passing(self) -> Sequence[Entry]:
        """The lines that are shown."""
        return self._lines.passing

    @property
    def lines(self) -> Sequence[Entry]:
        """All lines, filtered out or not."""
        return self._lines.every

    @property
    def is_following(self) -> bool:
        """Whether the cursor is where new lines come in."""
        return self._follows

    @property
    def wraps(self) -> bool:
        """Whether long lines are broken; else one scrolls sideways."""
        return self._wraps

    def wrap(self, wraps: bool) -> None:
        """Breaks long lines, or no longer."""
        self._wraps, self._shift = wraps, 0
        self.lay_out_again()

    def lay_out_again(self) -> None:
        """Follows what stands before each line."""
        if self._follows:
            self._row = self._row_of_end
        self._lay_out()
        self.refresh()

    # Layout -------------------------------------------------------------------------------

    def _width(self, entry: Entry) -> int:
        """Cells that the text of a line has."""
        taken = sum(cell_len(text) for text, _ in self._before(entry))
        return max(_LEAST, self.size.width - _GUTTER - taken)

    def _parts(self, index: int) -> list[tuple[int, int]]:
        entry = self._lines.passing[index]
        if self._wraps:
            found = pieces(clean(entry.text), self._width(entry))
        else:
            found = [(self._shift, len(entry.text))]
        return [(_MISSING, _MISSING), *found] if entry.left_out else found

    def _height(self, index: int) -> int:
        return len(self._parts(index))

    def _lay_out(self) -> None:
        """Fills the window, and paints the rows that look different."""
        before, passing = self._rows, self._lines.passing
        filled = window(self._height, len(passing), self._index, self._row, self.size.height)
        self._row = filled.row
        parts = {index: self._parts(index) for index, _ in filled.rows}
        self._rows = [
            _Row(
                passing[index],
                *parts[index][part],
                first=part == (1 if passing[index].left_out else 0),
                under_cursor=index == self._index,
            )
            for index, part in filled.rows
        ]
        if any(old[:4] != new[:4] for old, new in zip(before, self._rows, strict=False)):
            self._select_nothing()
        if not self._rows or not before:
            self.refresh()
            return
        changed = [
            Region(0, y, self.size.width, 1)
            for y in range(max(len(before), len(self._rows)))
            if y >= len(before) or y >= len(self._rows) or before[y] != self._rows[y]
        ]
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        """Lays the lines out for the new size."""
        if self._follows:
            self._row = self._row_of_end
        self._lay_out()

    def notify_style_update(self) -> None:
        """Forgets the old styles."""
        super().notify_style_update()
        self._painter = None

    # Selecting ----------------------------------------------------------------------------

    @property
    def fixed_lines(self) -> int:
        """All: what is selected is selected no more where lines move."""
        return self.size.height

    def whole_line(self, number: int) -> Strip | None:
        """A row of the window; None below the last one."""
        return self._draw(number) if number < len(self._rows) else None

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that is selected; that of a line in one, however often it was broken."""
        found: list[str] = []
        for number, row in enumerate(self._rows):
            span = selection.get_span(number)
            if span is None:
                continue
            begin, end = span
            before, drawn = self._written(number)
            if row.first or row.start == _MISSING or not found:
                found.append(drawn[max(begin, _GUTTER) : end if end >= 0 else None])
            else:
                found[-1] += drawn[max(begin, before) : end if end >= 0 else None]
        return "\n".join(line.rstrip() for line in found), "\n"

    def _written(self, number: int) -> tuple[int, str]:
        """A row of the window without what fills it, and where in it the text begins."""
        row, drawn = self._rows[number], self._draw(number).text
        stands = [text for text, _ in self._before(row.entry)]
        before = _GUTTER + sum(len(text) if row.first else cell_len(text) for text in stands)
        if row.start == _MISSING:
            return _GUTTER, drawn
        shown = clean(row.entry.text)[row.start : row.end]
        room = self.size.width - _GUTTER - sum(map(cell_len, stands))
        if not self._wraps and cell_len(shown) > room:
            shown = shown[: fitting(shown, room - 1)[0]]
        return before, drawn[: before + len(shown)]

    def _select_nothing(self) -> None:
        if self.is_attached and self.text_selection is not None:
            self.screen.clear_selection()

    # Painting -----------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Draws a row of the window, what is selected of it marked."""
        return self.with_selection(y, self._draw(y))

    def _draw(self, y: int) -> Strip:
        if self._painter is None:
            self._painter = Painter(self._look, self._get_style, self.glyphs)
        painter, width = self._painter, self.size.width
        if y >= len(self._rows):
            line = Line(painter.style("log-lines--empty"))
            if y == 0 and self.empty_text:
                text = "  " + clean(self.empty_text)
                line.add(text, line.base, cell_len(text))
            line.pad_to(width)
            return line.strip().crop(0, width)
        row = self._rows[y]
        component = "log-lines--cursor" if row.under_cursor else "log-lines--line"
        line = Line(painter.style(component))
        if row.start == _MISSING:
            text = f"  {self.glyphs.ellipsis} lines are missing here"
            line.add(text, painter.style(component, "bold $text-warning"), cell_len(text))
        else:
            line.add(f"{self.glyphs.cursor if row.under_cursor and row.first else ' '} ",
                     line.base, _GUTTER)  # fmt: skip
            for text, style in self._before(row.entry):
                shown = clean(text) if row.first else " " * cell_len(text)
                line.add(shown, painter.style(component, style), cell_len(shown))
            self._add_text(line, painter, component, row, width)
        line.pad_to(width)
        return line.strip().crop(0, width)

    def _add_text(
        self, line: Line, painter: Painter, component: str, row: _Row, width: int
    ) -> None:
        """Adds a piece of a line's text, what is looked for marked."""
        text = clean(row.entry.text)
        start, end = row.start, row.end
        marks = [
            (max(start, left), min(end, right))
            for left, right in self._pattern.spans(text)
            if left < end and right > start
        ]
        room, cut = width - line.width, False
        if not self._wraps:
            fits, _ = fitting(text[start:end], room)
            if start + fits < end:
                end, cut = start + fitting(text[start:end], room - 1)[0], True
        marked = painter.style(component, "reverse")
        at = start
        for left, right in marks:
            left, right = min(left, end), min(right, end)
            line.add(text[at:left], line.base, cell_len(text[at:left]))
            line.add(text[left:right], marked, cell_len(text[left:right]))
            at = right
        line.add(text[at:end], line.base, cell_len(text[at:end]))
        if cut:
            line.add(self.glyphs.more, painter.style(component, "dim"), 1)

    def _look(self, component: str) -> Style:
        return self.get_visual_style(component)
