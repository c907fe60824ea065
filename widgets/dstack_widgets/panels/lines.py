"""A widget of a few lines that paints only what changed in them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Region, Size
from textual.widget import Widget

from dstack_widgets.drawing.text import changed_stretches


class Lines(Widget):
    """A few lines laid out for the width there is."""

    def lines(self, width: int) -> Sequence[Content]:
        """Lays the lines out.

        Args:
            width: Cells of a line.
        """
        raise NotImplementedError

    def paint(self, before: Sequence[Content]) -> None:
        """Paints what looks different now; another number of lines has the screen laid out again.

        Args:
            before: The lines as they were.
        """
        lines = self.lines(self.size.width)
        if len(lines) != len(before):
            self.refresh(layout=True)
            self.call_after_refresh(self._settle)
            return
        # Textual counts these from where the content begins, behind padding and border.
        regions = [
            Region(start, y, end - start, 1)
            for y, (old, new) in enumerate(zip(before, lines, strict=True))
            for start, end in changed_stretches(old, new)
        ]
        if regions:
            self.refresh(*regions)

    def _settle(self) -> None:
        """Sees to it that the new number of lines has room.

        Textual goes by the height it remembers where a layout came between two changes before the
        widget was idle.
        """
        if self.size.width and self.size.height != max(1, self.height_at(self.size.width)):
            self.refresh(repaint=False, layout=True)

    def height_at(self, width: int) -> int:
        """How many lines there are at a width."""
        return len(self.lines(width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are, and at least one."""
        return max(1, self.height_at(width))

    def render(self) -> Content:
        """Draws the lines."""
        return Content("\n").join(self.lines(self.size.width))
