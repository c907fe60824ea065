"""Themes that Textual does not have."""

from __future__ import annotations

from textual.theme import Theme

from dstack_widgets.drawing.tones import LEAST_CONTRAST, PLAIN_CONTRAST

OWN = (
    Theme(
        "high-contrast",
        primary="#5aa9ff",
        secondary="#5aa9ff",
        warning="#ffd000",
        error="#ff5040",
        success="#40e060",
        accent="#ffd000",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        variables={PLAIN_CONTRAST: "12", LEAST_CONTRAST: "7"},
    ),
    # Orange, blue and grey stay apart for whoever sees red and green, or blue and yellow, alike.
    Theme(
        "colour-blind",
        primary="#7090ff",
        secondary="#7090ff",
        warning="#7090ff",
        error="#e06010",
        success="#a8b0a8",
        accent="#e0c000",
        foreground="#e0e0e0",
        background="#121212",
        surface="#1e1e1e",
    ),
)
"""Both are dark; colours are moved to the luminance that their weight asks for."""
