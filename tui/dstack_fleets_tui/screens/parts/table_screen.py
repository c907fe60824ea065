"""A screen with a table in front: its order, copies of it, and what its columns are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.columns import ColumnsScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.tables.meanings import meaning
from dstack_widgets.drawing.text import literal
from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.screen.status_header import TabsLine
from dstack_widgets.table.cells import plain_text
from dstack_widgets.table.live_table import LiveTable


class TableScreen(LeanScreen[None]):
    """A screen over a table; which one is in front, a subclass may say."""

    name_of_screen: ClassVar[str]
    """Its name in the registry of actions."""

    @property
    def fleets_app(self) -> Host:
        """The app, typed."""
        return cast("Host", self.app)

    @property
    def table(self) -> LiveTable:
        """The table that filter and sort work on."""
        return self.query_one(LiveTable)

    @property
    def title_of_view(self) -> str:
        """What is shown, as a file of it is called."""
        return self.name_of_screen.capitalize()

    @property
    def name_of_table(self) -> str:
        """The view that the table in front is of."""
        return self.name_of_screen

    def show_note(self) -> None:
        """Tells beside the tabs why the table does not show everything in its usual order."""
        self.notes.note(f" {self.fleets_app.glyphs.dot} ".join(self._notes()))

    @property
    def notes(self) -> TabsLine:
        """Where notes on the table stand."""
        return self.query_one(TabsLine)

    def _notes(self) -> Iterable[str]:
        table = self.table
        if table.filter_error:
            yield table.filter_error
        elif table.filter_text:
            yield f"/{table.filter_text}  {len(table.keys)} of {table.row_count}, esc shows all"
        if table.sort_column is not None and table.sort_column not in table.visible_columns:
            titles = {column.key: column.title for column in table.columns}
            yield f"sorted by {titles[table.sort_column]}"

    def do_sort(self, argument: str) -> None:
        """Sorts by the named column, or by the next one of those on screen."""
        table = self.table
        keys = [column.key for column in table.columns]
        if argument:
            key = next((key for key in keys if key.startswith(argument.lower())), None)
            if key is None:
                raise CommandError(f"No column is named {argument}. Columns: {', '.join(keys)}.")
            table.sort_by(key)
        else:
            # The sort mark may take the room of its own column, so it is all of them in order.
            following = keys.index(table.sort_column) + 1 if table.sort_column else 0
            shown = table.visible_columns
            table.sort_by(next((key for key in keys[following:] if key in shown), None))
        self.show_note()

    def do_order(self, argument: str) -> None:
        """Offers the columns to sort by; the one it is sorted by is turned around."""
        table, app = self.table, self.fleets_app
        arrow = app.glyphs.descending if table.sort_reverse else app.glyphs.ascending
        offered = {
            column.title or column.key: (
                column.key,
                f"{arrow} reverse it"
                if column.key == table.sort_column
                else meaning(self.name_of_table, column.key),
            )
            for column in table.columns
            if not column.hidden
        }
        offered["none"] = ("", "the server's order")

        def picked(title: str | None) -> None:
            if title is None:
                return
            key = offered[title][0]
            table.sort_by(key or None, reverse=key == table.sort_column and not table.sort_reverse)
            self.show_note()

        names = [(title, about) for title, (_, about) in offered.items()]
        app.push_screen(PickScreen("Sort by", names, ascii_only=app.ascii), picked)

    def do_reverse(self, argument: str) -> None:
        """Turns the order around."""
        table = self.table
        if table.columns:
            column = table.sort_column or table.columns[0].key
            table.sort_by(column, reverse=not table.sort_reverse)
            self.show_note()

    def do_copy(self, argument: str) -> None:
        """Copies the name under the cursor."""
        key = self.table.cursor_key
        if key is not None:
            names = (at for at, column in enumerate(self.table.columns) if column.names)
            self.app.copy_to_clipboard(plain_text(self.table.cells(key)[next(names, 0)]))

    def do_copy_row(self, argument: str) -> None:
        """Copies the row under the cursor."""
        text = self.text_of_row()
        if text:
            self.app.copy_to_clipboard(text)

    def text_of_row(self) -> str:
        """The row under the cursor as text, its cells parted by tabs."""
        key = self.table.cursor_key
        if key is None:
            return ""
        cells = zip(self.table.columns, self.table.cells(key), strict=True)
        return "\t".join(plain_text(cell) for column, cell in cells if not column.hidden)

    def do_columns(self, argument: str) -> None:
        """Says what the columns of the table in front are."""
        table, app = self.table, self.fleets_app
        app.push_screen(
            ColumnsScreen(
                self.title_of_view,
                self.name_of_table,
                table.columns,
                table.visible_columns,
                ascii_only=app.ascii,
            )
        )

    def on_live_table_header_pointed(self, message: LiveTable.HeaderPointed) -> None:
        """Says what the column under the mouse is."""
        message.stop()
        key = message.column_key
        said = meaning(self.name_of_table, key) if key is not None else ""
        message.table.tooltip = literal(said) if said else None

    def on_live_table_header_clicked(self, message: LiveTable.HeaderClicked) -> None:
        """Sorts by the column, or turns its order around."""
        message.stop()
        same = self.table.sort_column == message.column_key
        self.table.sort_by(message.column_key, reverse=same and not self.table.sort_reverse)
        self.show_note()
