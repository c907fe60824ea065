"""A list with details of the row under the cursor, where the terminal has room for them."""

from __future__ import annotations

from typing import ClassVar

from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_widgets.panels.detail_pane import BESIDE, DetailPane, Details, TableWithPane, moved
from dstack_widgets.table.live_table import LiveTable

#: Cells and lines of a terminal from which there are details.
_WIDE, _HIGH = 100, 30


class Paned(LiveScreen):
    """What such a screen has; a subclass says what the details are."""

    beside_from: ClassVar[int] = 160
    """Cells of a terminal from which they stand right of the table, else below it."""

    def details(self, key: str) -> Details | None:
        """What to show of a row; None for nothing."""
        return None

    def with_pane(self, table: LiveTable) -> TableWithPane:
        """The table, and room for the details."""
        return TableWithPane(table, DetailPane(glyphs=self.fleets_app.glyphs))

    @property
    def shows_details(self) -> bool:
        """Whether details are shown now."""
        return self._has_room and self.table.cursor_key is not None

    @property
    def _fits(self) -> bool:
        width, height = self.app.size
        return width >= _WIDE and height >= _HIGH

    @property
    def _has_room(self) -> bool:
        wanted = self.name_of_screen in places.PANED and self.fleets_app.views.now.details
        return wanted and self._fits

    @property
    def table_width(self) -> int:
        """Cells that the table has beside the details."""
        width = self.app.size.width
        if not (self.is_beside and self._has_room):
            return width
        return width * (100 - (self.fleets_app.views.now.beside or BESIDE)) // 100

    @property
    def is_beside(self) -> bool:
        """Whether the details stand beside the table, where they have all of the height."""
        return self.app.size.width >= self.beside_from

    def footer_keys(self) -> list[tuple[str, str]]:
        """The keys that work, without that of the details where there is no room for them."""
        title = actions.BY_ID["details"].title
        return [each for each in super().footer_keys() if self._fits or each[1] != title]

    def show_details(self) -> None:
        """Shows the details of the row under the cursor."""
        key = self.table.cursor_key
        details = self.details(key) if self.shows_details and key is not None else None
        views = self.fleets_app.views.now
        self.query_one(TableWithPane).show_pane(
            shown=details is not None,
            beside=self.is_beside,
            percent=views.beside if self.is_beside else views.below,
        )
        self.query_one(DetailPane).show(details)

    def on_resize(self) -> None:
        """Puts the details where there is room for them."""
        if self.is_active and self.is_laid_out:
            self.fill()
            self.show_keys()

    def do_details(self, argument: str) -> None:
        """Shows the details or hides them, or gives them a part of the room."""
        if argument:
            self._give(_percent_of(argument))
            return
        self.fleets_app.views.change(details=not self.fleets_app.views.now.details)
        self.fill()
        if self.fleets_app.views.now.details and not self.shows_details and self.table.keys:
            self.notify(f"Details need a terminal of {_WIDE}x{_HIGH} or more.", markup=False)

    def do_more_details(self, argument: str) -> None:
        """Gives the details more room."""
        self._move(1)

    def do_fewer_details(self, argument: str) -> None:
        """Gives the table more room."""
        self._move(-1)

    def _move(self, steps: int) -> None:
        if self.shows_details:
            self._give(moved(self.query_one(TableWithPane).percent, steps))

    def _give(self, percent: int | None) -> None:
        self.fleets_app.views.change(**{"beside" if self.is_beside else "below": percent})
        self.fill()


def _percent_of(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit()):
        raise CommandError(f"{text} is not a percentage. Use auto, or 20 to 80.")
    return moved(int(text), 0)
