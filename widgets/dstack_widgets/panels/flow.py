"""Short facts one after the other, broken between them and not within."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.lines import Lines

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


class Flow(Lines):
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
        most: int | None = None,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes one without facts.

        Args:
            most: How many lines there may be; without it, as many as it takes.
            glyphs: The signs to draw.
            id: As for every widget.
        """
        super().__init__(id=id)
        self._glyphs = glyphs
        self._most = most
        self._parts: tuple[Content, ...] = ()

    def show(self, parts: Sequence[Content]) -> None:
        """Shows other parts; only what looks different is painted."""
        before = self.lines(self.size.width)
        self._parts = tuple(parts)
        self.paint(before)

    def lines(self, width: int) -> Sequence[Content]:
        """The facts, broken between them."""
        return flow_lines(self._parts, width, self._glyphs.ellipsis)[: self._most]

    def limit(self, most: int | None) -> None:
        """Says how many lines there may be: what is said last goes first."""
        if most != self._most:
            before = self.lines(self.size.width)
            self._most = most
            self.paint(before)

    @property
    def text(self) -> str:
        """What it says, without styles."""
        return "  ".join(part.plain for part in self._parts)
