"""A terminal for tests: it reads what the driver writes and knows what stands on the screen."""

from __future__ import annotations

import re

from rich.cells import cell_len, split_graphemes
from textual.drivers.headless_driver import HeadlessDriver

_SEQUENCE = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[[0-9;?<=>]*[A-Za-z]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|(?P<text>[^\x1b\n]+)"
    r"|(?P<newline>\n)"
)


class Terminal(HeadlessDriver):
    """A driver that draws on a grid of cells instead of a screen."""

    @property
    def is_headless(self) -> bool:
        return False

    def start_application_mode(self) -> None:
        width, height = self._get_terminal_size()
        self.grid = [[" "] * width for _ in range(height)]
        self.at = (0, 0)
        self.written = 0
        self.unknown: list[str] = []
        super().start_application_mode()

    def write(self, data: str) -> None:
        self.written += len(data.encode())
        position = 0
        while position < len(data):
            found = _SEQUENCE.match(data, position)
            if found is None:
                self.unknown.append(data[position : position + 20])
                position += 1
                continue
            position = found.end()
            if found["row"]:
                self.at = (int(found["row"]) - 1, int(found["column"]) - 1)
            elif found["text"]:
                self._put(found["text"])

    def _put(self, text: str) -> None:
        row, column = self.at
        spans, _ = split_graphemes(text)
        for start, end, width in spans:
            if column + width > len(self.grid[row]):
                self.unknown.append(f"past the right edge: {text[start:end]!r}")
                break
            self.grid[row][column] = text[start:end]
            for filler in range(column + 1, column + width):
                self.grid[row][filler] = ""
            column += width
        self.at = (row, column)

    @property
    def lines(self) -> list[str]:
        return ["".join(row) for row in self.grid]


def same_width(lines: list[str], width: int) -> bool:
    """Tells whether every line takes all the cells there are."""
    return all(cell_len(line) == width for line in lines)
