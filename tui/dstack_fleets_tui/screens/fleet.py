"""One fleet: its instances and its configuration."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from dstack_api_client.configuration import as_yaml
from dstack_api_client.fleet_facts import fleet_facts
from dstack_api_client.snapshot import Fleet
from dstack_fleets_tui import actions, formatting, words
from dstack_fleets_tui.screens.detail import DetailScreen
from dstack_fleets_tui.tables import instances
from dstack_widgets.facts import Fact, Facts, YamlView
from dstack_widgets.live_table import LiveTable


class FleetScreen(DetailScreen):
    """One fleet, by its id."""

    name_of_screen = actions.FLEET
    tab = "1"
    views = ("instances", "configuration", "yaml")
    BINDINGS = list(actions.bindings(actions.FLEET))

    def contents(self) -> Iterable[Widget]:
        """Instances, configuration, YAML."""
        yield LiveTable(instances.COLUMNS, id="instances", glyphs=self.fleets_app.glyphs)
        yield Facts(id="configuration", glyphs=self.fleets_app.glyphs)
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
        self.show_head(fleet.name, self._head(fleet))
        looks = self.looks
        self.table.empty_text = "No instances."
        self.table.set_rows(
            {
                key: instances.cells(snapshot.instances[key], snapshot, looks)
                for key in fleet.instance_ids
                if key in snapshot.instances
            }
        )
        self.find_row()
        if self.view == "configuration":
            facts = [Fact(name, value) for name, value in fleet_facts(fleet)]
            self.query_one("#configuration", Facts).show(facts)
        elif self.view == "yaml":
            self.query_one(YamlView).show(as_yaml(fleet.spec.get("configuration") or {}))
        self._summarise()

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says more of the instance under the cursor."""
        message.stop()
        self._summarise()

    def _summarise(self) -> None:
        snapshot, key = self.snapshot, self.table.cursor_key
        instance = snapshot.instances.get(key) if snapshot and key else None
        shown = instance if self.view == "instances" else None
        self.show_summary(instances.summary(shown, snapshot) if shown and snapshot else "")

    def _head(self, fleet: Fleet) -> list[tuple[str, str]]:
        told = f": {fleet.status_message}" if fleet.status_message else ""
        return [
            (fleet.kind, fleet.status + told),
            ("nodes", words.nodes(fleet)),
            ("instances", words.states(fleet) or "none"),
            ("GPUs", words.gpus(fleet)),
            ("blocks", f"{fleet.blocks_busy}/{fleet.blocks_total}"),
            ("replicas", str(fleet.replicas)),
            ("other jobs", str(fleet.other_jobs or "")),
            ("price", f"{formatting.price(fleet.price)} $/h" if fleet.price else ""),
            ("age", formatting.age(fleet.created_at, self.looks.now)),
        ]
