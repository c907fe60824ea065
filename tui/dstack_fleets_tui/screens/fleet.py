"""One fleet: its instances and its configuration."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_widgets.facts import FactsPanel, TextView
from textual.widget import Widget

from dstack_api_client.configuration import as_yaml
from dstack_api_client.fleet_facts import fleet_facts
from dstack_api_client.snapshot import Fleet
from dstack_fleets_tui import actions, formatting
from dstack_fleets_tui.screens.detail import DetailScreen
from dstack_fleets_tui.tables import fleets, instances
from dstack_widgets.live_table import LiveTable


class FleetScreen(DetailScreen):
    """One fleet, by its id."""

    name_of_screen = actions.FLEET
    tab = 0
    views = ("instances", "configuration", "yaml")
    BINDINGS = list(actions.bindings(actions.FLEET))

    def contents(self) -> Iterable[Widget]:
        """Instances, configuration, YAML."""
        yield LiveTable(instances.COLUMNS, id="instances", glyphs=self.fleets_app.glyphs)
        yield FactsPanel(id="configuration")
        yield TextView(id="yaml")

    def focus_on(self) -> None:
        """This fleet is open."""
        self.fleets_app.focus_on(opened_fleet=self.key)

    def fill(self) -> None:
        """Shows the fleet, or that it is gone."""
        snapshot = self.snapshot
        fleet = snapshot.fleets.get(self.key) if snapshot else None
        if snapshot is None or fleet is None:
            self.show_summary("This fleet is gone from the server. Press Esc to go back.")
            return
        self.query_one("#head", FactsPanel).show(self._head(fleet))
        looks = self.looks
        self.table.empty_text = "No instances."
        self.table.set_rows(
            {
                key: instances.cells(snapshot.instances[key], snapshot, looks)
                for key in fleet.instance_ids
                if key in snapshot.instances
            }
        )
        if self.view == "configuration":
            self.query_one("#configuration", FactsPanel).show(fleet_facts(fleet))
        elif self.view == "yaml":
            self.query_one(TextView).show(as_yaml(fleet.spec.get("configuration") or {}))
        self.show_summary(fleet.status_message or "")

    def _head(self, fleet: Fleet) -> list[tuple[str, str]]:
        states = ", ".join(f"{number} {state}" for state, number in fleet.states.items())
        return [
            ("fleet", f"{fleet.name} ({fleet.kind}, {fleet.status})"),
            ("instances", states or "none"),
            ("nodes", fleets.nodes(fleet)),
            ("GPUs busy", fleets.gpus(fleet)),
            ("blocks busy", f"{fleet.blocks_busy}/{fleet.blocks_total}"),
            ("replicas", f"{fleet.replicas}, other jobs {fleet.other_jobs}"),
            ("price", f"{formatting.price(fleet.price or None)} $/h"),
            ("age", formatting.age(fleet.created_at, self.looks.now)),
        ]
