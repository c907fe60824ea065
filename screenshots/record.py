"""Records what the app shows: as an animated SVG, and as a recording that asciinema plays."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text
from textual.app import App

#: Size of a cell in the SVG.
_WIDE, _HIGH = 8.4, 18.0
_FONT = 14.0
_MARGIN = 12.0
_GROUND = "#121212"
_INK = "#e0e0e0"
_CAPTION = "\x1b[38;2;255;192;92m"


@dataclass(frozen=True)
class Frame:
    """What was shown for a while."""

    rows: tuple[str, ...]
    """With the control sequences of a terminal for colours."""
    caption: str
    """What was pressed, or what is waited for."""
    seconds: float
    """How long it is shown when it is played."""


class Recording:
    """Frames, one after the other.

    Args:
        app: The app whose screen is recorded.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self.frames: list[Frame] = []

    def take(self, caption: str, seconds: float = 1.5) -> None:
        """Adds what is shown now."""
        self.frames.append(Frame(_rows(self._app), caption, seconds))

    def save(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Writes `NAME.svg` and `NAME.cast`; returns where."""
        svg, cast = folder / f"{name}.svg", folder / f"{name}.cast"
        svg.write_text(as_svg(self.frames), encoding="utf-8")
        cast.write_text(as_cast(self.frames), encoding="utf-8")
        return svg, cast


def as_cast(frames: Sequence[Frame]) -> str:
    """The frames in asciinema's format, version 2; of each only the rows that are new.

    What was pressed is in it as markers.
    """
    width, height = _size(frames)
    lines: list[object] = [{"version": 2, "width": width, "height": height}]
    at = 0.0
    before: tuple[str, ...] = ("",) * height
    for frame in frames:
        lines.append([round(at, 2), "m", frame.caption])
        new = "".join(
            f"\x1b[{number};1H{row}\x1b[0m\x1b[K"
            for number, (row, old) in enumerate(zip(frame.rows, before, strict=True), 1)
            if row != old
        )
        lines.append([round(at, 2), "o", f"\x1b[?25l{new}"])
        before = frame.rows
        at += frame.seconds
    lines.append([round(at, 2), "o", "\x1b[?25h"])
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def as_svg(frames: Sequence[Frame]) -> str:
    """The frames as a film that goes round; a row that comes again is drawn once."""
    width, height = _size(frames)
    wide = width * _WIDE + 2 * _MARGIN
    high = (height + 1.5) * _HIGH + 2 * _MARGIN
    ids: dict[str, str] = {}
    for frame in frames:
        for row in (*frame.rows, _caption(frame)):
            ids.setdefault(row, f"r{len(ids)}")
    rows = "\n".join(f'<g id="{key}">{"".join(_draw(row))}</g>' for row, key in ids.items())
    film = "\n".join(_frame(frame, ids, number * wide) for number, frame in enumerate(frames))
    total = sum(frame.seconds for frame in frames)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve"
 viewBox="0 0 {wide:g} {high:g}">
<style>
text {{ font: {_FONT:g}px "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; }}
.bold {{ font-weight: bold; }}
.film {{ animation: film {total:g}s step-end infinite; }}
@keyframes film {{
{_keyframes(frames, wide, total)}
}}
</style>
<defs>
{rows}
</defs>
<rect width="{wide:g}" height="{high:g}" rx="8" fill="{_GROUND}"/>
<g class="film" fill="{_INK}">
{film}
</g>
</svg>
"""


def _rows(app: App[Any]) -> tuple[str, ...]:
    width, height = app.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
    )
    console.print(app.screen._compositor.render_update(full=True, simplify=True))
    rows = console.export_text(styles=True).split("\n")
    return tuple([*rows, *[""] * height][:height])


def _size(frames: Sequence[Frame]) -> tuple[int, int]:
    rows = frames[0].rows
    return max(Text.from_ansi(row).cell_len for row in rows), len(rows)


def _caption(frame: Frame) -> str:
    return f" {_CAPTION}{frame.caption}\x1b[0m"


def _frame(frame: Frame, ids: dict[str, str], x: float) -> str:
    uses = [
        f'<use href="#{ids[row]}" y="{number * _HIGH:g}"/>'
        for number, row in enumerate(frame.rows)
        if row
    ]
    below = (len(frame.rows) + 0.5) * _HIGH
    uses.append(f'<use href="#{ids[_caption(frame)]}" y="{below:g}"/>')
    return f'<g transform="translate({x + _MARGIN:g} {_MARGIN:g})">{"".join(uses)}</g>'


def _keyframes(frames: Sequence[Frame], wide: float, total: float) -> str:
    at = 0.0
    lines = []
    for number, frame in enumerate(frames):
        lines.append(f"{100 * at / total:.2f}% {{ transform: translateX({-number * wide:g}px); }}")
        at += frame.seconds
    lines.append(f"100% {{ transform: translateX({-(len(frames) - 1) * wide:g}px); }}")
    return "\n".join(lines)


def _draw(row: str) -> Iterator[str]:
    x = 0
    for segment in _pieces(row):
        style = segment.style or Style()
        ink, ground = _colours(style)
        wide = segment.cell_length
        if ground is not None:
            yield (
                f'<rect x="{x * _WIDE:.1f}" width="{wide * _WIDE:.1f}" height="{_HIGH + 0.2:g}"'
                f' fill="{ground}"/>'
            )
        text = segment.text.strip()
        if text:
            begin = x + segment.text.index(text)
            length = Segment(text).cell_length * _WIDE
            bold = ' class="bold"' if style.bold else ""
            line = ' text-decoration="underline"' if style.underline else ""
            fill = f' fill="{ink}"' if ink != _INK else ""
            yield (
                f'<text x="{begin * _WIDE:.1f}" y="{_FONT:g}" textLength="{length:.1f}"'
                f"{fill}{bold}{line}>{html.escape(text, quote=False)}</text>"
            )
        x += wide


def _pieces(row: str) -> Iterable[Segment]:
    console = Console(color_system="truecolor", force_terminal=True, width=1000)
    return [part for part in Text.from_ansi(row, end="").render(console) if part.text]


def _colours(style: Style) -> tuple[str, str | None]:
    ink = style.color.get_truecolor(DIMMED_MONOKAI).hex if style.color else _INK
    ground = None
    if style.bgcolor is not None and not style.bgcolor.is_default:
        ground = style.bgcolor.get_truecolor(DIMMED_MONOKAI).hex
    if style.reverse:
        ink, ground = ground or _GROUND, ink
    return ink, None if ground == _GROUND else ground
