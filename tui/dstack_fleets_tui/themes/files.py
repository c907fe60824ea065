"""Themes in files of the user: which there are, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_config_path
from textual.theme import Theme

from dstack_api_client.text import one_line


def themes_folder() -> Path:
    """Where the user's own themes are looked for."""
    return user_config_path("dstack-fleets-tui", appauthor=False) / "themes"


def read_themes(folder: Path) -> tuple[Sequence[Theme], Sequence[str]]:
    """Reads the themes of a folder: `NAME.yml` each.

    Returns:
        Those that can be used, and what is wrong with the others.
    """
    found = [_theme_or_notice(path) for path in sorted(folder.glob("*.yml"))]
    themes = [each for each in found if isinstance(each, Theme)]
    return themes, [each for each in found if isinstance(each, str)]


def _theme_or_notice(path: Path) -> Theme | str:
    # What checks it is loaded for those who have one.
    from dstack_fleets_tui.themes.theme_file import read_theme

    try:
        return read_theme(path)
    except ValueError as error:
        return f"The theme {one_line(str(path))} is not used: {one_line(str(error))}."
