"""What stands around the lines of a service's logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dstack_api_client.replica.logs import LogLine
from dstack_widgets.glyphs import Glyphs
from dstack_widgets.log_rows import Entry
from dstack_widgets.text import shorten_name

#: Most cells of a replica's name.
_LONGEST = 14
#: Colours that tell replicas apart: hues that are neither the red nor the yellow of what is wrong,
#: far from each other first.
_HUES = (200, 120, 290, 165, 325, 240, 90, 265)
#: Saturation and lightness on a dark and on a light background.
_ON_DARK, _ON_LIGHT = "70%, 82%", "80%, 20%"


class Margin:
    """What stands before each line: when it was written, and by which replica.

    Args:
        glyphs: The signs to draw.

    Attributes:
        times: Whether it says when.
        is_dark: Whether the background is dark.
    """

    def __init__(self, glyphs: Glyphs) -> None:
        self.times = True
        self.is_dark = True
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
        hue = _HUES[self._places.get(name, 0) % len(_HUES)]
        return f"hsl({hue}, {_ON_DARK if self.is_dark else _ON_LIGHT})"
