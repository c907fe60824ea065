"""The view of a service's deployments."""

from __future__ import annotations

from dstack_api_client.analysis.rollout import Rollout, rollout_of
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_fleets_tui.tables import deployments as table
from dstack_fleets_tui.tables.looks import Looks


class RolloutView(ServiceView):
    """Deployments side by side, and what a rollout waits for."""

    _rollout: Rollout | None = None
    _of: Snapshot | None = None

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows a row per deployment."""
        shown = self._rollout
        if shown is None or self._of is not snapshot:
            shown = self._rollout = rollout_of(snapshot, service, since=self.fleets_app.since)
            self._of = snapshot
        if not self.table.columns:
            self.table.set_columns(table.COLUMNS)
        self.line.show(table.head(shown, looks))
        self.table.empty_text = "No replicas." if service.jobs_known else "Reading the replicas."
        self.table.set_rows(
            {str(each.number): table.cells(each, shown, looks) for each in shown.deployments}
        )
        self.findings.show(table.findings(shown, looks))
        self.show_line()

    def summary(self, key: str) -> str:
        """Which of the deployments it is."""
        each = self._rollout.deployments if self._rollout else ()
        found = next((deployment for deployment in each if str(deployment.number) == key), None)
        return table.summary(found, self._rollout) if found and self._rollout else ""
