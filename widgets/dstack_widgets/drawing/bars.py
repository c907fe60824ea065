"""Small bars with numbers, as content for cells and panels.

What a bar says it says in numbers and words too: neither colour nor length is ever needed to read
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from textual.content import Content

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal


class _Look(NamedTuple):
    segment: str
    """The name of the glyph."""
    style: str
    """The name in the palette."""
    word: str


#: In the order they stand in a bar. States as dstack names them, and "unreachable", which is a flag
#: of an instance in any state.
_STATES: Mapping[str, _Look] = {
    "busy": _Look("bar_busy", "busy", "busy"),
    "idle": _Look("bar_idle", "idle", "idle"),
    "provisioning": _Look("bar_starting", "starting", "starting"),
    "pending": _Look("bar_starting", "starting", "pending"),
    "terminating": _Look("bar_ending", "ending", "terminating"),
    "unhealthy": _Look("warning", "warn", "unhealthy"),
    "unreachable": _Look("cross", "bad", "unreachable"),
    "terminated": _Look("bar_empty", "dim", "terminated"),
}


def _look(state: str) -> _Look:
    return _STATES.get(state) or _Look("bar_empty", "dim", state)


def share_out(counts: Sequence[int], cells: int) -> list[int]:
    """Shares the cells of a bar out among counts.

    Args:
        counts: How many of each; none negative.
        cells: How many cells there are.

    Returns:
        One cell each when they all fit; else cells in proportion, by the largest remainder, and at
        least one for each count that is not 0 while there are cells.
    """
    total = sum(counts)
    if total <= cells:
        return list(counts)
    shares = [count * cells / total for count in counts]
    given = [max(int(share), min(count, 1)) for share, count in zip(shares, counts, strict=True)]
    while sum(given) < cells:
        index = max(range(len(given)), key=lambda each: shares[each] - given[each])
        given[index] += 1
    while sum(given) > cells:
        index = max(range(len(given)), key=lambda each: (given[each], given[each] - shares[each]))
        given[index] -= 1
    return given


def state_bar(counts: Mapping[str, int], width: int = 8, glyphs: Glyphs = UNICODE) -> Content:
    """Draws instances by state, such as `███▒      3 busy  1 starting`.

    Args:
        counts: How many instances there are in each state.
        width: Cells of the bar; the numbers follow it.
        glyphs: The signs to draw.

    Returns:
        The bar and a number with a word for each state; a dash when there are no instances.
    """
    states = [state for state in _STATES if counts.get(state)]
    states += sorted(state for state in counts if state not in _STATES and counts[state])
    if not states:
        return literal(glyphs.dash, style_of("dim"))
    cells = share_out([counts[state] for state in states], width)
    parts = [
        literal(getattr(glyphs, _look(state).segment) * size, style_of(_look(state).style))
        for state, size in zip(states, cells, strict=True)
        if size
    ]
    parts.append(literal(" " * (width - sum(cells))))
    # What is wrong comes first in words: a narrow column cuts the end off.
    worded = sorted(states, key=lambda state: _look(state).style not in ("bad", "warn"))
    for state in worded:
        look = _look(state)
        # Busy and idle are as things should be: their words stay quiet.
        quiet = state in ("busy", "idle")
        parts.append(literal(" " if state == worded[0] else "  "))
        parts.append(literal(f"{counts[state]} {look.word}", "" if quiet else style_of(look.style)))
    return Content("").join(parts)


class Share(NamedTuple):
    """One part of a distribution."""

    name: str
    """Of the fleet."""
    running: int
    """Replicas that run there."""
    starting: int = 0
    """Replicas on their way there."""


def share_bar(parts: Sequence[Share], width: int = 0, glyphs: Glyphs = UNICODE) -> Content:
    """Draws how something is distributed, such as `gpu-reserved 4 · gpu-spot 5+1`.

    Args:
        parts: The parts, in the order they are to stand.
        width: Cells of a bar before the names; none without it.
        glyphs: The signs to draw.

    Returns:
        The names with what runs and, after a plus, what is starting; a dash when there is nothing.
    """
    shown = [part for part in parts if part.running or part.starting]
    if not shown:
        return literal(glyphs.dash, style_of("dim"))
    fills = [glyphs.fills[index % len(glyphs.fills)] for index in range(len(shown))]
    pieces: list[Content] = []
    if width:
        cells = share_out([part.running + part.starting for part in shown], width)
        bar = "".join(fill * size for fill, size in zip(fills, cells, strict=True))
        pieces.append(literal(f"{bar.ljust(width)} ", style_of("idle")))
    for index, part in enumerate(shown):
        if index:
            pieces.append(literal(f" {glyphs.dot} ", style_of("dim")))
        if width:
            pieces.append(literal(f"{fills[index]} ", style_of("idle")))
        pieces.append(literal(f"{part.name} "))
        pieces.append(literal(str(part.running), style_of("strong")))
        if part.starting:
            pieces.append(literal(f"+{part.starting}", style_of("starting")))
    return Content("").join(pieces)


class Filling(NamedTuple):
    """What a bar of replicas is made of."""

    ready: int = 0
    unready: int = 0
    """Running and not ready."""
    pending: int = 0
    stopping: int = 0
    missing: int = 0
    """Wanted, and not even on their way."""


#: Glyph and style of the parts of a `Filling`, in its order.
_FILLING = (
    ("bar_busy", "busy"),
    ("bar_starting", "warn"),
    ("bar_idle", "starting"),
    ("bar_ending", "ending"),
    ("bar_empty", "bad"),
)


def filled_bar(filling: Filling, scale: int, width: int = 8, glyphs: Glyphs = UNICODE) -> Content:
    """Draws replicas, such as `████░`: those that are ready, and what is not there yet.

    Args:
        filling: How many of each.
        scale: For how many replicas the whole width stands, the same for bars that are to be
            compared. Where there is a cell for each, a replica is a cell.
        width: Cells of the bar.
        glyphs: The signs to draw.

    Returns:
        The bar without numbers, exactly `width` cells.
    """
    total = sum(filling)
    kinds = sum(1 for count in filling if count)
    room = width
    if scale > width:
        room = min(width, max(kinds, round(total * width / scale)))
    cells = share_out(filling, room)
    parts = [
        literal(getattr(glyphs, glyph) * size, style_of(style))
        for size, (glyph, style) in zip(cells, _FILLING, strict=True)
        if size
    ]
    return Content("").join([*parts, literal(" " * (width - sum(cells)))])


def ratio(used: int, total: int, width: int = 0, glyphs: Glyphs = UNICODE) -> Content:
    """Draws how much of something is in use, such as `24/32`.

    Args:
        used: How many are in use.
        total: How many there are.
        width: Cells of a bar before the numbers; none without it.
        glyphs: The signs to draw.

    Returns:
        The numbers; a dash when there are none to use.
    """
    if total <= 0:
        return literal(glyphs.dash, style_of("dim"))
    numbers = literal(f"{used}/{total}")
    if not width:
        return numbers
    filled, empty = share_out([min(used, total), max(0, total - used)], width)
    if total < width:
        filled = round(width * min(used, total) / total)
        empty = width - filled
    return Content("").join(
        [
            literal(glyphs.bar_busy * filled, style_of("busy")),
            literal(glyphs.bar_idle * empty, style_of("dim")),
            literal(" "),
            numbers,
        ]
    )


def sparkline(
    values: Sequence[float | None],
    width: int,
    top: float | None = None,
    style: str = "accent",
    glyphs: Glyphs = UNICODE,
    *,
    loud: Callable[[float], str] | None = None,
) -> Content:
    """Draws the course of a value, the newest at the right.

    Args:
        values: The values, oldest first; `None` where there is none.
        width: Cells; of more values than that, the newest are drawn.
        top: The value of the highest level; without it, the highest of those drawn.
        style: A name in the palette.
        glyphs: The signs to draw.
        loud: Gives the style of a value that is to stand out; empty for any other.

    Returns:
        One character for each value, and blanks before them where they are too few.
    """
    drawn = list(values[-width:]) if width > 0 else []
    highest = (
        top if top is not None else max((each for each in drawn if each is not None), default=0)
    )
    last = len(glyphs.spark) - 1
    signs = [(" " * (width - len(drawn)), style)]
    for value in drawn:
        if value is None:
            signs.append((" ", style))
            continue
        level = value / highest if highest > 0 else 0
        sign = glyphs.spark[max(0, min(last, round(level * last)))]
        signs.append((sign, (loud(value) if loud is not None else "") or style))
    return Content("").join(
        literal("".join(sign for sign, _ in alike), style_of(each))
        for each, alike in groupby(signs, key=lambda sign: sign[1])
    )
