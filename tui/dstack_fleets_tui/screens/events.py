"""What happened in the project."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from dstack_api_client.events.stream import Event
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.tables import events
from dstack_widgets.table.live_table import LiveTable


class EventsScreen(LiveScreen):
    """Every event of the project, the newest first."""

    name_of_screen = places.EVENTS
    BINDINGS = list(actions.bindings(places.EVENTS))

    def body(self) -> Iterable[Widget]:
        """The events."""
        yield EventsView(glyphs=self.fleets_app.glyphs)

    @property
    def _view(self) -> EventsView:
        return self.query_one(EventsView)

    def focus_on(self) -> None:
        """Nothing of the snapshot is on screen."""
        self.fleets_app.focus_on()

    def fill(self) -> None:
        """Follows the events."""
        self._view.follow(self.fleets_app.project, None)
        self._summarise()

    def on_screen_resume(self) -> None:
        """Catches up with what happened while another screen was in front."""
        for view in self.query(EventsView):
            view.hurry()

    def reread(self) -> None:
        """Reads the newest again."""
        self._view.reread()

    def do_follow(self, argument: str) -> None:
        """Goes to the newest event."""
        self._view.to_newest()

    def do_open(self, argument: str) -> None:
        """Opens what the event under the cursor is about, or what is named."""
        if argument:
            self.fleets_app.open_named(argument)
        else:
            open_event(self, self._view.event)

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        """Opens what the event is about."""
        message.stop()
        open_event(self, self._view.event_of(message.key))

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Tells the event under the cursor in full."""
        message.stop()
        self._summarise()
        self.show_note()

    def on_events_view_read(self, message: EventsView.Read) -> None:
        """Tells whether reading went well."""
        message.stop()
        self._summarise()
        self.show_note()

    def _notes(self) -> Iterable[str]:
        yield from super()._notes()
        yield from self._view.notes()

    def _summarise(self) -> None:
        tell(self, self._view)


def tell(screen: LiveScreen, view: EventsView) -> None:
    """Shows the event under the cursor below a view, or why events can't be read.

    Args:
        screen: The screen in front.
        view: Its view of events.
    """
    text = events.summary(view.event) if view.event else ""
    # What does not fit is read in full where the cursor rests on it.
    whole = not view.is_following and len(text) > screen.size.width - 2
    screen.show_summary(text, view.failure, whole=whole)


def open_event(screen: LiveScreen, event: Event | None) -> None:
    """Opens what an event is about: the most particular of it that is still there.

    Args:
        screen: The screen in front.
        event: The event, if any.
    """
    snapshot, app = screen.snapshot, screen.fleets_app
    if event is None or snapshot is None:
        return
    about = {target.type: target for target in event.targets}
    if "job" in about:
        replica = events.replica_of(about["job"], snapshot)
        if replica is not None:
            app.open_replica(replica.key)
            return
    if "run" in about and about["run"].id in snapshot.services:
        app.open_service(about["run"].id)
        return
    if "instance" in about:
        instance = snapshot.instances.get(about["instance"].id)
        if instance is not None and instance.fleet_id is not None:
            app.open_fleet(instance.fleet_id, "instances", instance.id)
            return
    if "fleet" in about and about["fleet"].id in snapshot.fleets:
        app.open_fleet(about["fleet"].id)
        return
    screen.notify(
        "What this event is about is not among the fleets and services any more.", markup=False
    )
