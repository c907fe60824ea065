"""Which rows of a table are shown: those with a text, without it, or with it in one column."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_widgets.search.patterns import Pattern
from dstack_widgets.table.cells import Column

#: Parts the texts of a row's cells, so that a match never runs over two of them.
BETWEEN = "\0"


class RowFilter:
    r"""What is looked for in rows; case does not matter.

    `gpu` is a part of any cell, `!gpu` what no cell has, `~gpsp` letters in their order,
    `/5\d\d/` an expression. With a column before it, or the beginning of its name, only that one
    counts: `state:running`, `!fleet:spot`, `price:/^9/`.

    Args:
        text: What was typed.
        columns: The columns of the table; one without such a name is none.

    Attributes:
        error: Why it can't be used; every row passes then.
    """

    def __init__(self, text: str = "", columns: Sequence[Column] = ()) -> None:
        text = text.strip()
        self._column, sought = _column_of(text, columns)
        self._pattern = Pattern(sought)
        self.error = self._pattern.error
        self._plain = self._pattern.plain and self._column is None
        self._text = text.casefold()

    def __bool__(self) -> bool:
        return bool(self._pattern)

    def passes(self, text: str) -> bool:
        """Whether a row is shown.

        Args:
            text: The texts of its cells in the order of the columns, in lower case, `BETWEEN` them.
        """
        if self._plain:
            return self._text in text
        parts = text.split(BETWEEN)
        if self._column is not None:
            parts = parts[self._column : self._column + 1]
        return any(map(self._pattern.finds, parts)) != self._pattern.excludes


def _column_of(text: str, columns: Sequence[Column]) -> tuple[int | None, str]:
    """The column that a text begins with, and what is looked for there, with its `!`."""
    excludes = "!" if text.startswith("!") else ""
    name, colon, sought = text[len(excludes) :].partition(":")
    wanted = name.strip().casefold()
    if not colon or not wanted:
        return None, text
    named = [
        at
        for at, column in enumerate(columns)
        if column.key.casefold().startswith(wanted) or column.title.casefold().startswith(wanted)
    ]
    exact = [at for at in named if wanted in (columns[at].key, columns[at].title.casefold())]
    if not named:
        return None, text
    return (exact or named)[0], f"{excludes}{sought.strip()}"
