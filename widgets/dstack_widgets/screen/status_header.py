"""The lines around a screen: who it is connected to, which tabs there are, which keys work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.reactive import var
from textual.widget import Widget

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import changed_stretches, clean, literal, shorten

Connection = Literal[
    "connecting",
    "live",
    "late",
    "stale",
    "paused",
    "unauthorised",
    "no project",
    "too old",
    "unreachable",
]

_STYLES = {
    "connecting": "starting",
    "live": "ok",
    "late": "warn",
    "stale": "warn",
    "paused": "accent",
    "unauthorised": "bad",
    "no project": "bad",
    "too old": "bad",
    "unreachable": "bad",
}


#: How what is to be seen before all else is drawn.
_MODE = "bold reverse $text-accent"
#: So many cells the right part may be wider than it needs.
_SPARE = 3


@dataclass(frozen=True)
class HeaderState:
    """What the header shows."""

    project: str
    """The name of the project."""
    host: str
    """The server's host."""
    now: datetime
    """The time of day to show."""
    connection: Connection = "connecting"
    """How the connection is."""
    observed_at: datetime | None = None
    """When what is on the screen was read; nothing was read yet without it."""
    version: str = ""
    """Of the server."""
    extra: str = ""
    """Such as an add-on and its version."""
    mode: str = ""
    """What is to be seen before all else, such as that this is past."""


def age_text(seconds: float) -> str:
    """Writes how old something is, such as `3 s`, `2 min`, `5 h` or `12 d`."""
    seconds = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def connection_text(state: HeaderState) -> str:
    """Writes the connection's state with the age of the data."""
    observed = state.observed_at
    if observed is None:
        return state.connection
    if state.connection == "live":
        return f"live {age_text((state.now - observed).total_seconds())}"
    if state.connection not in ("late", "stale", "paused", "unreachable"):
        return state.connection
    when = "%H:%M:%S" if observed.date() == state.now.date() else "%Y-%m-%d %H:%M"
    return f"{state.connection} since {observed.strftime(when)}"


def header_parts(
    state: HeaderState, width: int, glyphs: Glyphs = UNICODE
) -> tuple[Content, Content]:
    """Lays the header out.

    The less important goes first: the add-on, the clock, the version, then the end of the host and
    of the project. The connection's state always stays.

    Args:
        state: What to show.
        width: Cells there are.
        glyphs: The signs to draw.

    Returns:
        What stands at the left and what stands at the right.
    """
    word = connection_text(state)
    clock = state.now.strftime("%H:%M:%S")
    name = f"{state.project} @ {state.host}" if state.host else state.project
    # Whatever is left out, one more thing fits; at the end there is only the name and the state,
    # and what has to be seen with its time.
    last = clock if state.mode else ""
    choices = [
        (state.version, state.extra, clock),
        (state.version, "", clock),
        (state.version, "", last),
        ("", "", last),
    ]
    for version, extra, time in choices:
        about = f" {glyphs.dot} ".join(part for part in (version, extra) if part)
        left = literal(f" {name}", style_of("strong"))
        if about:
            left += literal(f"  {about}", style_of("dim"))
        right = literal(word, style_of(_STYLES[state.connection]))
        if state.mode:
            right = literal(f" {state.mode} ", _MODE) + literal("  ") + right
        if time:
            right += literal(f" {glyphs.dot} {time}", style_of("dim"))
        right += literal(" ")
        if left.cell_length + 2 + right.cell_length <= width:
            return left, right
    room = max(0, width - right.cell_length - 2)
    return literal(shorten(f" {name}", room, glyphs.ellipsis), style_of("strong")), right


class _Part(Widget):
    """A piece of a line that is painted only when it changed."""

    DEFAULT_CSS = """
    _Part {
        width: 1fr;
        height: 1;
        text-wrap: nowrap;
    }
    """

    content: var[Content] = var(Content(""), init=False)

    def show(self, content: Content) -> None:
        stretches = changed_stretches(self.content, content)
        if stretches:
            self.content = content
            self.refresh(*(Region(left, 0, right - left, 1) for left, right in stretches))

    def render(self) -> Content:
        return self.content


