"""Panels of details: facts by name, and a document as YAML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import clean, literal, safe
from dstack_widgets.panels.lines import Lines
from dstack_widgets.search.patterns import Pattern
from dstack_widgets.search.searching import Search
from dstack_widgets.table.cells import Cell, CellValue, same_cell


class Fact(NamedTuple):
    """One line of a panel."""

    name: str
    """What it is; the names of a panel are aligned."""
    value: Cell
    """A `str` is literal text. An empty one is drawn as a dash."""


class Heading(NamedTuple):
    """A line that begins a group of facts."""

    title: str


_GAP = 2

#: Cells that one key press scrolls sideways.
_SIDEWAYS = 8


def fact_lines(
    facts: Sequence[Fact | Heading], width: int, glyphs: Glyphs = UNICODE
) -> list[Content]:
    """Lays facts out.

    Args:
        facts: The facts, in order.
        width: Cells of a line.
        glyphs: The signs to draw.

    Returns:
        The lines: names in one column, values wrapped beside them; where that leaves a value too
        little room, below its name.
    """
    names = [cell_len(clean(fact.name)) for fact in facts if isinstance(fact, Fact)]
    indent = max(names, default=0) + _GAP
    if width - indent < min(16, width // 2):
        indent = _GAP
    lines: list[Content] = []
    for fact in facts:
        if isinstance(fact, Heading):
            if lines:
                lines.append(Content(""))
            lines.append(literal(fact.title, style_of("strong")))
            continue
        name = literal(fact.name, style_of("dim"))
        wrapped = _value(fact.value, glyphs).wrap(max(2, width - indent))
        if name.cell_length + _GAP <= indent:
            first = name.pad_right(indent - name.cell_length) + wrapped[0]
            rest = wrapped[1:]
        else:
            first, rest = name, wrapped
        lines += [first, *(each.pad_left(indent) for each in rest)]
    return lines


def _value(value: Cell, glyphs: Glyphs) -> Content:
    style = ""
    if isinstance(value, CellValue):
        style = style_of(value.style)
        value = value.text
    value = literal(value, style) if isinstance(value, str) else safe(value)
    if not value.plain.strip():
        return literal(glyphs.dash, style_of("dim"))
    return value


def _same_fact(one: Fact | Heading, other: Fact | Heading) -> bool:
    if isinstance(one, Fact) and isinstance(other, Fact):
        return one.name == other.name and same_cell(one.value, other.value)
    return type(one) is type(other) and one == other


class _Body(Lines):
    """The lines of a panel."""

    DEFAULT_CSS = """
    _Body {
        width: 1fr;
        height: auto;
    }
    """

    def __init__(self, glyphs: Glyphs, search: Search) -> None:
        super().__init__()
        self.glyphs = glyphs
        self.facts: tuple[Fact | Heading, ...] = ()
        self._search = search

    def lines(self, width: int) -> Sequence[Content]:
        return self._search.marked(self.plain_lines(width))

    def plain_lines(self, width: int) -> Sequence[Content]:
        """The lines, nothing marked in them."""
        return fact_lines(self.facts, width, self.glyphs)


class Panel(ScrollableContainer, can_focus=True, inherit_bindings=False):
    """Scrolls what it holds, and finds a text in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "go('up')", "Up", show=False, id="panel.up"),
        Binding("down,j", "go('down')", "Down", show=False, id="panel.down"),
        Binding("left", "go('left')", "Left", show=False, id="panel.left"),
        Binding("right", "go('right')", "Right", show=False, id="panel.right"),
        Binding("pageup", "go('page_up')", "Page up", show=False, id="panel.page-up"),
        Binding("pagedown", "go('page_down')", "Page down", show=False, id="panel.page-down"),
        Binding("home,g", "go('home')", "Top", show=False, id="panel.first"),
        Binding("end,G", "go('end')", "Bottom", show=False, id="panel.last"),
    ]

    DEFAULT_CSS = """
    Panel {
        height: 1fr;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
    }
    """

    ALLOW_MAXIMIZE = False

    def action_go(self, where: str) -> None:
        """Scrolls, at once: every frame on the way would cost as much as the last.

        Args:
            where: Up, down, left, right, or by a page, or to an end.
        """
        ways: dict[str, Callable[..., object]] = {
            "up": self.scroll_up,
            "down": self.scroll_down,
            "left": partial(self.scroll_relative, x=-_SIDEWAYS),
            "right": partial(self.scroll_relative, x=_SIDEWAYS),
            "page_up": self.scroll_page_up,
            "page_down": self.scroll_page_down,
            "home": self.scroll_home,
            "end": self.scroll_end,
        }
        ways[where](animate=False)

    def __init__(self, *, name: str | None, id: str | None, classes: str | None) -> None:  # noqa: A002
        super().__init__(name=name, id=id, classes=classes)
        self.search = Search()
        """What is looked for in it."""

    def look_for(self, text: str) -> None:
        """Marks a text wherever it stands, and goes to the first place from where one is.

        Args:
            text: As a `Pattern` takes it; empty to mark nothing.
        """
        self._look(Pattern(text))
        if text:
            self.go_to_next(1)

    def go_to_next(self, by: int) -> bool:
        """Goes to the next line with what is looked for (1), or the one before (-1).

        Returns:
            Whether there is one.
        """
        at = self.search.next(by, round(self.scroll_y))
        self._look(self.search.pattern)
        if at is not None:
            top, height = round(self.scroll_y), self.scrollable_content_region.height
            if not top <= at < top + height:
                self.scroll_to(y=max(0, at - height // 2), animate=False)
        return at is not None

    def _look(self, pattern: Pattern) -> None:
        """Looks for something, and draws what is found."""
        raise NotImplementedError


class Facts(Panel):
    """A panel of names and values. Values are literal text and wrap."""

    def __init__(
        self,
        facts: Sequence[Fact | Heading] = (),
        *,
        glyphs: Glyphs = UNICODE,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes a panel.

        Args:
            facts: What it shows at first.
            glyphs: The signs to draw.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__(name=name, id=id, classes=classes)
        self._body = _Body(glyphs, self.search)
        self.show(facts)

    @property
    def facts(self) -> tuple[Fact | Heading, ...]:
        """What the panel shows."""
        return self._body.facts

    def compose(self) -> ComposeResult:
        """Holds the lines."""
        yield self._body

    def show(self, facts: Sequence[Fact | Heading]) -> None:
        """Shows other facts; the same ones again cost nothing."""
        before = self._body.facts
        if len(before) == len(facts) and all(map(_same_fact, before, facts)):
            return
        lines = self._body.lines(self._body.size.width)
        self._body.facts = tuple(facts)
        self._find()
        self._body.paint(lines)

    def on_resize(self) -> None:
        """Finds again what stands in other lines now."""
        self._find()

    def _find(self) -> None:
        if self.search.pattern.text:
            width = self._body.size.width
            self.search.look_for(self.search.pattern, self._body.plain_lines(width))

    def _look(self, pattern: Pattern) -> None:
        width = self._body.size.width
        lines = self._body.lines(width)
        self.search.look_for(pattern, self._body.plain_lines(width))
        self._body.paint(lines)


_YAML_LINE = re.compile(
    r"(?P<lead>\s*(?:- )*)(?:(?P<key>[^\s#'\":][^:#]*?)(?P<colon>:)(?=\s|$))?(?P<rest>.*)"
)


def yaml_content(text: str) -> Content:
    """Colours a YAML text line by line: keys, and lines that are comments.

    Args:
        text: The text; it is shown whether it is YAML or not.

    Returns:
        The content, line for line, literally.
    """
    lines = []
    for line in text.expandtabs(4).rstrip("\n").split("\n"):
        if line.lstrip().startswith("#"):
            lines.append(literal(line, style_of("dim")))
            continue
        found = _YAML_LINE.fullmatch(line)
        if found is None or found["key"] is None:
            lines.append(literal(line))
            continue
        lines.append(
            literal(found["lead"])
            + literal(found["key"], style_of("accent"))
            + literal(found["colon"], style_of("dim"))
            + literal(found["rest"])
        )
    return Content("\n").join(lines)


class _Document(Widget):
    """Text at its full width."""

    DEFAULT_CSS = """
    _Document {
        width: auto;
        height: auto;
        text-wrap: nowrap;
    }
    """

    content = Content("")

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return max(cell_len(line) for line in self.content.plain.split("\n"))

    def render(self) -> Content:
        return self.content


class YamlView(Panel):
    """A document to read: it scrolls both ways and never wraps."""

    def __init__(
        self,
        text: str = "",
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
        classes: str | None = None,
    ) -> None:
        """Makes a view.

        Args:
            text: What it shows at first.
            name: As for every widget.
            id: As for every widget.
            classes: As for every widget.
        """
        super().__init__(name=name, id=id, classes=classes)
        self._document = _Document()
        self._text = ""
        self._lines: Sequence[Content] = ()
        self.show(text)

    @property
    def text(self) -> str:
        """The text as it was given."""
        return self._text

    def compose(self) -> ComposeResult:
        """Holds the document."""
        yield self._document

    def show(self, text: str) -> None:
        """Shows another text; the same one again costs nothing."""
        if text == self._text:
            return
        self._text = text
        self._lines = yaml_content(text).split("\n", allow_blank=True)
        self._look(self.search.pattern)
        self._document.refresh(layout=True)

    def _look(self, pattern: Pattern) -> None:
        self.search.look_for(pattern, self._lines)
        self._document.content = Content("\n").join(self.search.marked(self._lines))
        self._document.refresh()
