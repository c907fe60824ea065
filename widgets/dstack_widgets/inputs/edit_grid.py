"""A grid of fields that are edited where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal, shorten, shorten_name
from dstack_widgets.panels.lines import Lines

#: By key, how far down and to the right the cursor goes.
_MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_LETTERS = {"k": (-1, 0), "j": (1, 0), "h": (0, -1), "l": (0, 1)}
_STEPS = {"tab": 1, "shift+tab": -1}
#: What a number is typed of: `2..6` is a range, and `-` is none.
_NUMBER = frozenset("0123456789.-")
#: Between two columns.
_GAP = 2
#: Cells before a row, where the cursor's sign stands.
_MARGIN = 2
#: The part of the width that notes have where there is too little room.
_NOTE = 4
#: Cells that notes keep before a field is cut: `was 2..4`.
_LEAST_NOTE = 8
#: Cells that a field has at least, brackets left out.
_FIELD = 4
#: Keys that wait for the fields; nobody types more ahead.
_EARLY = 32
#: Keys without a sign of their own that a field takes.
_OWN = {*_MOVES, *_STEPS, "enter", "backspace", "delete"}


class GridCell(NamedTuple):
    """One cell."""

    key: str
    """Unique within its row."""
    text: str
    editable: bool = False
    style: str = ""
    """A name of the palette."""
    choices: tuple[str, ...] = ()
    """Where there is a choice, what can be taken instead; then nothing is typed."""
    left: bool = False
    """Whether it stands at the left of its column, as texts do."""
    number: bool = False
    """Whether it takes numbers only: then any other key ends what is typed, and acts."""


class GridRow(NamedTuple):
    """One row; rows of one section share their columns."""

    key: str
    cells: tuple[GridCell, ...]
    section: str = ""
    heading: bool = False
    note: str = ""
    """Stands behind the cells."""
    note_style: str = "dim"


class Place(NamedTuple):
    """Where a field is."""

    row: str
    cell: str


class EditGrid(Lines, can_focus=True):
    """Rows with fields to type into.

    Typing a digit begins a new number, + and - step to the next one, Enter goes on with what is
    there; Enter, Tab or moving away ends it, Esc takes it back. A field with choices goes from one
    to the next.
    """

    DEFAULT_CSS = """
    EditGrid {
        height: auto;
        width: 1fr;
    }
    """

    @dataclass
    class Typed(Message):
        """A field has another text while it is typed."""

        grid: EditGrid
        place: Place
        text: str

        @property
        def control(self) -> EditGrid:
            """The grid."""
            return self.grid

    @dataclass
    class TakenBack(Message):
        """What was typed is not wanted."""

        grid: EditGrid
        place: Place

        @property
        def control(self) -> EditGrid:
            """The grid."""
            return self.grid

    @dataclass
    class Moved(Message):
        """Another field is under the cursor."""

        grid: EditGrid
        place: Place | None

        @property
        def control(self) -> EditGrid:
            """The grid."""
            return self.grid

    def __init__(
        self,
        *,
        glyphs: Glyphs = UNICODE,
        take: Callable[[Place, str], bool] = lambda place, text: True,
        other_key: Callable[[str], bool] = lambda key: False,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes an empty grid.

        Args:
            glyphs: The signs to draw.
            take: Takes the text of a field, or the next of its choices; answers whether it could,
                else typing goes on. Not a message: the next key may be there already.
            other_key: Told of keys that are not the grid's own; answers whether it took one. Where
                keys come faster than they are worked off, only this keeps them in their order.
            id: As for every widget.
        """
        super().__init__(id=id)
        self._glyphs = glyphs
        self._take = take
        self._other_key = other_key
        self._rows: tuple[GridRow, ...] = ()
        self._place: Place | None = None
        self._typed: str | None = None
        self._early: list[events.Key] = []

    @property
    def place(self) -> Place | None:
        """The field under the cursor."""
        return self._place

    @property
    def typed(self) -> str | None:
        """What is being typed."""
        return self._typed

    @property
    def is_typing(self) -> bool:
        """Whether something is being typed."""
        return self._typed is not None

    @property
    def hints(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """The keys that do something in the field under the cursor, and what they do."""
        cell = self._cell(self._place) if self._place is not None else None
        if cell is None:
            return ()
        following = (("tab",), "next")
        if cell.choices:
            return ((("enter",), "change"), following)
        kind = ((("0-9",), "type"), (("+-",), "step")) if cell.number else ()
        if self._typed is None:
            return (*kind, (("enter",), "change"), following)
        return (*kind, (("enter",), "end"), (("escape",), "take back"), following)

    @property
    def takes_text(self) -> bool:
        """Whether letters go into the field under the cursor."""
        cell = self._cell(self._place) if self._place is not None else None
        return self.is_typing and cell is not None and not cell.number

    def show(self, rows: Sequence[GridRow]) -> None:
        """Shows other rows; the cursor stays with its field, and what is typed stays typed."""
        before, was = self.lines(self.size.width), self._row_numbers()
        self._rows = tuple(rows)
        if self._place is None or self._cell(self._place) is None:
            self._typed = None
            self._place = self._nearest(was)
        self.paint(before)

    def go_to(self, place: Place) -> None:
        """Puts the cursor on a field, if there is such a one."""
        if self._cell(place) is not None:
            self._put(place)

    def leave_field(self) -> bool:
        """Ends what is typed.

        Returns:
            Whether it could be ended.
        """
        if self._typed is None or self._place is None:
            return True
        before, text = self.lines(self.size.width), self._typed
        self._typed = None
        if not self._take(self._place, text):
            self._typed = text
            return False
        self.paint(before)
        return True

    # Where fields are ---------------------------------------------------------------------

    def _fields(self) -> list[list[Place]]:
        """The fields, row by row; rows without are left out."""
        rows = [
            [Place(row.key, cell.key) for cell in row.cells if cell.editable]
            for row in self._rows
            if not row.heading
        ]
        return [row for row in rows if row]

    def _cell(self, place: Place) -> GridCell | None:
        for row in self._rows:
            if row.key == place.row and not row.heading:
                for cell in row.cells:
                    if cell.key == place.cell and cell.editable:
                        return cell
        return None

    def _row_numbers(self) -> dict[str, int]:
        return {row[0].row: number for number, row in enumerate(self._fields())}

    def _nearest(self, was: dict[str, int]) -> Place | None:
        """Where the cursor goes when its field is gone: to the row that took the place."""
        fields = self._fields()
        if not fields:
            return None
        number = was.get(self._place.row, 0) if self._place is not None else 0
        row = fields[min(number, len(fields) - 1)]
        same = [place for place in row if self._place and place.cell == self._place.cell]
        return (same or row)[0]

    # Keys ---------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Types, moves, or hands the key on; before there are fields, it waits for them."""
        if self._take_or_hand_on(event) or self._keep(event):
            event.stop()
            event.prevent_default()

    def catch_up(self) -> None:
        """Takes the keys that were pressed before there were fields."""
        early, self._early = self._early, []
        for event in early:
            self._take_or_hand_on(event)

    def forget_keys(self) -> int:
        """Drops the keys that were pressed before there were fields.

        Returns:
            How many they were.
        """
        early, self._early = self._early, []
        return len(early)

    def _take_or_hand_on(self, event: events.Key) -> bool:
        return self._take_key(event) or (not self.is_typing and self._other_key(event.key))

    def _keep(self, event: events.Key) -> bool:
        """Keeps a key until there are fields."""
        meant = event.is_printable or event.key in _OWN
        if self._rows or not meant or len(self._early) >= _EARLY:
            return False
        self._early.append(event)
        return True

    def _take_key(self, event: events.Key) -> bool:
        """Does what a key of the grid's own does; answers whether it is one."""
        cell = self._cell(self._place) if self._place is not None else None
        if cell is None:
            return False
        if cell.number and (stepped := self._stepped(cell, event.key)):
            self._type(stepped)
            return True
        if self._typed is None:
            return self._begin(event, cell) or self._go(event.key)
        if event.key == "escape":
            self._take_back()
        elif event.key == "backspace":
            self._type(self._typed[:-1])
        elif event.key == "ctrl+u":
            self._type("")
        elif event.is_printable and event.character is not None:
            if cell.number and event.character not in _NUMBER:
                # What can't be taken stays, with why; the key would act on what is not there.
                return not self.leave_field() or self._go(event.key)
            self._type(self._typed + event.character)
        else:
            return self._go(event.key)
        return True

    def _stepped(self, cell: GridCell, key: str) -> str:
        """The number that a key steps to; empty where it does not, or there is none."""
        by = {"plus": 1, "minus": -1}.get(key, 0)
        text = cell.text if self._typed is None else self._typed
        if by > 0 and text in ("", self._glyphs.dash):
            return "1"
        return str(max(0, int(text) + by)) if by and text.isdecimal() else ""

    def _begin(self, event: events.Key, cell: GridCell) -> bool:
        """Begins to type, where a key is the beginning of that."""
        if event.key == "enter" or (cell.choices and event.key == "space"):
            self._enter(cell)
        elif cell.choices:
            return False
        elif event.key in ("backspace", "delete", "minus"):
            self._type("")
        elif event.character is not None and event.character.isdigit():
            self._type(event.character)
        else:
            return False
        return True

    def _go(self, key: str) -> bool:
        """Moves, where a key says so; what is typed ends with that."""
        if key == "enter":
            self.leave_field()
        elif key in _MOVES:
            self._move(*_MOVES[key])
        elif key in _LETTERS and not self.is_typing:
            self._move(*_LETTERS[key])
        elif key in _STEPS:
            self._step(_STEPS[key])
        else:
            return False
        return True

    def on_paste(self, event: events.Paste) -> None:
        """Takes a pasted text for typed."""
        cell = self._cell(self._place) if self._place is not None else None
        if cell is not None and not cell.choices:
            event.stop()
            self._type((self._typed or "") + " ".join(event.text.split()))

    def on_blur(self) -> None:
        """Ends what is typed, or takes it back where it can't be."""
        if not self.leave_field():
            self._take_back()

    def on_click(self, event: events.Click) -> None:
        """Goes to the field that was clicked."""
        spots = self._spots()
        for place, region in spots.items():
            if region.contains(event.x, event.y):
                if self.leave_field():
                    self._put(place)
                return

    def _enter(self, cell: GridCell) -> None:
        """Goes on with what is there, or takes the next choice."""
        if self._place is None:
            return
        if cell.choices:
            number = cell.choices.index(cell.text) if cell.text in cell.choices else -1
            following = cell.choices[(number + 1) % len(cell.choices)]
            self._take(self._place, following)
        else:
            self._type(cell.text if cell.text != self._glyphs.dash else "", tell=False)

    def _move(self, down: int, right: int) -> None:
        """Moves the cursor to a neighbour."""
        fields = self._fields()
        if self._place is None or not fields or not self.leave_field():
            return
        y = next(number for number, row in enumerate(fields) if self._place in row)
        x = fields[y].index(self._place)
        if down:
            row = fields[min(max(y + down, 0), len(fields) - 1)]
            same = [place for place in row if place.cell == self._place.cell]
            self._put((same or row[: x + 1])[-1])
        else:
            self._put(fields[y][min(max(x + right, 0), len(fields[y]) - 1)])

    def _step(self, by: int) -> None:
        """Moves the cursor to the next or the previous field, and around at the end."""
        if self._place is None or not self.leave_field():
            return
        places = [place for row in self._fields() for place in row]
        self._put(places[(places.index(self._place) + by) % len(places)])

    def _type(self, text: str, *, tell: bool = True) -> None:
        self._repaint(lambda: setattr(self, "_typed", text))
        if tell and self._place is not None:
            self.post_message(self.Typed(self, self._place, text))

    def _take_back(self) -> None:
        self._repaint(lambda: setattr(self, "_typed", None))
        if self._place is not None:
            self.post_message(self.TakenBack(self, self._place))

    def _put(self, place: Place) -> None:
        if place == self._place:
            return
        self._repaint(lambda: setattr(self, "_place", place))
        self.scroll_to_cursor()
        self.post_message(self.Moved(self, place))

    def _repaint(self, change: Callable[[], object]) -> None:
        before = self.lines(self.size.width)
        change()
        self.paint(before)

    def scroll_to_cursor(self) -> None:
        """Brings the field under the cursor into view."""
        spot = self._spots().get(self._place) if self._place is not None else None
        if spot is not None and isinstance(self.parent, Widget):
            # A heading above the first field is worth seeing with it.
            top = 0 if spot.y <= 1 else spot.y
            region = Region(0, top, self.size.width, spot.y - top + 1)
            self.parent.scroll_to_region(
                region.translate(self.virtual_region.offset), animate=False
            )

    # Drawing ------------------------------------------------------------------------------

    def lines(self, width: int) -> Sequence[Content]:
        """The rows."""
        widths = self._widths(width)
        return [self._line(row, widths[row.section], width) for row in self._rows]

    def _widths(self, width: int) -> dict[str, list[int]]:
        """Cells of each column, by section; fields have their brackets in them.

        A row that wraps would push the fields below it out of sight: headings that are wider than
        what stands below them give way first, then notes, then the widest columns.
        """
        widths: dict[str, list[int]] = {}
        filled: dict[str, list[int]] = {}
        notes: dict[str, int] = {}
        for row in self._rows:
            section = widths.setdefault(row.section, [])
            content = filled.setdefault(row.section, [])
            notes[row.section] = max(notes.get(row.section, 0), cell_len(row.note))
            for number, cell in enumerate(row.cells):
                if number == len(section):
                    section.append(0)
                    content.append(_FIELD + 2)
                need = cell_len(self._text(row, cell))
                if cell.editable:
                    need = max(need, _FIELD) + 2
                section[number] = max(section[number], need)
                if not row.heading:
                    content[number] = max(content[number], need)
        for key, section in widths.items():
            note = min(notes[key], width // _NOTE)
            excess = _MARGIN + sum(section) + _GAP * len(section) + note - width
            if not width or excess <= 0:
                continue
            for number, need in enumerate(filled[key]):
                less = min(max(section[number] - need, 0), excess)
                section[number] -= less
                excess -= less
            excess -= min(max(note - _LEAST_NOTE, 0), max(excess, 0))
            while excess > 0 and max(section, default=0) > _FIELD + 2:
                section[section.index(max(section))] -= 1
                excess -= 1
        return widths

    def _text(self, row: GridRow, cell: GridCell) -> str:
        if self._typed is not None and self._place == Place(row.key, cell.key):
            return f"{self._typed} "
        return cell.text

    def _line(self, row: GridRow, widths: Sequence[int], width: int) -> Content:
        here = self._place is not None and self._place.row == row.key
        line = literal(f"{self._glyphs.cursor} " if here else "  ", style_of("accent"))
        for cell, room in zip(row.cells, widths, strict=False):
            line += self._piece(row, cell, room) + literal(" " * _GAP)
        if row.note:
            left = max(0, width - line.cell_length)
            note = shorten(row.note, left, self._glyphs.ellipsis)
            line += literal(note, style_of(row.note_style))
        return line

    def _piece(self, row: GridRow, cell: GridCell, room: int) -> Content:
        text = self._text(row, cell)
        inner = room - 2 if cell.editable else room
        text = self._cut(row, cell, text, inner)
        padding = " " * max(0, inner - cell_len(text))
        padded = text + padding if cell.left else padding + text
        if row.heading:
            return literal(padded if not cell.editable else f" {padded} ", style_of("dim"))
        if not cell.editable:
            return literal(padded, style_of(cell.style))
        if self._place != Place(row.key, cell.key):
            brackets = style_of("dim")
            return (
                literal("[", brackets)
                + literal(padded, style_of(cell.style))
                + literal("]", brackets)
            )
        style = style_of(cell.style)
        inside = literal(padded, f"{style} reverse".strip() if self.has_focus else style)
        return literal("[", style_of("accent")) + inside + literal("]", style_of("accent"))

    def _cut(self, row: GridRow, cell: GridCell, text: str, room: int) -> str:
        """A text that is no longer than its column; of what is typed, the end is seen."""
        if cell_len(text) <= room:
            return text
        if self._typed is None or self._place != Place(row.key, cell.key):
            # What is not a field is a name, such as a lane's fleet: its end tells it from others.
            cut = shorten if cell.editable or row.heading else shorten_name
            return cut(text, room, self._glyphs.ellipsis)
        seen, room = text, room - cell_len(self._glyphs.ellipsis)
        while seen and cell_len(seen) > room:
            seen = seen[1:]
        return self._glyphs.ellipsis + seen

    def _spots(self) -> dict[Place, Region]:
        """Where each field is drawn."""
        widths = self._widths(self.size.width)
        spots = {}
        for y, row in enumerate(self._rows):
            x = _MARGIN
            for cell, room in zip(row.cells, widths[row.section], strict=False):
                if cell.editable and not row.heading:
                    spots[Place(row.key, cell.key)] = Region(x, y, room, 1)
                x += room + _GAP
        return spots
