"""One service: its replicas and its configuration."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from dstack_api_client.configuration import as_yaml
from dstack_api_client.snapshot import ReplicaKey, Service
from dstack_fleets_tui import actions, formatting, words
from dstack_fleets_tui.screens.detail import DetailScreen
from dstack_fleets_tui.tables import replicas, services
from dstack_widgets.facts import YamlView
from dstack_widgets.live_table import LiveTable


class ServiceScreen(DetailScreen):
    """One service, by the id of its run."""

    name_of_screen = actions.SERVICE
    tab = "2"
    views = ("replicas", "yaml")
    BINDINGS = list(actions.bindings(actions.SERVICE))

    def contents(self) -> Iterable[Widget]:
        """Replicas and YAML."""
        yield LiveTable(replicas.COLUMNS, id="replicas", glyphs=self.fleets_app.glyphs)
        yield YamlView(id="yaml")

    def focus_on(self) -> None:
        """This service is open."""
        self.fleets_app.focus_on(opened_service=self.key)

    def fill(self) -> None:
        """Shows the service, or that it is gone."""
        snapshot = self.snapshot
        service = snapshot.services.get(self.key) if snapshot else None
        if snapshot is None or service is None:
            self.show_missing("service")
            return
        self.show_head(service.name, self._head(service))
        looks = self.looks
        self.table.empty_text = "No replicas." if service.jobs_known else "Reading the replicas."
        self.table.set_rows(
            {
                row_key(key): replicas.cells(snapshot.replicas[key], service, snapshot, looks)
                for key in service.replica_keys
                if key in snapshot.replicas
            }
        )
        if self.view == "yaml":
            self.query_one(YamlView).show(as_yaml(service.spec.get("configuration") or {}))
        self._summarise()

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says in full what the server last said of the replica."""
        message.stop()
        self._summarise()

    def _summarise(self) -> None:
        snapshot, key = self.snapshot, self.table.cursor_key
        text = ""
        if snapshot is not None and key is not None and self.view == "replicas":
            number, _, job = key.partition(".")
            replica = snapshot.replicas.get(ReplicaKey(self.key, int(number), int(job)))
            if replica is not None:
                text = replicas.summary(replica)
        self.show_summary(text)

    def _head(self, service: Service) -> list[tuple[str, str]]:
        message = service.error or service.status_message
        told = "" if message in ("", service.status) else f": {message}"
        return [
            ("", service.status + told),
            ("replicas", services.counts(service)),
            ("deployment", words.rollout(service)),
            ("fleets", services.distribution(service)),
            ("groups", services.groups(service)),
            ("priority", str(service.priority)),
            ("price", f"{formatting.price(service.price)} $/h" if service.price else ""),
            ("model", service.model or ""),
            ("by", service.user),
            ("age", formatting.age(service.submitted_at, self.looks.now)),
            ("URL", service.url or ""),
        ]


def row_key(key: ReplicaKey) -> str:
    """The key of a replica's row within its service."""
    return f"{key.replica_num}.{key.job_num}"
