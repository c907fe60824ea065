"""A log to read and to follow."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from dstack_widgets.logs.log_view import LogView

#: Lines that one turn of the wheel scrolls.
_WHEEL_LINES = 3


class LogLines(LogView, can_focus=True):
    """Lines in the order of time, the newest last. With the cursor on the last one, it follows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="log.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="log.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="log.page-up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="log.page-down"),
        Binding("home,g", "first", "First line", show=False, id="log.first"),
        Binding("end,G", "last", "Last line", show=False, id="log.last"),
        Binding("left", "sideways(-1)", "Left", show=False, id="log.left"),
        Binding("right", "sideways(1)", "Right", show=False, id="log.right"),
    ]

    def _go(self, index: int, row: int) -> None:
        count = len(self._lines.passing)
        self._index, self._row = max(0, min(index, count - 1)), row
        self._lay_out()
        at_end = not count or self._row + self._height(self._index) <= self.size.height
        self._follows = self._index >= count - 1 and at_end
        self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        """Goes a line up or down; within a line that is higher than the window, a row."""
        if self._lines.passing and not self._move_within(by, 1):
            index = self._index + by
            if 0 <= index < len(self._lines.passing):
                rows = self._height(self._index) if by > 0 else -self._height(index)
                self._go(index, self._row + rows)

    def _move_within(self, by: int, rows: int) -> bool:
        """Scrolls within the cursor's line where there is more of it that way."""
        more_below = self._row + self._height(self._index) > self.size.height
        if (by > 0 and more_below) or (by < 0 and self._row < 0):
            self._go(self._index, self._row - by * rows)
            return True
        return False

    def action_page(self, by: int) -> None:
        """Goes a page up or down."""
        count, height = len(self._lines.passing), self.size.height
        if not count or self._move_within(by, height - 1):
            return
        index, rows = self._index, 0
        while 0 <= index + by < count:
            index += by
            rows += self._height(index)
            if rows >= height - 1:
                break
        self._go(index, self._row)

    def action_first(self) -> None:
        """Goes to the first line."""
        self._go(0, 0)

    def action_last(self) -> None:
        """Goes to the last line, and follows."""
        self._index = max(0, len(self._lines.passing) - 1)
        self._go(self._index, self._row_of_end)
        self._follows = True

    def action_sideways(self, by: int) -> None:
        """Scrolls by half a screen, where lines are not wrapped."""
        if not self._wraps:
            half = self.size.width // 2
            longest = max((len(row.entry.text) for row in self._rows), default=0)
            self._shift = max(0, min(self._shift + by * half, longest // half * half))
            self.lay_out_again()

    def go_to_next(self, by: int) -> bool:
        """Goes to the next line with what is looked for.

        Args:
            by: 1 for later ones, -1 for earlier ones.

        Returns:
            Whether there is one.
        """
        passing, index = self._lines.passing, self._index + by
        while self._pattern and 0 <= index < len(passing):
            if self._pattern.passes(passing[index].text):
                self._go(index, self.size.height // 2)
                return True
            index += by
        return False

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Goes three lines down."""
        event.stop()
        for _ in range(_WHEEL_LINES):
            self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Goes three lines up."""
        event.stop()
        for _ in range(_WHEEL_LINES):
            self.action_move(-1)

    def on_mouse_down(self) -> None:
        """Has the lines stay where they are while the mouse selects."""
        self._follows = False
        self.post_message(self.Moved(self))

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on a line."""
        if self.text_selection is not None:
            return  # the end of a selection, not a click
        offset = event.get_content_offset(self)
        if offset is not None and offset.y < len(self._rows):
            row = self._rows[offset.y]
            index = self._lines.index_of(row.entry)
            top = next(y for y, each in enumerate(self._rows) if each.entry is row.entry)
            self._go(index, top)
