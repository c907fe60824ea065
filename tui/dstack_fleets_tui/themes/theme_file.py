"""A theme in a file of the user, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from textual.color import Color, ColorParseError
from textual.theme import Theme

from dstack_api_client.yaml_text import YamlError, read_yaml_file
from dstack_widgets.drawing.tones import is_light, luminance


def _is_colour(text: str) -> str:
    try:
        color = Color.parse(text)
    except ColorParseError:
        raise ValueError(f"{text} is not a colour") from None
    if color.ansi is not None or color.a < 1:
        raise ValueError(f"{text} is not one colour, the same everywhere")
    return text


_Colour = Annotated[str, AfterValidator(_is_colour)]


class ThemeFile(BaseModel):
    """What a file of a theme may say: colours as `#rrggbb` or by a name of CSS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dark: bool | None = None
    """Whether texts are lighter than the background; without it, as the background says."""
    primary: _Colour
    secondary: _Colour | None = None
    accent: _Colour | None = None
    success: _Colour | None = None
    warning: _Colour | None = None
    error: _Colour | None = None
    foreground: _Colour | None = None
    background: _Colour | None = None
    surface: _Colour | None = None
    panel: _Colour | None = None


def read_theme(path: Path) -> Theme:
    """One theme.

    Raises:
        ValueError: What is wrong with it.
    """
    try:
        data = read_yaml_file(path, names_once=True)
    except OSError as error:
        raise ValueError(error.strerror or "it can't be read") from None
    except YamlError as error:
        raise ValueError(str(error)) from None
    if not isinstance(data, dict):
        raise ValueError("it is not a list of `name: value`")
    try:
        said = ThemeFile.model_validate(data)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        message = wrong["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        raise ValueError(f"{'.'.join(map(str, wrong['loc']))}: {message}") from None
    light = said.background is not None and is_light(luminance(Color.parse(said.background)))
    dark = not light if said.dark is None else said.dark
    return Theme(path.stem, **{**said.model_dump(), "dark": dark})
