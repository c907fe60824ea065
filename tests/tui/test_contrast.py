"""Texts of every theme can be read, and the loudest is what counts most."""

from __future__ import annotations

import itertools
import string

import pytest
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.color import Color, rgb_to_lab

from dstack_fleets_tui.settings.settings import Settings
from dstack_fleets_tui.themes.own import OWN
from dstack_widgets.drawing.tones import READABLE, Alarm, contrast, tones
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.recorded_demo import load
from tests.contrast import GROUNDS, THEMES, others, shown, weights
from tests.painting import all_painted
from tests.waiting import until

_SIGNS = frozenset(string.ascii_letters + string.digits)
#: How colours look to eyes without one kind of cones, in linear light (Machado et al., 2009).
_EYES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
#: A distance in CIELAB at which two words differ at a glance.
_APART = 20
#: The 16 colours of xterm and of a PC.
_PALETTES = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5"
    " 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "pc": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa"
    " 555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
}


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("colourless", [False, True], ids=["colours", "NO_COLOR"])
def test_critical_outweighs_warning_plain_and_dim(name, colourless):
    variables = shown(THEMES[name], colourless=colourless)
    for ground in GROUNDS:
        found = weights(variables, ground)
        assert found["critical"] >= found["warning"] > found["plain"] > found["dim"], found
        assert found["dim"] >= READABLE
        assert min(others(variables, ground)) >= READABLE
        assert max(others(variables, ground)) < found["warning"]


def test_high_contrast_is_high():
    variables = shown(THEMES["high-contrast"])
    for ground in GROUNDS:
        found = weights(variables, ground)
        assert found["dim"] >= 7
        assert found["plain"] >= 9


@pytest.mark.parametrize("eyes", _EYES)
def test_colour_blind_keeps_states_apart(eyes):
    variables = shown(THEMES["colour-blind"])
    names = ("text-error", "text-warning", "text-success")
    seen = [_seen(Color.parse(variables[name]), _EYES[eyes]) for name in names]
    for one, other in itertools.combinations(seen, 2):
        assert _distance(one, other) >= _APART


def _seen(color, eyes):
    light = [(channel / 255) ** 2.2 for channel in color.rgb]
    mixed = (sum(a * b for a, b in zip(row, light, strict=True)) for row in eyes)
    return Color(*(round(255 * max(0.0, min(1.0, each)) ** (1 / 2.2)) for each in mixed))


def _distance(one, other):
    pairs = zip(rgb_to_lab(one), rgb_to_lab(other), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


@pytest.mark.parametrize("palette", _PALETTES)
@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
def test_sixteen_colours_can_be_read(palette, dark):
    colours = [tuple(bytes.fromhex(each)) for each in _PALETTES[palette].split()]
    ground, plain = (colours[0], colours[7]) if dark else (colours[15], colours[0])
    theme = TerminalTheme(ground, plain, colours[:8], colours[8:])
    for name, value in tones({}, dark=dark, ansi=True).items():
        rich = Color.parse(value).rich_color
        found = Color(*rich.get_truecolor(theme))
        assert contrast(found, Color(*ground)) >= READABLE, name


def low_contrasts(strips):
    """Texts that are hard to read."""
    found = {}
    for text, style, _ in itertools.chain.from_iterable(strips):
        if style is None or not _SIGNS & set(text):
            continue
        given = contrast(Color(*style.color.triplet), Color(*style.bgcolor.triplet))
        if given < READABLE:
            found[text.strip()] = round(given, 1)
    return found


def on_screen(app):
    """The lines of the screen in front; of a box over another screen only its own."""
    if app.screen.is_modal:
        box = app.screen.query("#box, #--container").first()
        return box.render_lines(box.size.region)
    return app.screen._compositor.render_strips()


def app_on_demo():
    recorded = load()
    app = app_on(GivenFeed(live(recorded)), Settings())
    app.now = lambda: recorded.observed_at
    return app


async def test_every_text_on_the_screen_can_be_read():
    app = app_on_demo()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.snapshot is not None)
        app.warn("Look at this notice.")
        for name in ("textual-dark", "solarized-light", "high-contrast"):
            app.theme = name
            for keys in ("3", "2", "1", "question_mark", "escape", "slash x", "escape", "enter y"):
                await pilot.press(*keys.split())
                await all_painted(app, pilot)
                assert low_contrasts(on_screen(app)) == {}, (name, keys)
            await pilot.press("escape")


def test_critical_words_are_blocks_in_sixteen_colours():
    critical = Style(color="bright_red", bold=True)
    line = [Segment("rerank    DOWN ", critical), Segment(" 2m", Style(color="red"))]
    shown = Alarm().apply(line, Color(0, 0, 0))
    assert [text for text, style, _ in shown if style.reverse] == ["rerank", "DOWN"]
    assert "".join(text for text, *_ in shown) == "rerank    DOWN  2m"


def test_own_themes_have_names_of_their_own():
    assert [theme.name for theme in OWN] == ["high-contrast", "colour-blind"]
