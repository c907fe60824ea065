"""Rows of a list that stay as they are while what they are made of does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from dstack_api_client.analysis.moment import Moment
from dstack_widgets.table.cells import Cells

P = TypeVar("P")


class KeptRows(Generic[P]):
    """The rows of one list, made again only where they would look different.

    A poll that brings nothing new then costs a comparison for each row. What a row is made of has
    to be said in full: the ages in it as the text that is shown, the rest as the values themselves.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[P, Cells]] = {}
        self._whole: tuple[object, Moment, Mapping[str, Cells]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, key: str, parts: P, make: Callable[[], Cells]) -> Cells:
        """Gives one row.

        Args:
            key: Its key.
            parts: What it is made of.
            make: Makes it.
        """
        known = self._rows.get(key)
        if known is None or known[0] != parts:
            known = self._rows[key] = (parts, make())
        return known[1]

    def of(self, made_of: Mapping[str, P], make: Callable[[str], Cells]) -> dict[str, Cells]:
        """Gives the rows of a list, and forgets all others.

        Args:
            made_of: What each row is made of, by its key and in the order of the rows.
            make: Makes the row of a key.
        """
        self.forget_all_but(made_of.keys())
        return {key: self.row(key, parts, partial(make, key)) for key, parts in made_of.items()}

    def whole(
        self, parts: object, now: datetime, make: Callable[[Moment], Mapping[str, Cells]]
    ) -> Mapping[str, Cells]:
        """Gives the rows of a list, the same object as long as no row would look different.

        Args:
            parts: What all of the rows are made of, but for the time; mappings that are the same
                object cost nothing.
            now: The time.
            make: Makes the rows, and notes in the moment when one would look different by the time.
        """
        known = self._whole
        if known is None or known[0] != parts or not known[1].holds_at(now):
            moment = Moment(now)
            self._whole = known = parts, moment, make(moment)
        return known[2]

    def parts(self, key: str) -> P | None:
        """What a row was made of; None where it is not kept."""
        known = self._rows.get(key)
        return known[0] if known is not None else None

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Keeps only some rows."""
        if self._rows.keys() - keys:
            self._rows = {key: kept for key, kept in self._rows.items() if key in keys}
