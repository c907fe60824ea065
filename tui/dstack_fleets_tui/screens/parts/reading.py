"""A box with something to look up; nothing is asked in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_widgets.drawing.glyphs import ASCII, UNICODE
from dstack_widgets.panels.facts import Fact, Facts, Heading


class ReadingScreen(Asking, ModalScreen[None]):
    """A box of names and values; any of its keys closes it.

    Args:
        ascii_only: Whether only ASCII is drawn.
    """

    CSS_PATH = Path(__file__).with_name("reading.tcss")
    BINDINGS = [
        Binding("escape,question_mark,q,enter", "close", "close", show=False, id="reading.close")
    ]
    guard = 0.0
    asks = False
    closing = "close"

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        """The box."""
        box = Facts(list(self.facts()), glyphs=ASCII if self._ascii else UNICODE, id="box")
        box.border_subtitle = "esc closes this"
        yield box

    def facts(self) -> Iterable[Fact | Heading]:
        """What stands in the box."""
        raise NotImplementedError

    def action_close(self) -> None:
        """Goes back."""
        self.answer()
