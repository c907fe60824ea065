"""One fleet: its instances and its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual.widget import Widget

from dstack_api_client import errors
from dstack_api_client.analysis.fleet_facts import fleet_facts
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.labels import borrowers
from dstack_api_client.model.profile import spec_yaml
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts import own_reads
from dstack_fleets_tui.screens.parts.columns import columns_of, is_wide
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.screens.parts.only_wrong import OnlyWrong
from dstack_fleets_tui.screens.parts.with_events import EVENTS_VIEW, WithEvents
from dstack_fleets_tui.tables import instances
from dstack_fleets_tui.words import formatting, words
from dstack_widgets.panels.facts import Fact, Facts, YamlView
from dstack_widgets.table.live_table import LiveTable


class FleetScreen(WithEvents):
    """One fleet, by its id."""

    name_of_screen = places.FLEET
    views = ("instances", "configuration", EVENTS_VIEW, "yaml")
    BINDINGS = list(actions.bindings(places.FLEET))

    _instance: str | None = None
    """The instance whose events are shown; None for all of the fleet."""
    _borrowers: tuple[str, ...] = ()
    """The projects to which it is lent."""
    _asked: Source | None = None
    """The connection on which it was asked who they are."""

    def __init__(self, key: str, view: str = "", row: str | None = None) -> None:
        super().__init__(key, view, row)
        self._only_wrong = OnlyWrong()

    def contents(self) -> Iterable[Widget]:
        """Instances, configuration, events, YAML."""
        app = self.fleets_app
        writes = not app.read_only
        yield LiveTable(
            columns_of(app, "instances", instances.COLUMNS),
            id="instances",
            wide=is_wide(app, "instances"),
            glyphs=app.glyphs,
            selectable=writes,
        )
        yield Facts(id="configuration", glyphs=self.fleets_app.glyphs)
        yield EventsView(id=EVENTS_VIEW, glyphs=self.fleets_app.glyphs)
        yield YamlView(id="yaml")

    def focus_on(self) -> None:
        """This fleet is open."""
        self.fleets_app.focus_on(opened_fleet=self.key)

    def fill(self) -> None:
        """Shows the fleet, or that it is gone."""
        snapshot = self.snapshot
        fleet = snapshot.fleets.get(self.key) if snapshot else None
        if snapshot is None or fleet is None:
            self.show_missing("fleet")
            return
        self._ask(fleet)
        self.show_head(fleet.name, self._head(fleet))
        looks = self.looks
        table = self.query_one("#instances", LiveTable)
        members = instances.of_fleet(fleet, snapshot)
        rows = {key: instances.cells(each, snapshot, looks) for key, each in members.items()}
        wrong = {key for key, each in members.items() if instances.is_wrong(each, fleet)}
        table.set_rows(self._only_wrong.of(rows, lambda: wrong))
        table.empty_text = self._only_wrong.empty_text("instance", "No instances.")
        self.find_row()
        if self.view == "configuration":
            facts = [Fact(name, value) for name, value in fleet_facts(fleet)]
            self.query_one("#configuration", Facts).show(facts)
        elif self.view == "yaml":
            self.query_one(YamlView).show(spec_yaml(fleet.spec))
        elif self.shows_events:
            self._follow(fleet, snapshot)
        self.summarise()

    def _ask(self, fleet: Fleet) -> None:
        """Asks once who borrows a fleet of this project."""
        source = self.fleets_app.source
        if source is None or source is self._asked or fleet.project != source.project:
            return
        self._asked = source
        self.run_worker(
            # Not as a coroutine: one that is cancelled before it began is never awaited.
            partial(self._read_borrowers, source),  # type: ignore[arg-type]
            group=own_reads.GROUP,
            exit_on_error=False,
        )

    async def _read_borrowers(self, source: Source) -> None:
        try:
            self._borrowers = await source.client.exports.borrowers(source.project, self.key)
        except errors.ApiError:
            self._asked = None  # with the next data
            return
        if self._borrowers and self.is_laid_out:
            self.fill()

    def _follow(self, fleet: Fleet, snapshot: Snapshot) -> None:
        view = self.events_view
        instance = instances.of_fleet(fleet, snapshot).get(self._instance or "")
        if instance is None:
            self._instance = None
            view.follow(fleet.name, {"within_fleets": [fleet.id]})
        else:
            view.follow(instance.name, {"target_instances": [instance.id]})

    def show_view(self, view: str) -> None:
        """Shows a view; the events, once in front, of all of the fleet."""
        if view == EVENTS_VIEW and self.shows_events:
            self._instance = None
        super().show_view(view)

    def leave(self) -> None:
        """Goes back to the instances from the events of one, else to the list."""
        if self.shows_events and self._instance_of(self._instance) is not None:
            self._instance = None
            self.show_view("instances")
        else:
            super().leave()

    def fleet_at_hand(self) -> Fleet | None:
        """The fleet itself."""
        return self.snapshot.fleets.get(self.key) if self.snapshot else None

    def instance_at_hand(self) -> Instance | None:
        """The instance under the cursor, where they are shown."""
        return self._instance_of(self.table.cursor_key) if self.view == "instances" else None

    def do_delete(self, argument: str) -> None:
        """Deletes instances where they are shown, else the fleet."""
        fleet, snapshot = self.fleet_at_hand(), self.snapshot
        if fleet is None or snapshot is None:
            return
        changes = self.fleets_app.fleet_changes
        if self.view != "instances":
            changes.delete(fleet)
            return
        table = self.query_one("#instances", LiveTable)
        keys = table.selected_keys or {table.cursor_key}
        chosen = [each for key, each in instances.of_fleet(fleet, snapshot).items() if key in keys]
        changes.delete_some(fleet, chosen)

    def do_wrong(self, argument: str) -> None:
        """Shows only the instances with which something is wrong, or all again."""
        self._only_wrong.on = self.view != "instances" or not self._only_wrong.on
        self.show_view("instances")

    def do_open(self, argument: str) -> None:
        """Opens what is under the cursor, or named."""
        if argument:
            self.fleets_app.open_named(argument)
        else:
            self._open(self.table.cursor_key)

    def _open(self, key: str | None) -> None:
        """Shows the events of an instance, or opens what an event is about."""
        if self.view == "instances" and key is not None:
            self._instance = key
            super().show_view(EVENTS_VIEW)
        elif self.shows_events:
            self.open_event(key)

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        """Opens what the row is about."""
        message.stop()
        self._open(message.key)

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says more of the row under the cursor."""
        message.stop()
        self.summarise()
        self.show_note()

    def _notes(self) -> Iterable[str]:
        if self.view == "instances":
            yield from self._only_wrong.notes()
        yield from super()._notes()
        instance = self._instance_of(self._instance)
        if self.shows_events and instance is not None:
            yield f"of {instance.name}, v shows all of the fleet"

    def summarise(self) -> None:
        """Says more of the row under the cursor."""
        snapshot, key = self.snapshot, self.table.cursor_key
        if self.shows_events:
            self.show_event()
            return
        instance = self._instance_of(key)
        shown = instance if self.view == "instances" else None
        self.show_summary(instances.summary(shown, snapshot) if shown and snapshot else "")

    def _instance_of(self, key: str | None) -> Instance | None:
        fleet, snapshot = self.fleet_at_hand(), self.snapshot
        if fleet is None or snapshot is None:
            return None
        return instances.of_fleet(fleet, snapshot).get(key or "")

    def _head(self, fleet: Fleet) -> list[tuple[str, str] | tuple[str, str, str]]:
        cordon = self.snapshot.cordon_of(fleet) if self.snapshot is not None else None
        told = f": {fleet.status_message}" if fleet.status_message else ""
        return [
            (fleet.kind, words.fleet_status(fleet) + told),
            ("", words.cordoned(cordon, self.looks.now) if cordon is not None else "", "warn"),
            ("nodes", words.nodes(fleet)),
            ("instances", words.states(fleet) or "none"),
            ("GPUs", words.gpus(fleet)),
            ("blocks", f"{fleet.blocks_busy}/{fleet.blocks_total}"),
            ("replicas", str(fleet.replicas)),
            ("other jobs", str(fleet.other_jobs or "")),
            ("price", f"{formatting.price(fleet.price)} $/h" if fleet.price else ""),
            ("age", formatting.age(fleet.created_at, self.looks.now)),
            ("lent to", borrowers(self._borrowers)),
        ]
