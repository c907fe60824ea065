"""The view of a service over its fleets."""

from __future__ import annotations

from dstack_api_client.distribution import Distribution, FleetRow, distribution_of
from dstack_api_client.snapshot import Service, Snapshot
from dstack_fleets_tui.screens.service_view import ServiceView
from dstack_fleets_tui.tables import distribution as table
from dstack_fleets_tui.tables.looks import Looks


class DistributionView(ServiceView):
    """Fleets and replica groups: what each should hold and what it holds."""

    _distribution: Distribution | None = None
    _of: Snapshot | None = None

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows a row per lane, or per fleet where there are no lanes."""
        shown = self._distribution
        if shown is None or self._of is not snapshot:
            shown = self._distribution = distribution_of(snapshot, service)
        self._of = snapshot
        width = self.size.width
        shape = table.shape(shown, width)
        if shape.columns != self.table.columns:
            self.table.set_columns(shape.columns)
        rows = {table.row_key(row): table.cells(row, shape, looks) for row in shown.rows}
        if len(rows) > 1:
            rows[table.TOTAL] = table.total(shown, shape, looks)
        self.table.empty_text = "No replicas." if service.jobs_known else "Reading the replicas."
        self.table.set_rows(rows)
        # Where the columns of groups have no room, a line tells of them.
        self.line.show(() if table.groups_fit(shown, width) else table.group_line(shown, looks))
        self.findings.show(table.findings(shown, looks))
        self.show_line()

    def empty(self, text: str) -> None:
        """Shows nothing, and why."""
        self._distribution = None
        super().empty(text)

    def _row(self, key: str) -> FleetRow | None:
        rows = self._distribution.rows if self._distribution else ()
        return next((row for row in rows if table.row_key(row) == key), None)

    def summary(self, key: str) -> str:
        """What the columns had no room for."""
        row = self._row(key)
        return table.summary(row, self._shown[2]) if row and self._shown else ""

    def open(self, key: str) -> None:
        """Opens the fleet."""
        row = self._row(key)
        if row is not None and row.fleet_id is not None:
            self.fleets_app.open_fleet(row.fleet_id)

    def named(self) -> dict[str, str]:
        """Rows by the names of their fleets."""
        rows = self._distribution.rows if self._distribution else ()
        return {row.fleet: table.row_key(row) for row in reversed(rows) if row.fleet}
