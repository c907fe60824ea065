"""What the columns of the table in front say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dstack_fleets_tui.screens.parts.reading import ReadingScreen
from dstack_fleets_tui.tables.meanings import meaning
from dstack_widgets.panels.facts import Fact, Heading
from dstack_widgets.table.cells import CellValue, Column


class ColumnsScreen(ReadingScreen):
    """Lists the columns of a table, with those that are not on the screen now.

    Args:
        title: What the table is of.
        view: The view that it is of.
        columns: Its columns.
        visible: The keys of those on the screen.
        ascii_only: Whether only ASCII is drawn.
    """

    def __init__(
        self,
        title: str,
        view: str,
        columns: Sequence[Column],
        visible: Collection[str],
        *,
        ascii_only: bool = False,
    ) -> None:
        super().__init__(ascii_only=ascii_only)
        self._of = title
        self._view = view
        self._columns = [column for column in columns if not column.hidden]
        self._visible = visible

    def facts(self) -> Iterable[Fact | Heading]:
        """A line per column; those without room come last."""
        yield Heading(self._of)
        shown = [each for each in self._columns if each.key in self._visible]
        left_out = [each for each in self._columns if each.key not in self._visible]
        for column in shown:
            yield Fact(column.title, meaning(self._view, column.key))
        if left_out:
            yield Heading("Not shown, for want of room")
            for column in left_out:
                yield Fact(column.title, CellValue(meaning(self._view, column.key), "dim"))
