"""Details of the row under the cursor, in the room that a table leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual.containers import Container
from textual.content import Content

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.lines import Lines
from dstack_widgets.table.live_table import LiveTable

#: Lines that a part keeps before others are cut, its title among them.
_LEAST = 3
#: Of the height, the part that a pane below the table has at least, and of the width that of one
#: beside it, in percent.
BELOW, BESIDE = 45, 42
#: The limits of that, in percent, and how far one key moves it.
_SMALLEST, _LARGEST, _STEP = 20, 80, 5


class Section(NamedTuple):
    """One part of the details."""

    title: str
    """Stands above it; may be empty."""
    lines: Sequence[Content]
    """What it says."""
    left: int = 0
    """How many more lines there would be."""


#: Makes the details for a number of cells and lines; of what is more than that the count will do.
Details = Callable[[int, int], Sequence[Section]]


def detail_lines(
    sections: Sequence[Section], height: int, glyphs: Glyphs = UNICODE
) -> list[Content]:
    """Lays details out in the room there is: what is longest is cut first.

    Args:
        sections: The parts, in order; those that say nothing are left out.
        height: How many lines there are.
        glyphs: The signs to draw.

    Returns:
        So many lines.
    """
    shown = [section for section in sections if section.lines]
    kept = [len(section.lines) + (section.left > 0) for section in shown]
    while shown and sum(kept) + _around(shown) > height:
        longest = max(range(len(kept)), key=lambda at: kept[at])
        if kept[longest] < _LEAST:
            shown, kept = shown[:-1], kept[:-1]
        else:
            kept[longest] -= 1
    lines: list[Content] = []
    for section, count in zip(shown, kept, strict=True):
        if lines:
            lines.append(Content(""))
        if section.title:
            lines.append(literal(section.title, style_of("strong")))
        lines += _cut(section, count, glyphs)
    return [*lines, *[Content("")] * (height - len(lines))][: max(0, height)]


def _around(sections: Sequence[Section]) -> int:
    """Lines for titles, and blank ones between parts."""
    return len(sections) - 1 + sum(bool(section.title) for section in sections)


def _cut(section: Section, count: int, glyphs: Glyphs) -> Sequence[Content]:
    left = section.left + len(section.lines) - count
    if left <= 0 and not section.left:
        return section.lines
    return [
        *section.lines[: count - 1],
        literal(f"{glyphs.ellipsis} and {left + 1} more", style_of("dim")),
    ]


class DetailPane(Lines):
    """Details that paint only what changed in them."""

    DEFAULT_CSS = """
    DetailPane {
        width: 1fr;
        height: 1fr;
        padding: 0 1;
    }
    """

    def __init__(self, *, glyphs: Glyphs = UNICODE) -> None:
        """Makes one without details.

        Args:
            glyphs: The signs to draw.
        """
        super().__init__()
        self._glyphs = glyphs
        self._details: Details | None = None
        self._made: tuple[tuple[int, int], Sequence[Section]] | None = None
        self.ruled = False

    @property
    def text(self) -> str:
        """What it says, without styles."""
        return "\n".join(line.plain.rstrip() for line in self.lines(self.size.width)).strip()

    def show(self, details: Details | None) -> None:
        """Shows other details; only what looks different is painted, and nothing of the same."""
        if details is self._details:
            return
        before = self.lines(self.size.width)
        self._details, self._made = details, None
        self.paint(before)

    def lines(self, width: int) -> Sequence[Content]:
        """The details, and blank lines below them."""
        if not width or not self.size.height or self._details is None:
            return [Content("")] * self.size.height
        height = self.size.height - self.ruled
        if self._made is None or self._made[0] != (width, height):
            self._made = (width, height), self._details(width, height)
        lines = detail_lines(self._made[1], height, self._glyphs)
        rule = [literal(self._glyphs.rule * width, style_of("dim"))] if self.ruled else []
        return [*rule, *lines]


class TableWithPane(Container):
    """A table, and details of its row right of it or below it.

    Args:
        table: The table.
        pane: The details.
    """

    DEFAULT_CSS = """
    TableWithPane {
        height: 1fr;
        width: 1fr;
        layout: vertical;
    }
    TableWithPane.-beside {
        layout: horizontal;
    }
    TableWithPane.-beside DetailPane {
        padding: 0 1 0 3;
    }
    """

    def __init__(self, table: LiveTable, pane: DetailPane) -> None:
        super().__init__(table, pane)
        self._table = table
        self._pane = pane
        self._beside = False
        self._percent: int | None = None
        pane.display = False

    @property
    def percent(self) -> int:
        """The part of the room that the pane has now."""
        if self._beside:
            return round(100 * self._pane.outer_size.width / max(1, self.size.width))
        return round(100 * self._pane.outer_size.height / max(1, self.size.height))

    def show_pane(self, *, shown: bool, beside: bool, percent: int | None) -> None:
        """Shows the pane or hides it.

        Args:
            shown: Whether it is shown.
            beside: Whether it stands right of the table.
            percent: The part of the room that it has; without it, what the table leaves.
        """
        self._beside, self._percent = beside, percent
        if self._pane.display != shown:
            self._pane.display = shown
        self._pane.ruled = shown and not beside
        self.set_class(beside and shown, "-beside")
        self.fit()

    def on_resize(self) -> None:
        """Shares the room out again."""
        self.fit()

    def fit(self) -> None:
        """Shares the room out: below, the table is no higher than its rows."""
        height = self.size.height
        if not self._pane.display:
            self._give(self._table, None, None)
            return
        if self._beside:
            self._give(self._table, None, None)
            self._give(self._pane, self._percent or BESIDE, None)
            return
        least = height * (self._percent or BELOW) // 100
        rows = height if self._percent else len(self._table.keys) + 1
        self._give(self._table, None, max(3, min(rows, height - least)))
        self._give(self._pane, None, None)

    @staticmethod
    def _give(widget: LiveTable | DetailPane, percent: int | None, lines: int | None) -> None:
        width = "1fr" if percent is None else f"{percent}%"
        height = "1fr" if lines is None else str(lines)
        if str(widget.styles.width) != width:
            widget.styles.width = width
        if str(widget.styles.height) != height:
            widget.styles.height = height


def moved(percent: int, steps: int) -> int:
    """A part of the room, some steps larger or smaller; never past its limits by a step."""
    largest = max(percent, _LARGEST) if steps > 0 else _LARGEST
    return max(_SMALLEST, min(largest, percent + steps * _STEP))
