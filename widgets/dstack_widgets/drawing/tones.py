"""Colours of texts: each can be read, and none is louder than what counts more.

By the contrast with what is behind them: critical ≥ warning > plain > dim. Textual mixes colours of
a theme so that some reds are fainter than dim text, so they are moved here to the luminance that
their weight asks for; the hue stays the theme's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.filter import LineFilter

#: The least contrast of a text with what is behind it (WCAG AA).
READABLE = 4.5
#: Variables of a theme that ask for more: contrast of plain text, and the least of any.
PLAIN_CONTRAST, LEAST_CONTRAST = "plain-contrast", "least-contrast"
#: Plain text is quiet, so that there is room above it. It has at least the first contrast with the
#: background, and no more than the second.
_PLAIN = (6.5, 7.5)
#: How much more plain text has than the least, on the row of the cursor too.
_ABOVE_LEAST = 1.15
#: How much more contrast a warning has than plain text, with colours and without.
_WARNING, _GREY_WARNING = 1.06, 1.35
#: The most contrast of the row of the cursor with the other rows.
_CURSOR = 1.28
#: How much of the main colour that row has at most.
_TINT = 0.35
#: Of plain text, this much is left in dim text, unless it could not be read then.
_DIM = 0.66

#: Hues nearer than this part of the circle look alike once they are equally light; a warning has
#: this hue then.
_ALIKE, _YELLOW = 0.09, 0.135

#: Texts that are as loud as plain ones, by the variable whose hue they have.
_QUIET = ("primary", "secondary", "success", "accent")
#: What is behind texts, besides the row of the cursor.
_BEHIND = ("background", "surface")

#: What a terminal with 16 colours of its own shows: colours that can be read in the palettes of
#: xterm and of a PC.
_ANSI_DARK = {
    "text-error": "ansi_bright_red",
    "text-warning": "ansi_bright_yellow",
    "text-success": "ansi_bright_green",
    "text-primary": "ansi_cyan",
    "text-secondary": "ansi_cyan",
    "text-accent": "ansi_bright_cyan",
}
_ANSI_LIGHT = {
    "text-error": "ansi_red",
    "text-warning": "ansi_default",
    "text-success": "ansi_default",
    "text-primary": "ansi_blue",
    "text-secondary": "ansi_blue",
    "text-accent": "ansi_blue",
}
#: The luminance from which black has more contrast than white.
_LIGHT_FROM = 0.18

#: The numbers of those two reds.
_REDS = (1, 9)
_REVERSE = RichStyle(reverse=True)
#: What parts the cells of a table, and pads them.
_GAPS = re.compile(r"(^ +| {2,}| +$)")


def tones(
    variables: Mapping[str, str], *, dark: bool, ansi: bool = False, colourless: bool = False
) -> dict[str, str]:
    """The variables of a theme that are not as Textual mixes them.

    Args:
        variables: All of the theme, as Textual mixes them.
        dark: Whether texts are lighter than what is behind them.
        ansi: Whether the colours are the terminal's own.
        colourless: Whether there is to be no colour.
    """
    if ansi:
        return _ANSI_DARK if dark else _ANSI_LIGHT
    side = 1.0 if dark else 0.0
    behind = Color.parse(variables["background"])
    cursor = _cursor(behind, Color.parse(variables["primary"]))
    grounds = [cursor, *(Color.parse(variables[name]) for name in _BEHIND)]
    worst = max(map(luminance, grounds)) if dark else min(map(luminance, grounds))
    ground = luminance(behind)
    least = float(variables.get(LEAST_CONTRAST, READABLE))
    low, high = _PLAIN
    if PLAIN_CONTRAST in variables:
        low = high = float(variables[PLAIN_CONTRAST])

    def with_contrast(wanted: float) -> float:
        """The luminance of a text that has a contrast with the background."""
        return _clamp((ground + 0.05) * wanted - 0.05 if dark else (ground + 0.05) / wanted - 0.05)

    foreground = Color.parse(variables["foreground"])
    plain = _between(contrast_of(luminance(foreground), ground), low, high)
    # The same on the ground where it is hardest.
    harder = contrast_of(worst, ground)
    plain = max(plain, least * _ABOVE_LEAST * harder)
    warning = plain * (_GREY_WARNING if colourless else _WARNING)

    hues = {name: Color.parse(variables[name]) for name in (*_QUIET, "warning", "error")}
    hues["warning"] = _apart(hues["warning"], hues["error"])

    def toned(name: str, wanted: float) -> str:
        if colourless:
            return _grey(with_contrast(wanted), side).hex
        return lit(hues[name], with_contrast(wanted), side).hex

    found = {
        "foreground": lit(foreground, with_contrast(plain), side).hex,
        "text-warning": toned("warning", warning),
        "text-muted": lit(foreground, with_contrast(least * harder), side).hex,
        "text-disabled": lit(foreground, with_contrast(least * harder), side).hex,
        "primary-muted": cursor.hex,
        "block-cursor-background": cursor.hex,
        "block-cursor-blurred-background": cursor.hex,
    }
    found |= {f"text-{name}": toned(name, plain) for name in _QUIET}
    found["block-cursor-foreground"] = found["foreground"]
    found["block-cursor-blurred-foreground"] = found["foreground"]
    loudest = with_contrast(warning) if not colourless else side
    found["text-error"] = (
        _grey(loudest, side).hex
        if colourless
        else lit(
            hues["error"],
            _further(loudest, luminance(Color.parse(found["text-warning"])), side),
            side,
        ).hex
    )
    return found


def _apart(warning: Color, error: Color) -> Color:
    """The colour of warnings: yellow where a theme has it too near that of errors."""
    apart = abs(warning.hsl.h - error.hsl.h)
    if min(apart, 1 - apart) >= _ALIKE:
        return warning
    return Color.from_hsl(_YELLOW, warning.hsl.s, warning.hsl.l)


def _further(one: float, other: float, side: float) -> float:
    """Of two luminances the one that is nearer to a side."""
    return max(one, other) if side else min(one, other)


def _between(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def _clamp(value: float) -> float:
    return _between(value, 0.0, 1.0)


def _cursor(behind: Color, tint: Color) -> Color:
    """What is behind the row of the cursor: tinted, and little lighter or darker than the rest."""
    share = _TINT
    while share > 0.05 and contrast(behind.blend(tint, share), behind) > _CURSOR:
        share -= 0.01
    return behind.blend(tint, share)


@lru_cache(1024)
def luminance(color: Color) -> float:
    """How much light a colour gives, 0 to 1 (WCAG)."""
    red, green, blue = (_linear(channel / 255) for channel in color.rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def is_light(luminance: float) -> bool:
    """Whether a background that gives so much light asks for dark texts."""
    return luminance > _LIGHT_FROM


def contrast(one: Color, other: Color) -> float:
    """The contrast of two colours, 1 to 21 (WCAG)."""
    return contrast_of(luminance(one), luminance(other))


def contrast_of(one: float, other: float) -> float:
    """The contrast of two luminances."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@lru_cache(1024)
