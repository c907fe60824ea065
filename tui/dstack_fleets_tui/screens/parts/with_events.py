"""What the screens of one fleet, service or replica share: the view of what happened to it."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_fleets_tui.screens.events import open_event, tell
from dstack_fleets_tui.screens.parts.detail import DetailScreen
from dstack_fleets_tui.screens.parts.events_view import EventsView

#: The view's id, in the registry of actions too.
EVENTS_VIEW = "events_here"


class WithEvents(DetailScreen):
    """A screen with an `EventsView` among its views."""

    @property
    def events_view(self) -> EventsView:
        """The view of events."""
        return self.query_one(EventsView)

    @property
    def shows_events(self) -> bool:
        """Whether it is the view in front."""
        return self.view == EVENTS_VIEW

    def summarise(self) -> None:
        """Shows one line on what is under the cursor."""
        raise NotImplementedError

    def show_event(self) -> None:
        """Shows the event under the cursor in full, or why events can't be read."""
        tell(self, self.events_view)

    def open_event(self, key: str | None) -> None:
        """Opens what the event of a row is about."""
        open_event(self, self.events_view.event_of(key))

    def reread(self) -> None:
        """Reads the newest events again."""
        self.events_view.reread()

    def do_follow(self, argument: str) -> None:
        """Goes to the newest event."""
        if not self.shows_events:
            self.show_view(EVENTS_VIEW)
        self.events_view.to_newest()

    def on_events_view_read(self, message: EventsView.Read) -> None:
        """Tells whether reading went well."""
        message.stop()
        if self.shows_events:
            self.summarise()
            self.show_note()

    def _notes(self) -> Iterable[str]:
        yield from super()._notes()
        if self.shows_events:
            yield from self.events_view.notes()
