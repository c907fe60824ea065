"""Turns what the app shows into SVG and PNG."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import resvg_py
from textual.app import App

HERE = Path(__file__).parent
FONTS = HERE / "fonts"
#: The PNG is this many times as large as the SVG says.
_ZOOM = 1.5


def save(app: App[Any], name: str, folder: Path = HERE, *, drawn: bool = True) -> Path:
    """Saves the screen in front as `NAME.svg`, and drawn as `NAME.png`.

    Args:
        app: A running app.
        name: The name of the files, without an ending.
        folder: Where they go.
        drawn: Whether there is to be a PNG, which is four times as large.

    Returns:
        The path of the PNG, or of the SVG without one.
    """
    svg = app.export_screenshot()
    # The export numbers its CSS classes at random; a fixed number keeps equal pictures equal.
    svg = re.sub(r"terminal-\d+", "terminal-0", svg)
    path = folder / f"{name}.svg"
    path.write_text(svg, encoding="utf-8")
    if not drawn:
        return path
    png = folder / f"{name}.png"
    png.write_bytes(to_png(svg))
    return png


def to_png(svg: str) -> bytes:
    """Draws an SVG of a terminal with the fonts that come with the pictures."""
    # The export names a web font; there is no web here, and the family must be one that is there.
    local = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    local = local.replace("Fira Code", "DejaVu Sans Mono").replace("arial", "DejaVu Sans Mono")
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=local,
            skip_system_fonts=True,
            font_files=[str(path) for path in sorted(FONTS.glob("*.ttf"))],
            monospace_family="DejaVu Sans Mono",
            zoom=_ZOOM,
        )
    )
