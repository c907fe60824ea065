"""Boxes that ask: in a small terminal the text scrolls and the answers stay in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from dstack_widgets.inputs.choices import Choices

if TYPE_CHECKING:
    _Base = Screen[Any]
else:
    # Textual takes styles and bindings from the first widget among the bases.
    _Base = object

#: The part of the terminal that a box takes at most, and lines of a terminal in which it takes all.
_PART, _LOW = 0.9, 16
#: Lines of text that a box has where there is room.
_MOST = 20

#: Keys that scroll the text of a box.
SCROLLING: list[BindingType] = [
    Binding("up", "scroll_text(-1)", "Scroll up", show=False, id="box.up"),
    Binding("down", "scroll_text(1)", "Scroll down", show=False, id="box.down"),
    Binding("pageup", "scroll_text(-8)", "Scroll up", show=False, id="box.page_up"),
    Binding("pagedown", "scroll_text(8)", "Scroll down", show=False, id="box.page_down"),
]


class Boxed(_Base):
    """What such a screen has: a `#box` of a `#title`, a scrolling text and what answers."""

    text_of_box: ClassVar[str]
    """The text, as a selector."""

    def on_mount(self) -> None:
        """Fits the box once it is known how wide it is."""
        self.call_after_refresh(self._fit)

    def on_resize(self, event: Resize) -> None:
        """Fits the box to another terminal."""
        self._set_low(event.size.height)
        self.call_after_refresh(self._fit)

    def _set_low(self, height: int) -> None:
        self.set_class(height < _LOW, "-low")

    def _fit(self) -> None:
        """Gives the text what the title and the answers leave."""
        # The widgets of a box that is closed go one by one.
        if not (self.is_attached and self.is_current):
            return
        height = self.app.size.height
        self._set_low(height)
        box, title = self.query_one("#box"), self.query_one("#title", Static)
        text = self.query_one(self.text_of_box, VerticalScroll)
        inner = int(height * (1 if height < _LOW else _PART)) - box.gutter.height
        width = box.content_size.width
        answers = sum(self._lines_of(each, width) for each in box.children if each.id is None)
        room = max(inner - answers - title.styles.margin.height - text.styles.margin.height, 2)
        titled = min(title.get_content_height(self.app.size, self.app.size, width), (room + 1) // 2)
        title.styles.max_height = titled
        text.styles.max_height = max(1, min(room - titled, _MOST))

    @staticmethod
    def _lines_of(widget: Widget, width: int) -> int:
        if isinstance(widget, Choices):
            return widget.height_at(width)
        return widget.outer_size.height

    def action_scroll_text(self, by: int) -> None:
        """Scrolls the text."""
        self.query_one(self.text_of_box, VerticalScroll).scroll_relative(y=by, animate=False)
