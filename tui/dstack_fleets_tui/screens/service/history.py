"""The view of the deployments that a service has had, from which one goes back to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dstack_api_client.edits.base.base import Target
from dstack_api_client.edits.history.past import PastDeployment, known_since, past_deployments
from dstack_api_client.events.stream import Events, EventStream
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.own_reads import OwnReads
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_fleets_tui.tables import history as table
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.panels.findings import Finding


class HistoryView(ServiceView):
    """Deployments, the newest first, with who made them and what changed.

    The events that tell of them are read by a task of its own while it is in front.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._reads = OwnReads(self, self._take)
        self._read = Events()
        self._source: Source | None = None
        self._past: Sequence[PastDeployment] = ()

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows a row per deployment."""
        self._follow(service)
        target = Target(snapshot.server.url, service.project, "service", service.name)
        kept = self.fleets_app.changing.store.deployments(target, service.id)
        self._past = past_deployments(service, self._read.events, kept)
        if not self.table.columns:
            self.table.set_columns(table.COLUMNS)
        today = looks.now.astimezone().date()
        self.table.set_rows(
            {str(made.number): table.cells(made, today, looks) for made in self._past}
        )
        failure = self._read.failure
        failed = [Finding("warn", "", str(failure))] if failure is not None else []
        self.findings.show([*failed, *table.findings(self._past, looks)])
        self.show_line()

    def _follow(self, service: Service) -> None:
        """Begins to read the events of the run; those that are read already go on."""
        source = self.fleets_app.source
        if source is None or source is self._source:
            return
        self._source = source
        filters = {"target_runs": [service.id]}
        now = self.fleets_app.now
        self._reads.start(EventStream(source.client, source.project, filters, now=now))

    def _take(self, read: Events) -> None:
        self._read = read
        if self.table.is_attached and self._shown is not None:
            self.fill(*self._shown)
            self.service_screen.view_filled()

    def on_show(self) -> None:
        """Catches up with what happened while another view was in front."""
        self._reads.hurry()

    def _of(self, key: str) -> PastDeployment | None:
        return next((made for made in self._past if str(made.number) == key), None)

    def summary(self, key: str) -> str:
        """What the way back to it would change."""
        made = self._of(key)
        shown = self._shown
        return table.summary(made, shown[2]) if made is not None and shown is not None else ""

    def open(self, key: str) -> None:
        """Plans the way back to a deployment."""
        made, shown = self._of(key), self._shown
        if made is None or shown is None:
            return
        if made.is_latest:
            self.fleets_app.notify(f"Deployment {made.number} is the latest.", markup=False)
        elif not made.is_kept:
            known = known_since(self._past, made.number)
            self.fleets_app.warn(f"The spec of deployment {made.number} is not kept here. {known}")
        else:
            self.fleets_app.changing.go_back(shown[0].name, made.number)
