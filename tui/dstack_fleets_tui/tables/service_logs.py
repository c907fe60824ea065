"""What stands around the lines of a service's logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.color import Color

from dstack_api_client.replica.logs import LogLine
from dstack_widgets.glyphs import Glyphs
from dstack_widgets.log_rows import Entry
from dstack_widgets.text import shorten_name
from dstack_widgets.tones import is_light, lit, luminance

#: Most cells of a replica's name.
_LONGEST = 14
#: Colours that tell replicas apart: hues that are neither the red nor the yellow of what is wrong,
#: far from each other first.
_HUES = (200, 120, 290, 165, 325, 240, 90, 265)
#: How much colour names have.
_SATURATION = 0.7


class Margin:
    """What stands before each line: when it was written, and by which replica.

    Args:
        glyphs: The signs to draw.

    Attributes:
        times: Whether it says when.
        plain: The colour of plain text: names are as light, so that what is wrong is louder.
    """

    def __init__(self, glyphs: Glyphs) -> None:
        self.times = True
        self.plain = Color(255, 255, 255)
        self._glyphs = glyphs
        self._places: dict[str, int] = {}
        self._width = 0

    def learn(self, names: Iterable[str]) -> bool:
        """Takes the names of replicas.

        Returns:
            Whether they need more room than before.
        """
        for name in names:
            self._places.setdefault(name, len(self._places))
        width = min(_LONGEST, max(map(len, self._places), default=0))
        wider, self._width = width > self._width, max(width, self._width)
        return wider

    def __call__(self, entry: Entry) -> Sequence[tuple[str, str]]:
        """Texts with their styles."""
        parts = [(entry.at.astimezone().strftime("%H:%M:%S "), "dim")] if self.times else []
        if isinstance(entry, LogLine):
            name = shorten_name(entry.of, self._width, self._glyphs.ellipsis)
            parts.append((f"{name:<{self._width}} ", self._style(entry.of)))
        return parts

    def _style(self, name: str) -> str:
        if self.plain.ansi is not None:
            return "bold"  # what colours the terminal has is not known
        hue = _HUES[self._places.get(name, 0) % len(_HUES)]
        light = luminance(self.plain)
        colour = lit(Color.from_hsl(hue / 360, _SATURATION, 0.5), light, float(is_light(light)))
        return colour.hex
