"""What the replica of the row under the cursor wrote last, for the details of a list."""

from __future__ import annotations

from collections.abc import Callable

from dstack_api_client.model.replica import Replica
from dstack_api_client.replica.last_lines import LastLines, LastLinesWatch
from dstack_api_client.replica.service_logs import writers
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.own_reads import OwnReads


class RowLogs:
    """Reads them while the screen is in front.

    Args:
        screen: The screen with the list.
        changed: Called once they were read.
    """

    def __init__(self, screen: LiveScreen, changed: Callable[[], object]) -> None:
        self._screen = screen
        self._changed = changed
        self._reads: OwnReads[LastLines] = OwnReads(screen, self._take)
        self._source: Source | None = None
        self._watch: LastLinesWatch | None = None
        self._read: LastLines | None = None

    def of(self, replica: Replica | None) -> LastLines | None:
        """The last lines of a replica, as far as they were read; they are read from now on."""
        writer = next(iter(writers([replica] if replica is not None else [])), None)
        app, source = self._screen.fleets_app, self._screen.fleets_app.source
        if source is not self._source:
            self._reads.stop()
            self._source, self._watch = source, None
        if writer is not None and source is not None and self._watch is None:
            self._watch = LastLinesWatch(source.client, source.project, now=app.server_now)
            self._reads.start(self._watch)
        if self._watch is not None and self._watch.follow(writer):
            self._reads.hurry()
        known = self._read
        return known if known is not None and known.writer == writer else None

    def refresh(self) -> None:
        """Reads them again, now."""
        self._reads.refresh()

    def _take(self, read: LastLines) -> None:
        self._read = read
        if self._screen.is_laid_out:
            self._changed()
