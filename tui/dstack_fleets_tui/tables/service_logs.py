"""What stands around the lines of a service's logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from textual.color import Color
from textual.theme import Theme

from dstack_api_client.replica.logs import LogLine
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.drawing.text import shorten_name
from dstack_widgets.drawing.tones import lit, luminance
from dstack_widgets.logs.log_rows import Entry

#: Most cells of a replica's name.
_LONGEST = 14
#: Hues that tell replicas apart, in degrees: not the red and the yellow of what is wrong, and far
#: from each other first.
_HUES = (200, 120, 290, 165, 325, 240, 90, 265)
#: The same where the colours are the terminal's own, on a dark and on a light background.
_ANSI_DARK = ("ansi_cyan", "ansi_bright_green", "ansi_bright_magenta", "ansi_bright_cyan")
_ANSI_LIGHT = ("ansi_blue", "ansi_magenta")


def colours(variables: Mapping[str, str], theme: Theme) -> tuple[str, ...]:
    """Colours for the names of replicas, each as loud as plain text.

    Args:
        variables: Of the theme, as it is shown.
        theme: The theme.
    """
    if theme.ansi:
        return _ANSI_DARK if theme.dark else _ANSI_LIGHT
    plain = luminance(Color.parse(variables["foreground"]))
    side = 1.0 if theme.dark else 0.0
    return tuple(lit(Color.from_hsl(hue / 360, 0.8, 0.5), plain, side).hex for hue in _HUES)


class Margin:
    """What stands before each line: when it was written, and by which replica.

    Args:
        glyphs: The signs to draw.

    Attributes:
        times: Whether it says when.
        colours: Of the names of replicas; they take turns.
    """

    def __init__(self, glyphs: Glyphs) -> None:
        self.times = True
        self.colours: Sequence[str] = ("",)
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
        return self.colours[self._places.get(name, 0) % len(self.colours)]
