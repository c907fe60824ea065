"""Names for what a colour says. The theme decides what the colour is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PALETTE: Mapping[str, str] = MappingProxyType(
    {
        "": "",
        "ok": "$text-success",
        "busy": "$text-success",
        "idle": "$text-primary",
        "starting": "$text-warning",
        "ending": "dim",
        "warn": "bold $text-warning",
        "bad": "bold $text-error",
        "dim": "dim",
        "strong": "bold",
        "accent": "$text-accent",
    }
)
"""Style name to a style as Textual writes it, in the variables of the theme."""


def style_of(name: str) -> str:
    """Looks a style name up.

    Args:
        name: One of the names in `PALETTE`.

    Returns:
        The style as Textual writes it.

    Raises:
        KeyError: There is no such name.
    """
    return PALETTE[name]
