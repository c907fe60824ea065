"""What was said in the line above the footer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dstack_fleets_tui.host.status_line import Said
from dstack_fleets_tui.screens.parts.reading import ReadingScreen
from dstack_widgets.panels.facts import Fact, Heading
from dstack_widgets.table.cells import CellValue


class MessagesScreen(ReadingScreen):
    """Lists the last messages, the newest first.

    Args:
        log: The messages, the oldest first.
        ascii_only: Whether only ASCII is drawn.
    """

    def __init__(self, log: Sequence[Said], *, ascii_only: bool = False) -> None:
        super().__init__(ascii_only=ascii_only)
        self._log = log

    def facts(self) -> Iterable[Fact | Heading]:
        """A line per message."""
        yield Heading("Messages" if self._log else "No messages.")
        for said in reversed(self._log):
            style = "warn" if said.warning else ""
            yield Fact(f"{said.at:%H:%M:%S}", CellValue(said.message, style))
