"""A terminal for tests: it reads what the driver writes and knows what stands on the screen."""

from __future__ import annotations

import re
from typing import Any

from rich.cells import cell_len, split_graphemes
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Resize
from textual.geometry import Size

_SEQUENCE = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<style>[0-9;]*)m"
    r"|\x1b\[[0-9;?<=>]*[A-Za-z]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|(?P<text>[^\x1b\n\x07]+)"
    r"|(?P<newline>\n)"
    r"|\x07"  # the bell
)


class Grid:
    """Cells that are written to as a terminal's are."""

    def __init__(self, width: int, height: int) -> None:
        self.cells = [[" "] * width for _ in range(height)]
        self.looks = [[""] * width for _ in range(height)]
        self.unknown: list[str] = []
        self._at = (0, 0)
        self._style = ""

    def resize(self, width: int, height: int) -> None:
        """Cuts away what has no room."""
        for cells, empty in ((self.cells, " "), (self.looks, "")):
            for row in cells:
                row[width:] = [empty] * (width - len(row))
            cells[height:] = ([empty] * width for _ in range(height - len(cells)))

    def write(self, data: str) -> None:
        """Does what the data says."""
        position = 0
        while position < len(data):
            found = _SEQUENCE.match(data, position)
            if found is None:
                self.unknown.append(data[position : position + 20])
                position += 1
                continue
            position = found.end()
            if found["row"]:
                self._at = (int(found["row"]) - 1, int(found["column"]) - 1)
            elif found["style"] is not None:
                self._style = found["style"].removeprefix("0")
            elif found["text"]:
                self._put(found["text"])

    def _put(self, text: str) -> None:
        row, column = self._at
        width_of_row = len(self.cells[row]) if row < len(self.cells) else 0
        spans, _ = split_graphemes(text)
        for start, end, width in spans:
            if column + width > width_of_row:
                self.unknown.append(f"past the edge: {text[start:end]!r}")
                break
            self.cells[row][column] = text[start:end]
            for filler in range(column + 1, column + width):
                self.cells[row][filler] = ""
            self.looks[row][column : column + width] = [self._style] * width
            column += width
        self._at = (row, column)

    @property
    def lines(self) -> list[str]:
        """The text of each row."""
        return ["".join(row) for row in self.cells]

    def row(self, number: int) -> list[tuple[str, str]]:
        """What is seen of each cell of a row: its text, and its colours."""
        cells = zip(self.cells[number], self.looks[number], strict=True)
        return [(text, look if text.strip() else _behind(look)) for text, look in cells]

    def difference(self, other: Grid) -> list[str]:
        """Where another grid of this size looks different, a line for each row."""
        found = []
        for row in range(max(len(self.cells), len(other.cells))):
            mine, theirs = self.row(row), other.row(row)
            if mine != theirs:
                pairs = zip(mine, theirs, strict=True)
                column = next(n for n, (one, two) in enumerate(pairs) if one != two)
                found.append(f"{row}, {column}: {mine[column]}, not {theirs[column]}")
        return found


def _behind(look: str) -> str:
    """What a style makes of a cell without a sign: all but the colour and weight of a sign."""
    kept, codes = [], look.split(";")
    if "7" in codes:
        return look
    while codes:
        length = {"5": 3, "2": 5}.get(codes[1], 1) if codes[0] in ("38", "48") else 1
        code, codes = codes[:length], codes[length:]
        if not re.fullmatch("1|2|3[0-9]|9[0-7]", code[0]):
            kept += code
    return ";".join(kept)


class Terminal(HeadlessDriver):
    """A driver that draws on a grid of cells instead of a screen."""

    @property
    def is_headless(self) -> bool:
        return False

    def start_application_mode(self) -> None:
        self.grid = Grid(*self._get_terminal_size())
        self.written = 0
        super().start_application_mode()

    def write(self, data: str) -> None:
        self.written += len(data.encode())
        self.grid.write(data)

    def resize(self, width: int, height: int) -> None:
        """Becomes smaller or larger, and tells the app."""
        self._size = size = Size(width, height)
        self.grid.resize(width, height)
        self._app.post_message(Resize(size, size))

    @property
    def lines(self) -> list[str]:
        return self.grid.lines

    @property
    def unknown(self) -> list[str]:
        return self.grid.unknown


def drawn_whole(app: App[Any]) -> Grid:
    """What a terminal shows of an app that paints everything at once."""
    grid = Grid(*app.size)
    compositor = app.screen._compositor
    update = compositor.render_update(full=True, screen_stack=app._background_screens)
    assert update is not None
    grid.write(update.render_segments(app.console))  # type: ignore[attr-defined]
    return grid


def same_width(lines: list[str], width: int) -> bool:
    """Tells whether every line takes all the cells there are."""
    return all(cell_len(line) == width for line in lines)
