"""The colours of words that stand for states, in plain tables."""

from __future__ import annotations

RED, _YELLOW, _GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"
_COLOURS = {
    "running": _GREEN,
    "busy": _GREEN,
    "ready": _GREEN,
    "failed": RED,
    "failure": RED,
    "unreachable": RED,
    "warning": _YELLOW,
    "pending": _YELLOW,
    "submitted": _YELLOW,
    "provisioning": _YELLOW,
    "pulling": _YELLOW,
    "terminating": _YELLOW,
    "critical": RED,
    "in sync": _GREEN,
    "missing": RED,
    "address drift": RED,
    "stale": _YELLOW,
    "foreign": _YELLOW,
    "duplicate": _YELLOW,
    "draining": _YELLOW,
    "not ready": _YELLOW,
}


#: Words of how something is, the worst first.
_HEALTH = (("DOWN", RED), ("DEGRADED", _YELLOW), ("STARTING", _YELLOW), ("OK", _GREEN))


def colour(cell: str) -> str:
    """The escape sequence of a word that stands for a state; empty for others."""
    return _COLOURS.get(cell, "")


def health_colour(cell: str) -> str:
    """The escape sequence of a cell that says how services or a fleet are, by the worst of them."""
    return next((escape for word, escape in _HEALTH if word in cell), "")
