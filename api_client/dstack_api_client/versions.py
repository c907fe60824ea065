"""Versions of servers."""

from __future__ import annotations

#: Digits of one number of a version.
_LONGEST = 9


def version_of(text: str | None) -> tuple[int, ...] | None:
    """The leading numbers of a version; None where a server has none, as in development."""
    numbers = []
    for part in (text or "").split("."):
        if not (part.isascii() and part.isdigit() and len(part) <= _LONGEST):
            break
        numbers.append(int(part))
    return tuple(numbers) if any(numbers) else None
