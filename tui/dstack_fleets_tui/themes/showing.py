"""The app's part in colours: every theme is shown such that its texts can be read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.app import App
from textual.cache import LRUCache
from textual.theme import Theme, ThemeProvider

from dstack_fleets_tui.themes.own import OWN
from dstack_widgets.drawing.tones import LEAST_CONTRAST, READABLE, Alarm, Dimmer, is_light, tones
from dstack_widgets.screen.styles import ParsedStyles

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is shown where nobody chose a theme, on a dark and on a light terminal.
DARK, LIGHT = "textual-dark", "textual-light"

#: The variables of the last themes, with the theme and whether there are no colours: Textual asks
#: for them several times before the first frame.
_VARIABLES: LRUCache[int, tuple[Theme, bool, dict[str, str]]] = LRUCache(4)


class ThemedApp(App[int]):
    """An app with themes of its own, and texts that can be read in each theme.

    Attributes:
        asks_background: Whether the theme follows the background of the terminal.
    """

    def __init__(self) -> None:
        self._dimmer, self._alarm = Dimmer(), Alarm()
        super().__init__()
        self.stylesheet = ParsedStyles(variables=self.stylesheet._variables)
        # Before Textual's own, which would mix dim texts without a look at their contrast.
        self._filters[:0] = [self._dimmer, self._alarm]
        for theme in OWN:
            self.register_theme(theme)
        self.asks_background = False

    def get_css_variables(self) -> dict[str, str]:
        """The variables of the theme, those of texts as loud as what they say."""
        theme = self.current_theme
        kept = _VARIABLES.get(id(theme))
        if kept is not None and kept[0] is theme and kept[1] == self.no_color:
            variables = {**kept[2]}
        else:
            plain = super().get_css_variables()
            looks = tones(plain, dark=theme.dark, ansi=theme.ansi, colourless=self.no_color)
            variables = plain | looks
            _VARIABLES.set(id(theme), (theme, self.no_color, {**variables}))
        self._dimmer.least = float(variables.get(LEAST_CONTRAST, READABLE))
        self._dimmer.enabled, self._alarm.enabled = not theme.ansi, theme.ansi
        self.theme_variables = variables
        return variables

    def background_is(self, luminance: float) -> None:
        """Takes the theme for a terminal's background, unless somebody has chosen one."""
        if self.asks_background and self.theme in (DARK, LIGHT):
            self.theme = LIGHT if is_light(luminance) else DARK

    def chose_theme(self, name: str) -> None:
        """Keeps a theme that the user has chosen."""
        raise NotImplementedError


class Themes(ThemeProvider):
    """Offers the themes; the one that is chosen is kept."""

    @property
    def commands(self) -> list[tuple[str, Callable[[], None]]]:
        """The themes by their names."""
        app = cast("ThemedApp", self.app)
        return [(name, partial(app.chose_theme, name)) for name in sorted(app.available_themes)]
