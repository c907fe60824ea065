"""Charts of what was, with axes: several in a grid, all of one length of time.

Lines are drawn in quarters of cells, by signs that fonts for terminals have; where only ASCII is
drawn, a cell is a star or, of a dotted line, a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.content import Content

from dstack_widgets.drawing.bars import sparkline
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal, shorten
from dstack_widgets.panels.facts import Panel
from dstack_widgets.panels.lines import Lines
from dstack_widgets.search.patterns import Pattern

#: Lines of a chart at least, and cells from which two stand side by side.
LOW, SIDE_BY_SIDE = 8, 76
#: Cells below which nothing is drawn.
_NARROW = 16
#: Cells between two charts, and lines that a chart has beside its plot.
_GAP, _FRAME = 2, 3
#: Of a dotted line, every so many-th quarter is drawn.
_DOTTED = 4
#: What each quarter of a cell counts, the upper two first, and the sign of each sum.
_QUARTERS = ((1, 2), (4, 8))
_BLOCKS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
#: What the top of a scale is, times a power of ten.
_TOPS = (1, 2, 4, 5, 6, 8, 10)
#: Cells of the name of a strip at most.
_NAME = 16


class Curve(NamedTuple):
    """One line of a chart.

    Attributes:
        name: What it is.
        values: One for each step of time, the oldest first; None where nothing is known.
        style: A name in the palette.
        dotted: Whether it is dotted; where it lies on another, that one is drawn.
    """

    name: str
    values: Sequence[float | None]
    style: str = "accent"
    dotted: bool = False


class Strip(NamedTuple):
    """One of many lines that share a scale, each in a line of its own."""

    name: str
    values: Sequence[float | None]


class Chart(NamedTuple):
    """What is drawn in one place of the grid.

    Attributes:
        title: What it shows, and in what.
        curves: Lines over a scale that begins at 0.
        strips: Lines below each other in place of `curves`.
        times: What stands below the axis of time, from its left end to its right end.
        told: How values are written.
        top: The top of the scale; without it, it follows the values.
        note: What is missing, and why; empty where nothing is.
    """

    title: str
    curves: tuple[Curve, ...] = ()
    strips: tuple[Strip, ...] = ()
    times: tuple[str, ...] = ()
    told: Callable[[float], str] = "{:g}".format
    top: float | None = None
    note: str = ""


def grid_lines(
    charts: Sequence[Chart], width: int, height: int, glyphs: Glyphs = UNICODE
) -> list[Content]:
    """Lays charts out.

    Args:
        charts: The charts, in order.
        width: Cells of a line.
        height: Lines that there is room for; more are made where each would be too low.
        glyphs: The signs to draw.
    """
    if width < _NARROW:
        return []  # before it is laid out, or in a terminal in which nothing can be read
    columns = 2 if width >= SIDE_BY_SIDE and len(charts) > 1 else 1
    rows = -(-len(charts) // columns)
    cells = (width - _GAP * (columns - 1)) // columns
    lines: list[Content] = []
    for row in range(rows):
        # What does not divide evenly goes to the first.
        high = max(LOW, height // rows + (row < height % rows))
        here = charts[row * columns : (row + 1) * columns]
        # The last one alone has all of the width.
        room = cells if len(here) == columns else width
        beside = [chart_lines(chart, room, high, glyphs) for chart in here]
        for parts in zip(*beside, strict=True):
            padded = [part.pad_right(cells - part.cell_length + _GAP) for part in parts[:-1]]
            lines.append(Content("").join([*padded, parts[-1]]))
    return lines


def chart_lines(chart: Chart, width: int, height: int, glyphs: Glyphs = UNICODE) -> list[Content]:
    """Draws one chart in exactly so many lines of at most so many cells."""
    title = literal(shorten(chart.title, width, glyphs.ellipsis), style_of("strong"))
    if chart.strips:
        lines = [title, *_strips(chart, width, height - 1, glyphs)]
    elif any(value is not None for curve in chart.curves for value in curve.values):
        lines = [_legend(title, chart, width, glyphs), *_plot(chart, width, height - 1, glyphs)]
    else:
        lines = [title, *_note(chart.note, width)]
    return [*lines[:height], *[Content("")] * (height - len(lines))]


def _note(text: str, width: int) -> list[Content]:
    return [*literal(text, style_of("dim")).wrap(width)] if text else []


def _legend(title: Content, chart: Chart, width: int, glyphs: Glyphs) -> Content:
    """The title, and each line with its newest value; as much as there is room for."""
    for curve in chart.curves:
        known = [value for value in curve.values if value is not None]
        sign = glyphs.dotted if curve.dotted else glyphs.solid
        told = chart.told(known[-1]) if curve.values and curve.values[-1] is not None else "?"
        part = literal(f"  {sign * 2}", style_of(curve.style)) + literal(f" {curve.name} {told}")
        if title.cell_length + part.cell_length <= width:
            title += part
    return title


def _plot(chart: Chart, width: int, height: int, glyphs: Glyphs) -> list[Content]:
    """The plot with its axes, and the note below it, if any."""
    mark, axis, corner, line, tick = tuple(glyphs.axes)
    told = shorten(chart.note, width, glyphs.ellipsis)
    note = [literal(told, style_of("dim"))] if told else []
    rows = height - _FRAME + 1 - len(note)
    top = chart.top or nice_top(
        max((value for curve in chart.curves for value in curve.values if value), default=0)
    )
    labels = {0: chart.told(top), rows: chart.told(0)}
    if rows >= 4 and rows % 2 == 0:
        labels[rows // 2] = chart.told(top / 2)
    left = max(map(cell_len, labels.values())) + 1
    cells = width - left - 1
    if cells < 8 or rows < 1:
        return _note(chart.note, width)
    dim = style_of("dim")
    plotted = _drawn(chart.curves, cells, rows, top, glyphs)
    made = []
    for row in range(rows):
        label = labels.get(row, "")
        sign = mark if label else axis
        made.append(literal(f"{label:>{left - 1}} {sign}", dim) + plotted[row])
    at = _places(chart.times, cells)
    below = "".join(tick if cell in at else line for cell in range(cells))
    made.append(literal(f"{labels[rows]:>{left - 1}} {corner}{below}", dim))
    made.append(literal(_times(chart.times, at, cells, left + 1), dim))
    return [*made, *note]


def nice_top(most: float) -> float:
    """The top of a scale for values up to so much."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(top * power for top in _TOPS if top * power >= most * (1 - 1e-9))


