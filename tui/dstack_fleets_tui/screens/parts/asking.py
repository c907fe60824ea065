"""Boxes that ask one thing: an answer, or one of many names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from dstack_fleets_tui.screens.parts.boxes import SCROLLING, Boxed
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice, Choices

#: How wide the box is where there is room, and what of that is no text.
_WIDTH, _AROUND = 90, 10
#: Cells that what is said of a name has at least.
_LEAST = 20
#: Why a name has to be typed where nothing else is said.
PROTECTED = "The project is protected."


class Typed(Widget):
    """A line in which a name has to be typed.

    Args:
        wanted: The name.
        why: Why it has to be typed, a sentence.
    """

    DEFAULT_CSS = """
    Typed {
        height: 2;
        width: 1fr;
    }
    """

    @dataclass
    class Matches(Message):
        """Something was typed, or entered."""

        right: bool
        """Whether it is the name."""
        entered: bool

    def __init__(self, wanted: str, why: str = PROTECTED) -> None:
        super().__init__()
        self._wanted = wanted
        self._why = why

    def compose(self) -> ComposeResult:
        """What is wanted, and the field."""
        yield Static(literal(f"{self._why} Type {self._wanted} to go on."))
        field = Input(compact=True, select_on_focus=False)
        field.cursor_blink = False
        yield field

    def on_mount(self) -> None:
        """The name comes first."""
        self.query_one(Input).focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Tells whether it is the name by now."""
        message.stop()
        self.post_message(self.Matches(message.value == self._wanted, False))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Tells that it is entered."""
        message.stop()
        self.post_message(self.Matches(message.value == self._wanted, True))


class AskScreen(Boxed, Asking, ModalScreen[str]):
    """A question with answers; Esc takes the first one.

    Args:
        title: What it is about, one line.
        lines: What is to be known before an answer.
        choices: The answers, the harmless one first.
        confirm: What has to be typed before another answer than the first can be given.
        why: Why that has to be typed, a sentence.
        ascii_only: Whether only ASCII is drawn.
    """

    CSS_PATH = Path(__file__).with_name("asking.tcss")
    text_of_box = "#lines"
    BINDINGS = [
        Binding("escape", "first", "Cancel", show=False, id="ask.cancel"),
        *SCROLLING,
    ]

    def __init__(
        self,
        title: str,
        lines: Sequence[Content],
        choices: Sequence[Choice],
        *,
        confirm: str | None = None,
        why: str = PROTECTED,
        ascii_only: bool = False,
    ) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._title = title
        self._lines = lines
        self._choices = choices
        harmless = choices[0].title
        self.closing = f"{harmless[:1].lower()}{harmless[1:]}"
        self._confirm = confirm
        self._why = why

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(id="box"):
            yield Static(literal(self._title), id="title")
            with VerticalScroll(id="lines", can_focus=False) as lines:
                lines.display = bool(self._lines)
                yield Static(Content("\n").join(self._lines), markup=False)
            if self._confirm is not None:
                yield Typed(self._confirm, self._why)
            yield Choices(self._allowed(typed=self._confirm is None))

    def _allowed(self, *, typed: bool) -> Sequence[Choice]:
        first, *others = self._choices
        return (first, *(choice._replace(enabled=typed) for choice in others))

    def on_typed_matches(self, message: Typed.Matches) -> None:
        """Lets other answers be given once the name is right."""
        message.stop()
        choices = self.query_one(Choices)
        choices.show(self._allowed(typed=message.right))
        if message.entered:
            choices.focus()

    def on_choices_chosen(self, message: Choices.Chosen) -> None:
        """Answers."""
        message.stop()
        self.answer(message.key)

    def action_first(self) -> None:
        """Takes the harmless answer."""
        self.answer(self._choices[0].key)


class PickScreen(Asking, ModalScreen[str | None]):
    """Names to pick one of; Esc picks none.

    Args:
        title: What is picked.
        names: The names, with what is to be said of each.
        ascii_only: Whether only ASCII is drawn.
    """

    CSS_PATH = Path(__file__).with_name("asking.tcss")
    BINDINGS = [Binding("escape", "none", "Cancel", show=False, id="pick.cancel")]

    def __init__(
        self, title: str, names: Sequence[tuple[str, str]], *, ascii_only: bool = False
    ) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._title = title
        self._names = names

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(id="box"):
            yield Static(literal(self._title), id="title")
            yield OptionList(*map(Option, self._told()))

    def _told(self) -> Iterator[Content]:
        """Each name with what is said of it beside it, on several lines where it is long."""
        wide = max((len(name) for name, _ in self._names), default=0) + 2
        room = min(_WIDTH, self.app.size.width * 95 // 100) - _AROUND - wide
        for name, about in self._names:
            first, *more = wrap(about, max(room, _LEAST)) or [""]
            beside = [first, *(f"{'':<{wide}}{line}" for line in more)]
            yield literal(f"{name:<{wide}}") + Content("\n").join(
                literal(line, "dim") for line in beside
            )

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Answers."""
        message.stop()
        self.answer(self._names[message.option_index][0])

    @property
    def hints(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """The keys that do something here, and what they do."""
        return ((("up", "down"), "choose"), (("enter",), "take"), *super().hints)

    def action_none(self) -> None:
        """Picks none."""
        self.answer(None)
