"""How values look in a cell: glyph, word, style and what the column sorts by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from textual.content import Content

from dstack_api_client.analysis.moment import Moment
from dstack_fleets_tui.words import formatting
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.table.cells import CellValue

#: Statuses of runs, jobs and instances: style in the palette and which glyph stands before them.
_STATES: dict[str, tuple[str, str]] = {
    "running": ("ok", "bullet"),
    "busy": ("busy", "bullet"),
    "active": ("ok", "bullet"),
    "idle": ("idle", "circle"),
    "done": ("dim", "check"),
    "pending": ("starting", "circle"),
    "submitted": ("starting", "circle"),
    "provisioning": ("starting", "circle"),
    "pulling": ("starting", "circle"),
    "terminating": ("ending", "circle"),
    "terminated": ("dim", "circle"),
    "aborted": ("dim", "circle"),
    "failed": ("bad", "cross"),
    "unreachable": ("bad", "cross"),
}


@dataclass(frozen=True)
class Looks:
    """What cells are made with.

    Attributes:
        at: The moment ages are counted to.
        glyphs: The set of signs in use.
        moment: Takes in when what is made would look different by the time alone.
    """

    at: datetime
    glyphs: Glyphs = UNICODE
    moment: Moment | None = field(default=None, compare=False, repr=False)

    @property
    def now(self) -> datetime:
        """The moment, for what may look different at any other."""
        self._changes(self.at)
        return self.at

    @property
    def today(self) -> date:
        """The day, where one is."""
        here = self.at.astimezone()
        midnight = datetime.combine(here.date() + timedelta(days=1), time.min)
        self._changes(midnight.astimezone())
        return here.date()

    def is_past(self, time: datetime) -> bool:
        """Whether a time has come."""
        if time > self.at:
            self._changes(time)
        return time <= self.at

    def _changes(self, time: datetime) -> None:
        if self.moment is not None:
            self.moment.changes(time)

    def since(self, since: datetime) -> str:
        """How long ago something was, as a text."""
        if self.moment is not None:
            self.moment.changes(formatting.next_age(since, self.at))
        return formatting.age(since, self.at)

    def text(self, text: str, style: str = "", sort: object = None) -> CellValue:
        """A text with a style of the palette and a value to sort by."""
        return CellValue(self.glyphs.dash if text == formatting.NOTHING else text, style, sort)

    def bar(
        self, bar: Content, sort: float, shorter: Callable[[int], Content] | None = None
    ) -> CellValue:
        """A drawn cell, the number it stands for, and what says it where there is less room."""
        return CellValue(bar, "", sort, shorter)

    def word(self, text: str | None, style: str = "") -> CellValue:
        """A text that may be missing."""
        return CellValue(text, style) if text else CellValue(self.glyphs.dash, "dim")

    def number(self, number: float | None, style: str = "") -> CellValue:
        """A number that may be missing."""
        if number is None:
            return self.word(None)
        return CellValue(formatting.count(number), style, number)

    def price(self, dollars: float | None) -> CellValue:
        """Dollars per hour; nothing is paid for SSH hosts, which is a dash too."""
        return self.text(formatting.price(dollars or None), "", dollars or None)

    def age(self, since: datetime | None, *, at_least: bool = False) -> CellValue:
        """How long ago something was; the oldest is the greatest, whenever it was looked at.

        Args:
            since: When it was; None when that is not known.
            at_least: Whether it may have been earlier.
        """
        if since is None:
            return self.word(None)
        mark = "+" if at_least else ""
        return CellValue(f"{self.since(since)}{mark}", "", -since.timestamp())

    def state(self, status: str, more: str = "") -> CellValue:
        """A status as glyph and word; one that is not known is shown as it is.

        Args:
            status: The status.
            more: What is said in its place, by whoever knows more.
        """
        style, glyph = _STATES.get(status, ("", "circle"))
        return CellValue(f"{getattr(self.glyphs, glyph)} {more or status}", style, status)

    def health(self, health: str) -> CellValue:
        """The health of an instance: quiet when healthy."""
        if health == "healthy":
            return CellValue(health, "dim")
        style = "bad" if health == "failure" else "warn"
        return CellValue(f"{self.glyphs.sign(style)} {health}", style)