class StatusHeader(Widget):
    """One line: project, server and version at the left; state, age and clock at the right.

    The two are painted apart, so that a clock that ticks costs a few bytes and not a line.
    """

    DEFAULT_CSS = """
    StatusHeader {
        layout: horizontal;
        height: 1;
        width: 1fr;
    }
    """

    def __init__(
        self,
        *,
        glyphs: Glyphs = UNICODE,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes an empty header.

        Args:
            glyphs: The signs to draw.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__(name=name, id=id, classes=classes)
        self.glyphs = glyphs
        self._state: HeaderState | None = None
        self._left = _Part()
        self._right = _Part()
        self._right.styles.width = 0

    def compose(self) -> ComposeResult:
        """Holds both parts."""
        yield self._left
        yield self._right

    @property
    def text(self) -> str:
        """What the header says, without styles."""
        return f"{self._left.content.plain}  {self._right.content.plain}".strip()

    def show(self, state: HeaderState) -> None:
        """Shows another state."""
        self._state = state
        self._lay_out()

    def on_resize(self) -> None:
        """Fits the parts to the width."""
        self._lay_out()

    def _lay_out(self) -> None:
        if self._state is None or not self.size.width:
            return
        left, right = header_parts(self._state, self.size.width, self.glyphs)
        # Another width lays the screen out again: "live 10 s" keeps its room for "live 9 s".
        spare = self._right.content.cell_length - right.cell_length
        if 0 < spare <= _SPARE and left.cell_length + right.cell_length + spare <= self.size.width:
            right = right.pad_left(spare)
        if right.cell_length != self._right.content.cell_length:
            self._right.styles.width = right.cell_length
        self._left.show(left)
        self._right.show(right)


class Tab(NamedTuple):
    """One of the tabs."""

    key: str
    """The key that goes there, such as `1`."""
    title: str
    """Its title."""
    badge: str = ""
    """Something to see there, such as `2!`."""
    style: str = "warn"
    """The style of that in the palette."""


class TabsLine(Widget):
    """One line with the tabs, `1 Fleets   2 Services`, and a note at its right end."""

    DEFAULT_CSS = """
    TabsLine {
        height: 1;
        width: 1fr;
        text-wrap: nowrap;
    }
    """

    @dataclass
    class TabClicked(Message):
        """A tab was clicked."""

        tabs: TabsLine
        key: str

        @property
        def control(self) -> TabsLine:
            """The line of tabs."""
            return self.tabs

    def __init__(
        self,
        tabs: Sequence[Tab] = (),
        active: str = "",
        *,
        glyphs: Glyphs = UNICODE,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes a line of tabs.

        Args:
            tabs: The tabs, from the left.
            active: The key of the active one.
            glyphs: The signs to draw.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__(name=name, id=id, classes=classes)
        self._tabs = tuple(tabs)
        self._active = active
        self._note = ""
        self._glyphs = glyphs

    def show(self, tabs: Sequence[Tab], active: str) -> None:
        """Shows other tabs, or another one as active; the same again cost nothing."""
        if (tuple(tabs), active) != (self._tabs, self._active):
            self._tabs, self._active = tuple(tabs), active
            self.refresh()

    def note(self, text: str) -> None:
        """Shows another note, cut where there is no room; the same one again costs nothing."""
        if text != self._note:
            self._note = text
            self.refresh()

    def render(self) -> Content:
        """Draws the line. The active tab is underlined, so that it needs no colour."""
        line = Content("").join(piece for _, piece in self._shown_pieces())
        room = self.size.width - line.cell_length - 1
        note = shorten(clean(self._note), room, self._glyphs.ellipsis)
        if not note:
            return line
        return line + literal(note, style_of("accent")).pad_left(room - cell_len(note))

    def _shown_pieces(self) -> list[tuple[Tab | None, Content]]:
        """What is drawn, from the left: the tabs there is room for, the active one among them.

        A sign without a tab stands where others are left out.
        """
        pieces = list(zip(self._tabs, self._pieces(), strict=True))
        width = self.size.width
        if sum(piece.cell_length for _, piece in pieces) - 1 <= width or not pieces:
            return list(pieces)
        active = next((n for n, (tab, _) in enumerate(pieces) if tab.key == self._active), 0)
        cut = literal(self._glyphs.ellipsis, style_of("dim"))

        def needed(first: int, last: int) -> int:
            cells = sum(piece.cell_length for _, piece in pieces[first : last + 1])
            # The blank behind the last one needs no room.
            behind = cut.cell_length if last + 1 < len(pieces) else -1
            return cells + behind + (cut.cell_length if first else 0)

        first, last = 0, active
        while first < active and needed(first, last) > width:
            first += 1
        while last + 1 < len(pieces) and needed(first, last + 1) <= width:
            last += 1
        shown: list[tuple[Tab | None, Content]] = [(None, cut)] if first else []
        shown += pieces[first : last + 1]
        return [*shown, (None, cut)] if last + 1 < len(pieces) else shown

    def _pieces(self) -> list[Content]:
        """The tabs with the blanks around them, fewer where they would not fit."""
        pieces = []
        for tab in self._tabs:
            active = tab.key == self._active
            title = literal(tab.title, "bold underline" if active else "")
            badge = literal(f" {tab.badge}", style_of(tab.style)) if tab.badge else Content("")
            pieces.append(literal(" ") + literal(tab.key, style_of("dim")) + " " + title + badge)
        wide = sum(piece.cell_length + 2 for piece in pieces) - 2
        gap = "  " if wide <= self.size.width else " "
        return [piece + gap for piece in pieces]

    def on_click(self, event: events.Click) -> None:
        """Reports which tab was clicked."""
        x = event.x
        for tab, piece in self._shown_pieces():
            if x < piece.cell_length:
                if tab is not None:
                    self.post_message(self.TabClicked(self, tab.key))
                return
            x -= piece.cell_length


def keys_line(keys: Sequence[tuple[str, str]], width: int) -> Content:
    """Lays keys out with what they do, as many as there is room for.

    Args:
        keys: Key and title, the most important first.
        width: Cells there are.

    Returns:
        The line; the key for help ends it, whatever was left out.
    """

    def piece(key: str, title: str) -> Content:
        return literal(key, style_of("accent")) + literal(f" {title}", style_of("dim"))

    help_piece = next((piece(*each) for each in keys if each[1] == "help"), Content())
    line = Content(" ")
    for key, title in keys:
        if title == "help":
            continue
        each = piece(key, title) + "  "
        if line.cell_length + each.cell_length + help_piece.cell_length > width:
            break
        line += each
    return line + help_piece


class KeysFooter(Widget):
    """One line with the keys that work here."""

    DEFAULT_CSS = """
    KeysFooter {
        height: 1;
        width: 1fr;
    }
    """

    def __init__(
        self,
        keys: Sequence[tuple[str, str]] = (),
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes a footer.

        Args:
            keys: Key and title, the most important first.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__(name=name, id=id, classes=classes)
        self._keys = tuple(keys)

    def show(self, keys: Sequence[tuple[str, str]]) -> None:
        """Shows other keys; the same ones again cost nothing."""
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    def render(self) -> Content:
        """Draws the line."""
        return keys_line(self._keys, self.size.width)
