"""The line above the footer: the message that stands now, or what the row under the cursor is."""

from __future__ import annotations

from typing import NamedTuple, cast

from textual.content import Content
from textual.widgets import Static

from dstack_fleets_tui.host.host import Host
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal

#: Lines that it takes at most, as in its styles.
_MOST_LINES = 5


def said_content(app: Host) -> Content | None:
    """The message that stands now, as it is drawn; None without one."""
    said = app.said.current
    if said is None:
        return None
    mark = f"{app.glyphs.warning} " if said.warning else ""
    content = literal(f"{mark}{said.message}", style_of("warn" if said.warning else "accent"))
    waiting = app.said.waiting
    return content + literal(f"  +{waiting} more", style_of("dim")) if waiting else content


class Summary(NamedTuple):
    """What the line says while there is no message.

    Attributes:
        text: One line on what is under the cursor.
        failure: Why what only this screen reads can't be read.
        whole: Whether the text may take several lines.
    """

    text: str = ""
    failure: str = ""
    whole: bool = False


class SaidLine(Static):
    """The line; a message takes its place, but never that of a failure."""

    _width, _lines = 0, 1
    """Cells that it was made for, and the lines that it takes."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002 - as Textual names it
        super().__init__(Content(), id=id, markup=False)

    @property
    def _cells(self) -> int:
        return max(2, self.app.size.width - 2)

    def show(self, summary: Summary, failing: str) -> None:
        """Shows what stands now.

        Args:
            summary: What it says where there is no message.
            failing: Why what was read is old, if it is.
        """
        failure = failing or summary.failure
        message = said_content(cast("Host", self.app))
        below = [literal(failure, style_of("warn"))] if failure else []
        if message is not None:
            room = _MOST_LINES - sum(len(each.wrap(self._cells)) for each in below)
            below.insert(0, self._in_lines(message, max(1, room)))
        content = Content("\n").join(below or [literal(summary.text)])
        if content.is_same(cast("Content", self.content)) and self._width == self._cells:
            return
        self._width = self._cells
        wraps = bool(failure) or message is not None or summary.whole
        lines = len(content.wrap(self._cells)) if wraps else 1
        self.set_class(lines > 1, "-whole")
        self.update(content, layout=lines != self._lines)
        self._lines = lines

    def _in_lines(self, content: Content, most: int) -> Content:
        """A text in so many lines; `:messages` has the whole of one that is cut."""
        lines = content.wrap(self._cells)
        if len(lines) <= most:
            return content
        mark = cast("Host", self.app).glyphs.ellipsis
        last = lines[most - 1].rstrip().truncate(self._cells - len(mark)) + mark
        return Content("\n").join([*lines[: most - 1], last])
