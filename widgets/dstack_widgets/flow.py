"""Short facts one after the other, broken between them and not within."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Region, Size
from textual.widget import Widget

from .glyphs import UNICODE, Glyphs
from .text import changed_stretches, literal

_GAP = 3


def flow_lines(parts: Sequence[Content], width: int, ellipsis: str = "…") -> list[Content]:
    """Lays parts out in lines.

    Args:
        parts: The parts, in order.
        width: Cells of a line.
        ellipsis: Where a part that is wider than a line was cut.

    Returns:
        The lines; a part starts a new one where it does not fit.
    """
    lines: list[Content] = []
    for part in parts:
        if lines and lines[-1].cell_length + _GAP + part.cell_length <= width:
            lines[-1] = lines[-1] + literal(" " * _GAP) + part
        elif part.cell_length > width:
            lines.append(part.truncate(max(0, width - 1)) + literal(ellipsis))
        else:
            lines.append(part)
    return lines


class Flow(Widget):
    """A few lines of facts, as high as they need."""

    DEFAULT_CSS = """
    Flow {
        height: auto;
        width: 1fr;
    }
    """

    def __init__(
        self,
        *,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes one without facts.

        Args:
            glyphs: The signs to draw.
            id: As for every widget.
        """
        super().__init__(id=id)
        self._glyphs = glyphs
        self._parts: tuple[Content, ...] = ()

    def show(self, parts: Sequence[Content]) -> None:
        """Shows other parts; only what looks different is painted."""
        before = self._lines(self.size.width)
        self._parts = tuple(parts)
        lines = self._lines(self.size.width)
        if len(lines) != len(before):
            self.refresh(layout=True)
            return
        left, top = self.gutter.left, self.gutter.top
        regions = [
            Region(left + start, top + y, end - start, 1)
            for y, (old, new) in enumerate(zip(before, lines, strict=True))
            for start, end in changed_stretches(old, new)
        ]
        if regions:
            self.refresh(*regions)

    def _lines(self, width: int) -> list[Content]:
        return flow_lines(self._parts, width, self._glyphs.ellipsis)

    @property
    def text(self) -> str:
        """What it says, without styles."""
        return "  ".join(part.plain for part in self._parts)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the parts take."""
        return max(1, len(self._lines(width)))

    def render(self) -> Content:
        """Draws the lines."""
        return Content("\n").join(self._lines(self.size.width))
