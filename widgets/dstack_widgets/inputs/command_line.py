"""The line at the bottom: commands after `:` and a filter after `/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal

#: How many lines of history are kept.
_HISTORY = 200


class History:
    """The commands that were typed, the latest last; several lines may share one.

    Args:
        lines: Those typed before.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._lines: tuple[str, ...] = ()
        self._take(lines)

    @property
    def lines(self) -> Sequence[str]:
        """The commands."""
        return self._lines

    def add(self, text: str) -> None:
        """Keeps a command, once."""
        if text.strip():
            self._take([*(line for line in self._lines if line != text), text])

    def _take(self, lines: Iterable[str]) -> None:
        self._lines = (*lines,)[-_HISTORY:]


class _Sign(Widget):
    """The sign before the input."""

    DEFAULT_CSS = """
    _Sign {
        width: 2;
        height: 1;
    }
    """

    def __init__(self, sign: str) -> None:
        super().__init__()
        self._sign = sign

    def render(self) -> Content:
        return literal(f" {self._sign}", style_of("accent"))


class _Line(Widget):
    """A line to type in that comes and goes and gives the focus back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Close", show=False, id="line.close"),
    ]

    DEFAULT_CSS = """
    _Line {
        height: auto;
        width: 1fr;
        display: none;

        & > Horizontal {
            height: 1;
        }
        & Input, & Input:focus {
            background: transparent;
            background-tint: transparent;
            width: 1fr;
        }
    }
    """

    def __init__(
        self,
        sign: str,
        suggester: Suggester | None = None,
        *,
        name: str | None,
        id: str | None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._sign = sign
        self._input = Input(compact=True, suggester=suggester, select_on_focus=False)
        # Blinking sends bytes for nothing.
        self._input.cursor_blink = False
        self._focus_before: Widget | None = None

    def compose(self) -> ComposeResult:
        """Holds the sign and the input."""
        with Horizontal():
            yield _Sign(self._sign)
            yield self._input

    @property
    def text(self) -> str:
        """What is typed."""
        return self._input.value

    @property
    def is_open(self) -> bool:
        """Whether the line is there to type in."""
        return self.display

    def open(self, text: str = "") -> None:
        """Shows the line and takes the focus.

        Args:
            text: What stands in it at first.
        """
        if not self.display:
            self._focus_before = self.screen.focused
        self.display = True
        self._input.value = text
        self._input.cursor_position = len(text)
        # Not `focus()`, which comes after the keys that are typed meanwhile.
        self.screen.set_focus(self._input)

    def _close(self) -> None:
        before, self._focus_before = self._focus_before, None
        self.display = False
        if before is not None and before.is_attached:
            self.screen.set_focus(before)


class FilterLine(_Line):
    """A filter that works while it is typed."""

    @dataclass
    class Changed(Message):
        """The filter is another one now."""

        line: FilterLine
        text: str

        @property
        def control(self) -> FilterLine:
            """The line."""
            return self.line

    @dataclass
    class Closed(Message):
        """The line is gone. Enter kept the filter; Esc made it empty."""

        line: FilterLine
        text: str

        @property
        def control(self) -> FilterLine:
            """The line."""
            return self.line

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes a line that is not open yet.

        Args:
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__("/", name=name, id=id, classes=classes)
        self._told = ""

    def open(self, text: str = "") -> None:
        """Shows the line and takes the focus.

        Args:
            text: The filter there is.
        """
        self._told = text
        super().open(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Reports the filter."""
        event.stop()
        self._tell(event.value)

    def _tell(self, text: str) -> None:
        if self.is_open and text != self._told:
            self._told = text
            self.post_message(self.Changed(self, text))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps the filter."""
        event.stop()
        self._tell(event.value)
        self._close()
        self.post_message(self.Closed(self, event.value))

    def action_cancel(self) -> None:
        """Gives the filter up."""
        self._tell("")
        self._close()
        self.post_message(self.Closed(self, ""))


class _FirstCandidate(Suggester):
    """Shows the first candidate as a shadow behind the cursor."""

    def __init__(self, complete: Callable[[str], Sequence[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        for candidate in self._complete(value) if value else ():
            if candidate.startswith(value):
                return candidate
        return None


class _Candidates(Widget):
    """One line with what could be meant."""

    DEFAULT_CSS = """
    _Candidates {
        width: 1fr;
        height: 1;
        display: none;
    }
    """

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._candidates: tuple[str, ...] = ()
        self._chosen = ""

    def show(self, candidates: Sequence[str], chosen: str) -> None:
        if (tuple(candidates), chosen) != (self._candidates, self._chosen):
            self._candidates, self._chosen = tuple(candidates), chosen
            self.display = len(candidates) > 1
            self.refresh()

    def render(self) -> Content:
        line = Content(" ")
        for candidate in self._candidates:
            style = "reverse" if candidate == self._chosen else style_of("dim")
            piece = literal(candidate, style)
            if line.cell_length + piece.cell_length + 3 > self.size.width:
                return line + literal(self._glyphs.ellipsis, style_of("dim"))
            line = line + piece + "  "
        return line


class CommandLine(_Line):
    """Commands, with completion by Tab and history by the arrow keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # No priority: what was typed before the key has to be in the line by then.
        Binding("tab", "complete(1)", "Complete", show=False, id="line.complete"),
        Binding(
            "shift+tab",
            "complete(-1)",
            "Complete backwards",
            show=False,
            id="line.complete-back",
        ),
        Binding("up", "history(-1)", "Earlier command", show=False, id="line.earlier"),
        Binding("down", "history(1)", "Later command", show=False, id="line.later"),
    ]

    @dataclass
    class Submitted(Message):
        """A command was entered."""

        line: CommandLine
        text: str

        @property
        def control(self) -> CommandLine:
            """The line."""
            return self.line

    @dataclass
    class Closed(Message):
        """The line is gone, without a command."""

        line: CommandLine

        @property
        def control(self) -> CommandLine:
            """The line."""
            return self.line

    def __init__(
        self,
        complete: Callable[[str], Sequence[str]] = lambda text: (),
        *,
        history: History | None = None,
        glyphs: Glyphs = UNICODE,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes a line that is not open yet.

        Args:
            complete: Gives whole command lines for what is typed, the likeliest first.
            history: Where commands are kept; for this line alone without it.
            glyphs: The signs to draw.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__(":", _FirstCandidate(complete), name=name, id=id, classes=classes)
        self._complete = complete
        self._candidates = _Candidates(glyphs)
        self._history = history if history is not None else History()
        self._at = 0
        self._typed = ""
        self._set_by_us = ""

    def compose(self) -> ComposeResult:
        """Holds the candidates above the line."""
        yield self._candidates
        yield from super().compose()

    @property
    def history(self) -> Sequence[str]:
        """The commands entered, the latest last."""
        return self._history.lines

    def open(self, text: str = "") -> None:
        """Shows the line and takes the focus.

        Args:
            text: What stands in it at first.
        """
        self._at = len(self.history)
        self._typed = text
        self._candidates.show((), "")
        super().open(text)

    def _put(self, text: str) -> None:
        self._set_by_us = text
        self._input.value = text
        self._input.cursor_position = len(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Looks for candidates."""
        event.stop()
        if event.value == self._set_by_us:
            return
        self._set_by_us = ""
        self._typed = event.value
        self._at = len(self.history)
        self._candidates.show(self._complete(event.value) if event.value else (), "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Reports the command."""
        event.stop()
        text = event.value.strip()
        self._close()
        if not text:
            self.post_message(self.Closed(self))
            return
        self._history.add(event.value.rstrip())
        self.post_message(self.Submitted(self, text))

    def action_cancel(self) -> None:
        """Closes the line."""
        self._close()
        self.post_message(self.Closed(self))

    def action_complete(self, direction: int) -> None:
        """Puts the next candidate into the line.

        Args:
            direction: 1 for the next one, -1 for the one before.
        """
        candidates = list(self._complete(self._typed))
        if not candidates:
            return
        if self.text in candidates and self.text != self._typed:
            index = (candidates.index(self.text) + direction) % len(candidates)
        else:
            index = 0 if direction > 0 else len(candidates) - 1
        self._put(candidates[index])
        self._candidates.show(candidates, candidates[index])

    def action_history(self, direction: int) -> None:
        """Puts an earlier or later command into the line.

        Args:
            direction: -1 for the one before, 1 for the next one.
        """
        at = self._at + direction
        lines = self.history
        if 0 <= at <= len(lines):
            self._at = at
            self._put(lines[at] if at < len(lines) else self._typed)
            self._candidates.show((), "")
