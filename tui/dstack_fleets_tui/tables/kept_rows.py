"""Rows of a list that stay as they are while what they are made of does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dstack_widgets.cells import Cells


class KeptRows:
    """The rows of one list, made again only where they would look different.

    A poll that brings nothing new then costs a comparison for each row. What a row is made of has
    to be said in full: the ages in it as the text that is shown, the rest as the values themselves.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[tuple[object, ...], Cells]] = {}

    def of(
        self, made_of: Mapping[str, tuple[object, ...]], make: Callable[[str], Cells]
    ) -> dict[str, Cells]:
        """Gives the rows of a list, and forgets all others.

        Args:
            made_of: What each row is made of, by its key and in the order of the rows.
            make: Makes the row of a key.
        """
        rows = {}
        for key, parts in made_of.items():
            known = self._rows.get(key)
            rows[key] = known if known and known[0] == parts else (parts, make(key))
        self._rows = rows
        return {key: cells for key, (_, cells) in rows.items()}
