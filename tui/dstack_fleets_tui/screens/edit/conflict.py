"""Somebody else changed what is being edited: theirs, mine and what it was, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from dstack_api_client.edits.base.merging import ConflictError
from dstack_fleets_tui.output.table import Column, render
from dstack_fleets_tui.screens.parts.boxes import SCROLLING, Boxed
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice, Choices


class ConflictScreen(Boxed, Asking, ModalScreen[dict[str, Any] | None]):
    """Three ways to look at a conflict, and how to go on: always by a new plan.

    Args:
        error: The conflict.
        ascii_only: Whether only ASCII is drawn.
    """

    CSS_PATH = Path(__file__).with_name("conflict.tcss")
    text_of_box = "#rows"
    closing = "back"
    BINDINGS = [
        Binding("escape", "back", "Back", show=False, id="conflict.back"),
        *SCROLLING,
    ]

    def __init__(self, error: ConflictError, *, ascii_only: bool = False) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._error = error

    def compose(self) -> ComposeResult:
        """The table and the answers."""
        with Vertical(id="box"):
            yield Static(literal(str(self._error)), id="title")
            with VerticalScroll(id="rows", can_focus=False):
                yield Static(Content("\n").join(self._lines()), markup=False)
            yield Choices(self._choices())

    def _lines(self) -> list[Content]:
        columns = [Column(title) for title in ("", "FIELD", "WAS", "THEIRS", "MINE")]
        rows = self._error.three_way.rows
        cells = []
        for row in rows:
            base, theirs, mine = row.texts
            theirs = theirs if row.changed_there else ""
            mine = mine if row.changed_here else ""
            cells.append(("!" if row.conflict else "", row.label, base, theirs, mine))
        table = render(columns, cells).splitlines()
        styles = ["dim", *("bad" if row.conflict else "" for row in rows)]
        return [literal(line, style_of(style)) for line, style in zip(table, styles, strict=True)]

    def _choices(self) -> list[Choice]:
        choices = [Choice("back", "Back to the edit")]
        if self._error.three_way.conflicts:
            choices.append(Choice("mine", "Plan mine on top of theirs"))
            choices.append(Choice("theirs", "Plan the rest, theirs where both changed"))
        else:
            choices.append(Choice("mine", "Plan both together"))
        return choices

    def on_choices_chosen(self, message: Choices.Chosen) -> None:
        """Goes on with one of them."""
        message.stop()
        if message.key == "back":
            self.answer(None)
        else:
            self.answer(self._error.three_way.merged(keep=message.key))

    def action_back(self) -> None:
        """Goes back to the edit as it is."""
        self.answer(None)
