"""Events in a table that follows them: of the project, or of what a screen has open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from dstack_api_client.events.stream import MOST_EVENTS, Event, Events, EventStream, Filters
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.columns import columns_of, is_wide
from dstack_fleets_tui.screens.parts.own_reads import OwnReads
from dstack_fleets_tui.tables import events
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.table.cells import Row
from dstack_widgets.table.live_table import LiveTable

#: So many rows before the last one that is loaded, older ones are asked for.
_AHEAD = 20


class EventsView(Vertical):
    """Events, the newest first; older ones are read as the cursor comes to them.

    It reads while it is in front, by a task of its own that ends with it. With the cursor on the
    newest it follows: the cursor goes to what is newer. Anywhere else the cursor stays.
    """

    DEFAULT_CSS = """
    EventsView {
        height: 1fr;
    }
    """

    @dataclass
    class Read(Message):
        """Events were asked for, with success or not."""

        view: EventsView

    def __init__(self, *, glyphs: Glyphs, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.table = LiveTable(events.COLUMNS, glyphs=glyphs)
        self._name = ""
        self._filters: Filters | None = None
        self._stream: EventStream | None = None
        self._source: Source | None = None
        self._reads = OwnReads(self, self._take)
        self._state = Events()
        self._shown: tuple[Event, ...] = ()
        self._rows: dict[str, Row] = {}
        self._day = ""

    def compose(self) -> ComposeResult:
        """The table."""
        yield self.table

    def on_mount(self) -> None:
        """Takes the columns of the settings, and looks for older events as the table scrolls."""
        app = self.fleets_app
        self.table.set_columns(columns_of(app, "events", events.COLUMNS))
        self.table.show_all_columns = is_wide(app, "events")
        self.watch(self.table, "scroll_y", self._look_for_older, init=False)

    @property
    def fleets_app(self) -> Host:
        """The app, typed."""
        return cast("Host", self.app)

    def follow(self, name: str, filters: Filters | None) -> None:
        """Shows events; those that are shown already go on.

        Args:
            name: What they are about, for people.
            filters: The server's filters; None for all events of the project.
        """
        source = self.fleets_app.source
        self._name = name
        if source is None and self._source is not None:  # another project, not read yet
            self._reads.stop()
            self._source, self._stream, self._state = None, None, Events()
        elif source is not None and (source is not self._source or filters != self._filters):
            self._source, self._filters, self._rows = source, filters, {}
            seed = source.feed.events if filters is None else ()
            self._stream = EventStream(
                source.client, source.project, filters, seed=seed, now=self.fleets_app.now
            )
            self._state = self._stream.state
            self._reads.start(self._stream)
        self._show()

    def hurry(self) -> None:
        """Reads now: it came to the front."""
        self._reads.hurry()

    def on_show(self) -> None:
        """Catches up with what happened while another view was in front."""
        self.hurry()

    def reread(self) -> None:
        """Reads the newest again."""
        self._reads.refresh()

    @property
    def is_following(self) -> bool:
        """Whether the cursor is where the newest events come in."""
        table = self.table
        return table.sort_column is None and table.keys[:1] in ((), (table.cursor_key,))

    def to_newest(self) -> None:
        """Goes to the newest event."""
        self.table.sort_by(None)
        self.table.action_first()

    @property
    def failure(self) -> str:
        """Why events can't be read now, if they can't."""
        failure = self._state.failure
        return str(failure) if failure is not None else ""

    def notes(self) -> Iterable[str]:
        """Whether it follows, and what is not kept."""
        if self._shown:
            yield "following" if self.is_following else "f follows"
        if len(self._shown) >= MOST_EVENTS:
            yield f"the newest {MOST_EVENTS:,}"

    @property
    def event(self) -> Event | None:
        """The event under the cursor."""
        return self.event_of(self.table.cursor_key)

    def event_of(self, key: str | None) -> Event | None:
        """The event of a row."""
        return next((event for event in self._shown if event.id == key), None)

    def _take(self, state: Events) -> None:
        self._state = state
        if not self.table.is_attached:
            return  # its screen is going
        self._show()
        # Where a filter leaves few rows, it looks on for more.
        self._look_for_older()
        self.post_message(self.Read(self))

    def _show(self) -> None:
        table = self.table
        table.empty_text = self._empty_text()
        now = self.fleets_app.server_now().astimezone()
        if str(now.date()) != self._day:
            self._day, self._rows = str(now.date()), {}
        elif self._shown is self._state.events:
            return
        looks = Looks(now, self.fleets_app.glyphs)
        known = self._rows
        self._rows = {
            event.id: known.get(event.id) or events.row(event, now.date(), looks)
            for event in self._state.events
        }
        was_following = self.is_following
        self._shown = self._state.events
        table.set_rows(self._rows.values())
        if was_following:
            table.action_first()

    def _empty_text(self) -> str:
        if self.failure:
            return self.failure
        if self._state.read_at is None:
            return f"Reading the events of {self._name}."
        return f"No events of {self._name}. Servers forget them after some time."

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Looks for older events where the cursor comes near the last one; the screen hears too."""
        self._look_for_older()

    def _look_for_older(self) -> None:
        table, stream = self.table, self._stream
        if stream is None or self._state.read_at is None:
            return
        keys = table.keys
        bottom = round(table.scroll_y) + table.size.height
        near = bottom >= len(keys) - _AHEAD or table.cursor_key in keys[-_AHEAD:]
        if near:
            if stream.want_older():
                self._reads.hurry()
        elif self.is_following and not table.filter_text:
            stream.forget_older()
