"""What is in the way of any data, and how to fix it."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from dstack_fleets_tui.actions.actions import BY_ID
from dstack_fleets_tui.screens.parts.closing import ClosesItself
from dstack_widgets.drawing.text import literal
from dstack_widgets.screen.painting import PaintsAll


class TroubleScreen(ClosesItself, PaintsAll, ModalScreen[None]):
    """One sentence on what happened, one on what to do, and the keys that help."""

    CSS_PATH = Path(__file__).with_name("trouble.tcss")
    hints = ((BY_ID["refresh"].keys, "try again"), (BY_ID["quit"].keys[:1], "quit"))
    BINDINGS = [
        Binding(key, f"do('{action.id}')", action.title, show=False, id=f"trouble.{action.id}")
        for action in (BY_ID["refresh"], BY_ID["quit"])
        for key in action.keys
    ]

    def __init__(self, message: str, hint: str, *, ascii_only: bool = False) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._message = message
        self._hint = hint

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Vertical(id="box"):
            yield Static(literal(self._message), id="what")
            yield Static(literal(self._hint), id="todo")
            yield Static(literal("Ctrl+R try again   q quit"), id="keys")

    def show(self, message: str, hint: str) -> None:
        """Shows other trouble."""
        if (message, hint) == (self._message, self._hint):
            return
        self._message, self._hint = message, hint
        if self.is_mounted:
            self.query_one("#what", Static).update(literal(message))
            self.query_one("#todo", Static).update(literal(hint))

    def action_do(self, action_id: str) -> None:
        """Runs one of the app's actions."""
        getattr(self.app, f"do_{action_id}")("")
