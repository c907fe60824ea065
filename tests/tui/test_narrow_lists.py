"""What a list keeps where there is little room."""

from __future__ import annotations

from dataclasses import replace

from dstack_api_client.model.service import FleetShare
from dstack_fleets_tui.tables import services
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.table.cells import plain_text
from dstack_widgets.table.table_layout import ColumnWidths, arrange
from tests.builders.projects import NOW, fleet, instances, project, replica, service


def share(fleet: str, running: int, starting: int = 0) -> FleetShare:
    return FleetShare(fleet, f"f-{fleet}", running, running, starting, 0, running, 0.0)


SPREAD = service(
    [replica(0)],
    shares=(share("gpu-spot", 5, 1), share("gpu-reserved", 1), share("edge-cpu", 1)),
)


def fleets(*, bar: bool) -> str:
    row = services.cells(SPREAD, Looks(NOW), services.Known(bar=bar))
    return plain_text(row[[column.key for column in services.COLUMNS].index("fleets")])


def test_the_counts_of_all_fleets_have_room() -> None:
    assert fleets(bar=False) == "spo 5+1 · res 1 · cpu 1"
    assert "gpu-reserved 1" in fleets(bar=True)


def test_the_filter_finds_names_that_are_shortened() -> None:
    row = services.cells(SPREAD, Looks(NOW), services.Known(bar=False))
    assert any("gpu-reserved" in plain_text(cell) for cell in row)


def test_a_fleet_that_goes_has_no_room() -> None:
    hosts = instances("gpu", "idle")
    there = fleet("gpu", instance_ids=(hosts[0].id,))
    snapshot = project(fleets=[there], hosts=hosts)
    assert words.room(there, snapshot) == "1 idle, 3 more"
    assert words.room(replace(there, status="terminating"), snapshot) == "–"


def test_health_ready_and_fleets_are_there_at_80_cells() -> None:
    row = services.cells(SPREAD, Looks(NOW), services.Known(bar=False))
    widths = ColumnWidths().measure(services.COLUMNS, [row], None)
    layout = arrange(services.COLUMNS, widths, 80, 2, everything=False)
    assert {"service", "health", "problems", "ready", "fleets"} <= {
        place.column.key for place in layout.places
    }
