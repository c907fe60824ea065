"""Numbers as people type them, which are read whatever they are."""

from __future__ import annotations

import re

from .lines import Code, Line

#: Digits of a number that is read at all.
_LONGEST = 9
_NOTHING = ("", "-", "–")
_NUMBER = re.compile(r"[+-]?[0-9]+")


def whole_number(text: str, most: int, empty: int | None = None) -> int | Line | None:
    """Reads a whole number.

    Args:
        text: What was typed.
        most: The greatest that is taken.
        empty: What nothing stands for.

    Returns:
        The number, or what is wrong.
    """
    text = text.strip()
    if text in _NOTHING:
        return empty
    if _NUMBER.fullmatch(text) is None:
        line = f"{shortened(text)!r} is not a whole number. Write 0 or more."
        return Line(line, Code.NOT_A_NUMBER)
    if text.startswith("-") and text.strip("-0"):
        return Line(f"{shortened(text)} is negative. Write 0 or more.", Code.NEGATIVE)
    value = bounded(text, most)
    if value is None:
        return Line(f"{shortened(text)} is too large. Write {most} or less.", Code.TOO_LARGE)
    return value


def bounded(digits: str, most: int) -> int | None:
    """A number that was typed; None for one that is too large."""
    digits = digits.lstrip("+-0") or "0"
    value = int(digits) if len(digits) <= _LONGEST else most + 1
    return value if value <= most else None


def shortened(text: str) -> str:
    """What was typed, as it is said back."""
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}…"
