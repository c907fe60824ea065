"""The view of a service over its fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.fleet_rows import Distribution, FleetRow
from dstack_api_client.analysis.group_rows import GroupRow
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_fleets_tui.tables import distribution as table
from dstack_fleets_tui.tables import group_rows
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import Cell, Column


class DistributionView(ServiceView):
    """Fleets and replica groups: what each should hold and what it holds."""

    _distribution: Distribution | None = None
    _of: Snapshot | None = None

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows a row per lane, where there are none per fleet or per group."""
        shown = self._distribution
        if shown is None or self._of is not snapshot:
            shown = self._distribution = distribution_of(snapshot, service)
        self._of = snapshot
        self.table.empty_text = "No replicas." if service.jobs_known else "Reading the replicas."
        if shown.by_group:
            labels = shown.labels
            rows = {
                group_rows.row_key(row): group_rows.cells(row, labels, shown, looks)
                for row in shown.by_group
            }
            rows[table.TOTAL] = group_rows.total(shown, looks)
            self._show_rows(group_rows.COLUMNS, rows)
            self.line.show(())
            told = [key for key in rows if self.table.shows_whole(key, "why")]
            self.findings.show(group_rows.findings(shown, looks, told))
        else:
            width = self.size.width
            shape = table.shape(shown, width, looks.glyphs.ellipsis)
            rows = {table.row_key(row): table.cells(row, shape, looks) for row in shown.rows}
            if len(rows) > 1:
                rows[table.TOTAL] = table.total(shown, shape, looks)
            self._show_rows(shape.columns, rows)
            # Where the columns of groups have no room, a line tells of them.
            self.line.show(() if table.groups_fit(shown, width) else table.group_line(shown, looks))
            told = [key for key in rows if self.table.shows_whole(key, "why")]
            self.findings.show(table.findings(shown, looks, told))
        self.show_line()

    def _show_rows(self, columns: Sequence[Column], rows: Mapping[str, Sequence[Cell]]) -> None:
        if columns != self.table.columns:
            self.table.set_columns(columns)
        self.table.set_rows(rows)

    def empty(self, text: str) -> None:
        """Shows nothing, and why."""
        self._distribution = None
        super().empty(text)

    def _row(self, key: str) -> FleetRow | None:
        rows = self._distribution.rows if self._distribution else ()
        return next((row for row in rows if table.row_key(row) == key), None)

    def _group_row(self, key: str) -> GroupRow | None:
        rows = self._distribution.by_group if self._distribution else ()
        return next((row for row in rows if group_rows.row_key(row) == key), None)

    def summary(self, key: str) -> str:
        """What the columns had no room for."""
        if self._distribution is None or not self._shown:
            return ""
        labels, looks = self._distribution.labels, self._shown[2]
        group, row = self._group_row(key), self._row(key)
        if group is not None:
            return group_rows.summary(group, labels)
        told = self.table.shows_whole(key, "why")
        return table.summary(row, labels, looks, told=told) if row is not None else ""

    def open(self, key: str) -> None:
        """Opens the fleet."""
        row = self._group_row(key) or self._row(key)
        if row is not None and row.fleet_id is not None:
            self.fleets_app.open_fleet(row.fleet_id)

    def named(self) -> dict[str, str]:
        """Rows by the names of their fleets, or of their groups."""
        if self._distribution is not None and self._distribution.by_group:
            return {row.group.name: group_rows.row_key(row) for row in self._distribution.by_group}
        rows = self._distribution.rows if self._distribution else ()
        return {row.fleet: table.row_key(row) for row in reversed(rows) if row.fleet}
