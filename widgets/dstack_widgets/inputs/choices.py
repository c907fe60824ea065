"""A line of answers to choose from, the harmless one first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal, shorten

#: Cells between two answers, and around the title of one.
_GAP, _BRACKETS = 2, 4


class Choice(NamedTuple):
    """One answer."""

    key: str
    title: str
    enabled: bool = True


class Choices(Widget, can_focus=True):
    """Answers side by side, or below each other where there is no room for that.

    The arrow keys go from one to the next, Enter takes it.
    """

    DEFAULT_CSS = """
    Choices {
        height: auto;
        width: 1fr;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,shift+tab,h", "step(-1)", "Previous", show=False, id="choices.previous"),
        Binding("right,tab,l", "step(1)", "Next", show=False, id="choices.next"),
        Binding("enter", "take", "Take", show=False, id="choices.take"),
    ]

    @dataclass
    class Chosen(Message):
        """An answer was taken."""

        choices: Choices
        key: str

        @property
        def control(self) -> Choices:
            """The answers."""
            return self.choices

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes the line; the first answer has the cursor.

        Args:
            choices: The answers.
            id: As for every widget.
        """
        super().__init__(id=id)
        self._choices = tuple(choices)
        self._at = 0

    @property
    def hints(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """The keys that do something here, and what they do."""
        return ((("left", "right"), "choose"), (("enter",), "take"))

    @property
    def current(self) -> str:
        """The key of the answer under the cursor."""
        return self._choices[self._at].key

    def show(self, choices: Sequence[Choice]) -> None:
        """Shows other answers; the cursor stays on its own as long as that can be taken."""
        if tuple(choices) == self._choices:
            return
        current = self.current
        self._choices = tuple(choices)
        keys = [choice.key for choice in self._choices if choice.enabled]
        kept = current if current in keys else keys[0]
        self._at = [choice.key for choice in self._choices].index(kept)
        self.refresh(layout=True)

    def action_step(self, by: int) -> None:
        """Goes to the next answer that can be taken."""
        places = [number for number, choice in enumerate(self._choices) if choice.enabled]
        self._at = places[(places.index(self._at) + by) % len(places)]
        self.refresh()

    def action_take(self) -> None:
        """Takes the answer."""
        self.post_message(self.Chosen(self, self.current))

    def on_mount(self) -> None:
        """Shows where the keys go, as long as it is there."""
        self.watch(self.screen, "focused", self._focus_moved, init=False)

    def _focus_moved(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Goes to the answer that was clicked; taking it is another key."""
        rows, x = self._rows(self.size.width), event.x
        for number, piece in rows[event.y] if event.y < len(rows) else ():
            if x < piece.cell_length + _GAP:
                if self._choices[number].enabled:
                    self._at = number
                    self.refresh()
                return
            x -= piece.cell_length + _GAP

    def height_at(self, width: int) -> int:
        """How many lines the answers take at a width."""
        return max(1, len(self._rows(width)))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the answers take."""
        return self.height_at(width)

    def render(self) -> Content:
        """Draws the answers."""
        gap = literal(" " * _GAP)
        rows = self._rows(self.size.width)
        return Content("\n").join(Content("").join(piece + gap for _, piece in row) for row in rows)

    def _rows(self, width: int) -> list[list[tuple[int, Content]]]:
        """The numbers of the answers with what is drawn of them, line by line."""
        rows: list[list[tuple[int, Content]]] = []
        left = 0
        for number, choice in enumerate(self._choices):
            piece = self._piece(number, choice, width)
            if not rows or piece.cell_length > left:
                rows.append([])
                left = width
            rows[-1].append((number, piece))
            left -= piece.cell_length + _GAP
        return rows

    def _piece(self, number: int, choice: Choice, width: int) -> Content:
        title = shorten(choice.title, max(width - _BRACKETS, 1)) if width else choice.title
        if not choice.enabled:
            return literal(f"  {title}  ", style_of("dim"))
        # Where another widget takes the keys, none is chosen: Enter would not take it.
        if number == self._at and self.screen.focused in (None, self):
            return literal(f"[ {title} ]", "bold reverse" if self.has_focus else "bold")
        return literal(f"  {title}  ")
