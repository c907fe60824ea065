"""Versions of servers."""

from __future__ import annotations


def version_of(text: str | None) -> tuple[int, ...] | None:
    """The leading numbers of a version; None where a server has none, as in development."""
    numbers = []
    for part in (text or "").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers) if any(numbers) else None
