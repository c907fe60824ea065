"""The keys of a screen and what they do."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from dstack_fleets_tui import actions

#: What the table itself listens to, for every screen.
TABLE_KEYS = (
    ("↑ ↓ j k", "up and down"),
    ("PgUp PgDn g G", "a page; the first and the last row"),
    ("← →", "scroll columns that do not fit"),
)
_ASCII_TABLE_KEYS = (("up down j k", TABLE_KEYS[0][1]), TABLE_KEYS[1], ("left right", "scroll"))


class HelpScreen(ModalScreen[None]):
    """Lists the actions of one screen; any of its keys closes it."""

    CSS_PATH = "help.tcss"
    BINDINGS = [
        Binding("escape,question_mark,q,enter", "dismiss", "close", show=False, id="help.close")
    ]

    def __init__(self, screen: str, *, ascii_only: bool = False) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._screen_name = screen
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        """The table of keys."""
        with VerticalScroll(id="box"):
            yield Static(self._text())

    def _text(self) -> Content:
        lines: list[tuple[str, str, str]] = [
            (
                " ".join(actions.key_name(key, ascii_only=self._ascii) for key in action.keys),
                action.id + (f" {action.argument}" if action.argument else ""),
                action.help,
            )
            for action in actions.on_screen(self._screen_name)
        ]
        moves = _ASCII_TABLE_KEYS if self._ascii else TABLE_KEYS
        wide = max(len(keys) for keys, _ in moves) + 2
        content = Content.styled(f"{'KEY':<{wide}}{'COMMAND':<18}\n", "bold")
        for keys, command, text in lines:
            content += Content(f"{keys:<{wide}}:{command:<17}{text}\n")
        content += Content("\n")
        for keys, text in moves:
            content += Content(f"{keys:<{wide}}{text}\n")
        return content + Content.styled("\nEsc closes this.", "dim")