def lit(color: Color, wanted: float, side: float) -> Color:
    """A colour of the same hue that gives as much light as is wanted.

    Args:
        color: The colour.
        wanted: The luminance.
        side: 1 for no less than that, 0 for no more: bytes are rounded.
    """
    channels = [_linear(channel / 255) for channel in color.rgb]
    given = luminance(color)
    if given > 0.0:
        brighter = min(wanted / given, 1 / max(channels))
        channels = [channel * brighter for channel in channels]
        given *= brighter
    if given < wanted:
        white = (wanted - given) / (1 - given)
        channels = [channel + (1 - channel) * white for channel in channels]
    red, green, blue = (round(255 * _gamma(channel)) for channel in channels)
    found = Color(red, green, blue)
    step = 1 if side else -1
    while (luminance(found) - wanted) * step < 0 and found.rgb != (255 * round(side),) * 3:
        red, green, blue = (int(_between(channel + step, 0, 255)) for channel in found.rgb)
        found = Color(red, green, blue)
    return found


def _grey(wanted: float, side: float) -> Color:
    return lit(Color(128, 128, 128), wanted, side)


def _linear(channel: float) -> float:
    value: float = channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
    return value


def _gamma(channel: float) -> float:
    value: float = channel * 12.92 if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055
    return _clamp(value)


class Dimmer(LineFilter):
    """Writes dim text in a colour between its own and what is behind it that can still be read.

    Attributes:
        least: The least contrast.
    """

    least: float = READABLE

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Changes dim segments.

        Args:
            segments: Of a line.
            background: What is behind them, where they do not say so.
        """
        behind = background.rich_color
        return [
            Segment(segment.text, dimmed(segment.style, behind, self.least), segment.control)
            if segment.style is not None and segment.style.dim
            else segment
            for segment in segments
        ]


@lru_cache(1024)
def dimmed(style: RichStyle, background: RichColor, least: float) -> RichStyle:
    """A dim style as one that is not, unless the colours are the terminal's own.

    Args:
        style: The style.
        background: What is behind it, where the style does not say so.
        least: The least contrast.
    """
    ground = background if style.bgcolor is None or style.bgcolor.is_default else style.bgcolor
    if style.color is None or style.color.triplet is None or ground.triplet is None:
        return style
    behind, color = Color(*ground.triplet), Color(*style.color.triplet)
    shares = (share / 100 for share in range(round(100 * _DIM), 100, 2))
    mixed = (behind.blend(color, share) for share in shares)
    found = next((each for each in mixed if contrast(each, behind) >= least), color)
    return style + RichStyle(dim=False, color=found.rich_color)


class Alarm(LineFilter):
    """Writes what is critical as a block, where the colours are the terminal's own.

    What a red looks like there is not known: in many it is fainter than plain text.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Reverses bold red segments.

        Args:
            segments: Of a line.
            background: What is behind them.
        """
        return [part for segment in segments for part in _alarming(segment)]


def _alarming(segment: Segment) -> Iterator[Segment]:
    """A segment in parts: the words of one that is critical are reversed, not the gaps."""
    text, style, control = segment
    if style is None or not style.bold or style.color is None or style.color.number not in _REDS:
        yield segment
        return
    for part in filter(None, _GAPS.split(text)):
        yield Segment(part, style if part.isspace() else style + _REVERSE, control)
