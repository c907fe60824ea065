"""One service: how it is spread, its replicas, its router, its rollout, its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from textual.widget import Widget

from dstack_api_client.analysis.health import desired_of
from dstack_api_client.analysis.reach import serving_of
from dstack_api_client.model.profile import spec_yaml
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.service import Service
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.screens.parts.with_events import EVENTS_VIEW, WithEvents
from dstack_fleets_tui.screens.service.distribution import DistributionView
from dstack_fleets_tui.screens.service.history import HistoryView
from dstack_fleets_tui.screens.service.replicas import ReplicasView
from dstack_fleets_tui.screens.service.rollout import RolloutView
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_fleets_tui.screens.service.workers import WorkersView
from dstack_fleets_tui.tables import health, services
from dstack_fleets_tui.words import formatting, words
from dstack_widgets.panels.facts import YamlView
from dstack_widgets.screen.status_header import TabsLine
from dstack_widgets.table.live_table import LiveTable

_VIEWS: Mapping[str, type[ServiceView]] = {
    "distribution": DistributionView,
    "replicas": ReplicasView,
    "router": WorkersView,
    "rollout": RolloutView,
    "history": HistoryView,
}


class ServiceScreen(WithEvents):
    """One service, by the id of its run."""

    name_of_screen = places.SERVICE
    views = (*_VIEWS, EVENTS_VIEW, "yaml")
    BINDINGS = list(actions.bindings(places.SERVICE))

    def contents(self) -> Iterable[Widget]:
        """The views, of which only the one in front is filled."""
        glyphs = self.fleets_app.glyphs
        for view, kind in _VIEWS.items():
            yield kind(id=view, awake=view == self._first, glyphs=glyphs)
        yield EventsView(id=EVENTS_VIEW, glyphs=glyphs)
        yield YamlView(id="yaml")

    @property
    def shown_views(self) -> Sequence[str]:
        """All but the router's, where there is none."""
        service = self._service
        if service is None or service.router or self._first == "router":
            return self.views
        return [view for view in self.views if view != "router"]

    @property
    def _service(self) -> Service | None:
        snapshot = self.snapshot
        return snapshot.services.get(self.key) if snapshot else None

    @property
    def _in_front(self) -> ServiceView | None:
        widget = self.query_one(f"#{self.view}")
        return widget if isinstance(widget, ServiceView) else None

    @property
    def notes(self) -> TabsLine:
        """Beside the lists: the views take the width of their own line."""
        return self.query_one(TabsLine)

    def _notes(self) -> Iterable[str]:
        front = self._in_front
        if front is not None:
            yield from front.notes()
        yield from super()._notes()

    def focus_on(self) -> None:
        """This service is open."""
        self.fleets_app.focus_on(opened_service=self.key)

    def show_view(self, view: str) -> None:
        """Shows one of the views; that of a router only where there is one."""
        if view not in self.shown_views:
            text = f"{self._title} has no replica group that routes."
            self.notify(text, severity="warning", markup=False)
            return
        widget = self.query_one(f"#{view}")
        if isinstance(widget, ServiceView):
            widget.wake()
        super().show_view(view)

    def fill(self) -> None:
        """Shows the service, or that it is gone."""
        snapshot, service = self.snapshot, self._service
        if snapshot is None or service is None:
            self.show_missing("service")
            return
        self.show_tabs()
        self.show_head(service.name, self._head(service))
        front = self._in_front
        if front is not None:
            front.show(service, snapshot, self.looks)
        elif self.shows_events:
            self.events_view.follow(service.name, {"within_runs": [service.id]})
        else:
            self.query_one(YamlView).show(spec_yaml(service.spec))
        self.view_filled()

    def view_filled(self) -> None:
        """Follows when the view in front shows what it is to show."""
        if self._in_front is not None:
            self.find_row()
            self.show_note()
        self.summarise()

    def show_nothing(self, text: str) -> None:
        """Empties the view in front."""
        front = self._in_front
        if front is None:
            self.query_one(YamlView).show("")
        else:
            front.empty(text)

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says more of the row under the cursor."""
        message.stop()
        self.summarise()
        self.show_note()

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        """Opens what the row is about."""
        message.stop()
        if self.shows_events:
            self.open_event(message.key)
        elif self._in_front is not None:
            self._in_front.open(message.key)

    def do_open(self, argument: str) -> None:
        """Opens what the row under the cursor is about, or what is named: here first."""
        front = self._in_front
        named = front.named() if front is not None else {}
        if argument and argument not in named:
            self.fleets_app.open_named(argument)
        elif front is None:
            self.open_event(self.table.cursor_key if self.shows_events else None)
        elif key := named.get(argument) or front.table.cursor_key:
            front.open(key)

    def service_at_hand(self) -> tuple[str, str] | None:
        """The service itself."""
        service = self._service
        return (service.name, service.id) if service else None

    def replica_at_hand(self) -> ReplicaKey | None:
        """The replica under the cursor, of the view in front."""
        front = self._in_front
        key = front.table.cursor_key if front is not None else None
        return front.replica_of(key) if front is not None and key is not None else None

    def do_wrong(self, argument: str) -> None:
        """Shows only the replicas, or workers, with which something is wrong, or all again."""
        front = self._in_front
        if isinstance(front, ReplicasView | WorkersView):
            front.only_wrong.on = not front.only_wrong.on
            self.show_view(self.view)
        else:
            self.query_one(ReplicasView).only_wrong.on = True
            self.show_view("replicas")

    def arguments(self, action_id: str) -> Sequence[str]:
        """What can be opened here, before what every screen knows."""
        front = self._in_front
        here = front.named() if front is not None and action_id == "open" else ()
        return [*here, *super().arguments(action_id)]

    def summarise(self) -> None:
        """Says more of the row under the cursor."""
        if self.shows_events:
            self.show_event()
            return
        front = self._in_front
        key = front.table.cursor_key if front is not None else None
        self.show_summary(front.summary(key) if front is not None and key is not None else "")

    def _head(self, service: Service) -> list[tuple[str, str] | tuple[str, str, str]]:
        message = service.error or service.status_message
        told = [message] if message not in ("", service.status) else []
        snapshot = self.fleets_app.snapshot
        placement = snapshot.placements.get(service.id) if snapshot is not None else None
        known = self.fleets_app.lookout.healths.get(service.id)
        felt = (health.text(known, self.looks), health.style(known.state)) if known else ("", "")
        # That it runs says less than how it is.
        runs = known is not None and service.status == "running"
        status = ": ".join(told if runs else [service.status, *told])
        desired = desired_of(snapshot, service) if snapshot is not None else 0
        ready = serving_of(snapshot, service) if snapshot is not None else 0
        # What is told first stays where there is little room.
        return [
            ("", *felt),
            ("", status, self.looks.state(service.status).style),
            ("deployment", words.progress(service), "warn" if words.rolling(service) else ""),
            ("", words.next_start(service)),
            ("", words.rebalancing(placement, self.looks.now), "warn"),
            ("desired", words.desired(service, desired)),
            ("running", str(service.running)),
            ("ready", str(ready), "warn" if ready < desired else ""),
            ("", f"{formatting.price(service.price)} $/h" if service.price else ""),
            ("age", formatting.age(service.submitted_at, self.looks.now)),
            ("priority", str(service.priority or "")),
            ("groups", services.groups(service)),
            ("model", service.model or ""),
            ("by", service.user),
            ("URL", service.url or ""),
        ]