def _places(times: Sequence[str], cells: int) -> list[int]:
    """At which cells times stand, the first and the last at the ends."""
    steps = max(1, len(times) - 1)
    return [round(at * (cells - 1) / steps) for at in range(len(times))]


def _times(times: Sequence[str], at: Sequence[int], cells: int, left: int) -> str:
    """The line of times, each below its mark as far as it fits."""
    text = " " * (left + cells)
    end = 0
    for time, place in zip(times, at, strict=True):
        start = min(max(left + place - len(time) // 2, 0), left + cells - len(time))
        if start >= end:
            text = text[:start] + time + text[start + len(time) :]
            end = start + len(time) + 1
    return text.rstrip()


def _drawn(
    curves: Sequence[Curve], cells: int, rows: int, top: float, glyphs: Glyphs
) -> list[Content]:
    """The lines of a plot, those of the first curve over those of the others."""
    drawn = [(curve, _quarters(curve, cells, rows, top)) for curve in curves]
    lines = []
    for row in range(rows):
        parts = []
        for cell in range(cells):
            filled, style, sign = 0, "", " "
            for curve, quarters in drawn:
                here = quarters[row][cell]
                if here and not filled:
                    style, sign = curve.style, glyphs.dotted if curve.dotted else glyphs.solid
                filled |= here
            if filled and not sign.isascii():
                sign = _BLOCKS[filled]
            parts.append((sign, style))
        lines.append(_joined(parts))
    return lines


def _joined(parts: Sequence[tuple[str, str]]) -> Content:
    """Signs with their styles, those alike in one piece."""
    pieces: list[tuple[str, str]] = []
    for sign, style in parts:
        if pieces and pieces[-1][1] == style:
            pieces[-1] = (pieces[-1][0] + sign, style)
        else:
            pieces.append((sign, style))
    return Content("").join(literal(text, style_of(style)) for text, style in pieces)


def _quarters(curve: Curve, cells: int, rows: int, top: float) -> list[list[int]]:
    """A curve in quarters of cells, as steps: between two looks nothing is known to have changed.

    Returns:
        The sums of `_QUARTERS` of each cell, line by line from above.
    """
    drawn = [[0] * cells for _ in range(rows)]
    wide, high, steps = 2 * cells, 2 * rows, len(curve.values)
    before: int | None = None
    for x in range(wide):
        begin = x * steps // wide
        here = [
            high - 1 - round(min(value, top) / top * (high - 1))
            for value in curve.values[begin : max(begin + 1, (x + 1) * steps // wide)]
            if value is not None
        ]
        if here and not (curve.dotted and x % _DOTTED):
            # A change is a line from the one level to the other.
            levels = here if before is None or curve.dotted else [*here, before]
            for y in range(min(levels), max(levels) + 1):
                drawn[y // 2][x // 2] |= _QUARTERS[y % 2][x % 2]
        before = here[-1] if here else None
    return drawn


def _strips(chart: Chart, width: int, height: int, glyphs: Glyphs) -> list[Content]:
    """Lines below each other, all up to the greatest value of any of them."""
    note = _note(chart.note, width)[: max(0, height - 1)]
    room = height - len(note)
    shown = chart.strips[: room if len(chart.strips) <= room else room - 1]
    names = [shorten(each.name, _NAME, glyphs.ellipsis) for each in shown]
    lasts = [_last(each, chart.told) for each in shown]
    left, right = max(map(cell_len, names)), max(map(cell_len, lasts))
    cells = max(1, width - left - right - 2)
    top = chart.top or max(
        (value for each in chart.strips for value in each.values if value), default=1.0
    )
    lines = []
    for name, last, each in zip(names, lasts, shown, strict=True):
        drawn = sparkline(squeezed(each.values, cells), cells, top, glyphs=glyphs)
        padding = " " * (left - cell_len(name))
        lines.append(
            literal(f"{name}{padding} ") + drawn + literal(f" {last:>{right}}", style_of("strong"))
        )
    if len(shown) < len(chart.strips):
        lines.append(literal(f"and {len(chart.strips) - len(shown)} more", style_of("dim")))
    return [*lines, *note]


def _last(strip: Strip, told: Callable[[float], str]) -> str:
    last = strip.values[-1] if strip.values else None
    return "?" if last is None else told(last)


def squeezed(values: Sequence[float | None], cells: int) -> list[float | None]:
    """Values over all of some cells, of those that share a cell the greatest.

    Args:
        values: The values, the oldest first.
        cells: How many cells there are.
    """
    count = len(values)
    found: list[float | None] = []
    for cell in range(cells if count else 0):
        begin = cell * count // cells
        end = max(begin + 1, (cell + 1) * count // cells)
        known = [value for value in values[begin:end] if value is not None]
        found.append(max(known, default=None))
    return found


class _Grid(Lines):
    """The lines of all charts."""

    DEFAULT_CSS = """
    _Grid {
        width: 1fr;
        height: auto;
    }
    """

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self.glyphs = glyphs
        self.charts: tuple[Chart, ...] = ()
        self.room = 0

    def lines(self, width: int) -> Sequence[Content]:
        return grid_lines(self.charts, width, self.room, self.glyphs)


class Charts(Panel):
    """Charts in all the room that there is; they scroll where that is too little."""

    def __init__(
        self,
        *,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes a panel.

        Args:
            glyphs: The signs to draw.
            id: As for every widget.
        """
        super().__init__(name=None, id=id, classes=None)
        self._grid = _Grid(glyphs)

    @property
    def charts(self) -> tuple[Chart, ...]:
        """What the panel shows."""
        return self._grid.charts

    def compose(self) -> ComposeResult:
        """Holds the lines."""
        yield self._grid

    def show(self, charts: Sequence[Chart]) -> None:
        """Shows other charts; the same ones again cost nothing."""
        grid, room = self._grid, self.size.height
        if (*charts,) == grid.charts and room == grid.room:
            return
        before = grid.lines(grid.size.width) if grid.size.width else []
        grid.charts, grid.room = (*charts,), room
        grid.paint(before)

    def _look(self, pattern: Pattern) -> None:
        """Finds nothing: what is drawn is no text."""

    def on_resize(self) -> None:
        """Draws them in the room that there is now."""
        self.show(self.charts)
