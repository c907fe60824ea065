"""How well the texts of each theme can be read: `python -m tests.contrast` prints the figures."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from dstack_fleets_tui.themes.own import OWN
from dstack_widgets.drawing.tones import LEAST_CONTRAST, READABLE, contrast, dimmed, tones

#: All themes that have colours of their own.
THEMES = {name: theme for name, theme in BUILTIN_THEMES.items() if not theme.ansi}
THEMES |= {theme.name: theme for theme in OWN}
#: What is behind texts, by the variable: the rows of a table, that of its cursor, and a box.
GROUNDS = ("background", "primary-muted", "surface")
#: Texts by their weight, the loudest first.
WEIGHTS = ("critical", "warning", "plain", "dim")
_VARIABLES = {"critical": "text-error", "warning": "text-warning", "plain": "foreground"}
_OTHERS = ("text-success", "text-primary", "text-accent", "text-muted")


def shown(theme: Theme, *, colourless: bool = False) -> dict[str, str]:
    """The variables of a theme as the dashboard has them."""
    mixed = {**theme.to_color_system().generate(), **theme.variables}
    return mixed | tones(mixed, dark=theme.dark, colourless=colourless)


def weights(variables: dict[str, str], ground: str) -> dict[str, float]:
    """The contrast of each weight with what is behind it."""
    behind = Color.parse(variables[ground])
    texts = {weight: Color.parse(variables[name]) for weight, name in _VARIABLES.items()}
    least = float(variables.get(LEAST_CONTRAST, READABLE))
    style = Style(color=texts["plain"].rich_color, dim=True)
    dim = dimmed(style, behind.rich_color, least).color
    assert dim is not None
    texts["dim"] = Color.from_rich_color(dim)
    return {weight: contrast(text, behind) for weight, text in texts.items()}


def others(variables: dict[str, str], ground: str) -> Iterator[float]:
    """The contrasts of texts that are no louder than plain ones."""
    behind = Color.parse(variables[ground])
    yield from (contrast(Color.parse(variables[name]), behind) for name in _OTHERS)


def _lines() -> Iterator[str]:
    yield f"{'contrast with':<22}{'rows of a table':^36}{'row of the cursor':^36}"
    yield f"{'':<22}" + 2 * "".join(f"{weight:>9}" for weight in WEIGHTS)
    for name, theme in sorted(THEMES.items()):
        for colourless in (False, True):
            variables = shown(theme, colourless=colourless)
            figures = [weights(variables, ground) for ground in GROUNDS[:2]]
            cells = "".join(f"{each[weight]:9.1f}" for each in figures for weight in WEIGHTS)
            yield f"{'  NO_COLOR' if colourless else name:<22}{cells}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in _lines())
