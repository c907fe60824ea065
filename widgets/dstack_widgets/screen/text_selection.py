"""Text of a table or a log that the mouse selects."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Offset, Region
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget


class SelectsText(Widget):
    """Lines below fixed ones, over which the mouse is dragged to select what is written there.

    Textual finds a place in a text by marks in each segment that is drawn. Here it is counted where
    the pointer is, so that lines are drawn and kept as they are where nothing is selected.
    """

    ALLOW_SELECT = True

    _was_selected: Selection | None = None

    @property
    def fixed_lines(self) -> int:
        """How many lines at the top do not scroll."""
        raise NotImplementedError

    def whole_line(self, number: int) -> Strip | None:
        """A line of all that there is to scroll over, the fixed ones first; None behind the end."""
        raise NotImplementedError

    def _number_of(self, y: int) -> int:
        return y if y < self.fixed_lines else y + round(self.scroll_y)

    def _text_of(self, number: int) -> str:
        line = self.whole_line(number)
        return line.text.rstrip() if line is not None else ""

    def place_in_text(self, x: int, y: int) -> Offset:
        """Where in its text a cell of the window is: the character, and the line."""
        number = self._number_of(y)
        text, cells = self._text_of(number), x
        for index, character in enumerate(text):
            cells -= get_character_cell_size(character)
            if cells < 0:
                return Offset(index, number)
        return Offset(len(text), number)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that is selected, without blanks at the ends of lines."""
        return "\n".join(self._selected_lines(selection)), "\n"

    def _selected_lines(self, selection: Selection) -> Iterator[str]:
        first = selection.start.y if selection.start is not None else 0
        last = selection.end.y if selection.end is not None else self.virtual_size.height
        for number in range(first, last + 1):
            span = selection.get_span(number)
            if span is None or self.whole_line(number) is None:
                return
            start, end = span
            text = self._text_of(number)
            yield text[start : end if end >= 0 else None].rstrip()

    def selection_updated(self, selection: Selection | None) -> None:
        """Paints the lines of which another part is selected now."""
        before, self._was_selected = self._was_selected, selection
        for y in range(self.size.height):
            number = self._number_of(y)
            if _span(before, number) != _span(selection, number):
                self.refresh(Region(0, y, self.size.width, 1))

    def with_selection(self, y: int, line: Strip) -> Strip:
        """A line of the window with what is selected of it marked."""
        selection = self.text_selection
        span = _span(selection, self._number_of(y))
        if span is None:
            return line
        style = self.screen.get_component_rich_style("screen--selection")
        return _marked(line, *span, style)


def _span(selection: Selection | None, number: int) -> tuple[int, int] | None:
    return selection.get_span(number) if selection is not None else None


def _marked(line: Strip, start: int, end: int, style: Style) -> Strip:
    """A line with some of its characters in another style; to its end for an end below zero."""
    text = line.text
    left = sum(map(get_character_cell_size, text[:start]))
    right = left + sum(map(get_character_cell_size, text[start : end if end >= 0 else None]))
    middle = line.crop(left, right)
    marked = Strip(Segment.apply_style(middle, post_style=style), middle.cell_length)
    return Strip.join([line.crop(0, left), marked, line.crop(right)])
