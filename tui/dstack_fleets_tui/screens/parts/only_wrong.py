"""A list of all, or of what is wrong alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class OnlyWrong:
    """Leaves out of a list what is well, while it is switched on.

    Attributes:
        on: Whether it is.
    """

    def __init__(self) -> None:
        self.on = False
        self._wrong = self._every = 0

    def of(self, rows: Mapping[str, T], wrong: Callable[[], Collection[str]]) -> Mapping[str, T]:
        """The rows to show.

        Args:
            rows: All of them, by key.
            wrong: Gives the keys of those with which something is wrong.
        """
        if not self.on:
            return rows
        keys = wrong()
        kept = {key: row for key, row in rows.items() if key in keys}
        self.count(len(kept), len(rows))
        return kept

    def count(self, wrong: int, every: int) -> None:
        """Takes over how many rows there are, and with how many something is wrong."""
        self._wrong, self._every = wrong, every

    def empty_text(self, thing: str, otherwise: str) -> str:
        """What a list without rows says.

        Args:
            thing: What a row is, in the singular.
            otherwise: What it says where nothing is left out.
        """
        if self.on and self._every:
            return f"Nothing is wrong with any {thing}. Press w to see them all."
        return otherwise

    def notes(self) -> Iterable[str]:
        """Tells that only some are shown."""
        if self.on:
            yield f"wrong: {self._wrong} of {self._every}, w shows all"
