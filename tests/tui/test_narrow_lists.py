"""What a list keeps where there is little room."""

from __future__ import annotations

from dataclasses import replace

from dstack_api_client.model.service import FleetShare
from dstack_fleets_tui.tables import services
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.table.cells import plain_text
from dstack_widgets.table.table_layout import ColumnWidths, arrange, fitted
from tests.builders.projects import NOW, fleet, instances, project, replica, service


def share(fleet: str, running: int, starting: int = 0) -> FleetShare:
    return FleetShare(fleet, f"f-{fleet}", running, running, starting, 0, running, 0.0)


SPREAD = service(
    [replica(0)],
    shares=(share("gpu-spot", 5, 1), share("gpu-reserved", 1), share("edge-cpu", 1)),
)


FLEETS = [column.key for column in services.COLUMNS].index("fleets")
ROW = services.cells(SPREAD, Looks(NOW))


def fleets(width: int) -> str:
    return plain_text(fitted(ROW[FLEETS], width))


def test_the_counts_of_all_fleets_have_room() -> None:
    assert fleets(20) == "sp 5+1 · re 1 · cp 1"
    assert fleets(28) == "spot 5+1 · reserve 1 · cpu 1"
    assert fleets(42) == "gpu-spot 5+1 · gpu-reserved 1 · edge-cpu 1"
    assert fleets(60).endswith("gpu-reserved 1 · ▒ edge-cpu 1")


def test_replicas_without_a_fleet_have_a_short_word() -> None:
    waiting = replace(share("", 0, 1), fleet=None)
    spread = service([replica(0)], shares=(share("gpu-spot", 5), waiting))
    cell = services.cells(spread, Looks(NOW))[FLEETS]
    assert plain_text(fitted(cell, 30)).endswith("gpu-spot 5 · no fleet yet 0+1")
    assert plain_text(fitted(cell, 20)) == "spot 5 · none 0+1"


def test_the_filter_finds_names_that_are_shortened() -> None:
    assert any("gpu-reserved" in plain_text(cell) for cell in ROW)


def test_a_fleet_that_goes_has_no_room() -> None:
    hosts = instances("gpu", "idle")
    there = fleet("gpu", instance_ids=(hosts[0].id,))
    snapshot = project(fleets=[there], hosts=hosts)
    assert words.room(there, snapshot) == "1 idle, 3 more"
    assert words.room(replace(there, status="terminating"), snapshot) == "–"


def test_health_ready_and_fleets_are_there_at_80_cells() -> None:
    widths = ColumnWidths().measure(services.COLUMNS, [ROW], None)
    layout = arrange(services.COLUMNS, widths, 80, 2, everything=False)
    assert {"service", "health", "problems", "ready", "fleets"} <= {
        place.column.key for place in layout.places
    }


def test_of_a_router_it_is_said_first_why_requests_fail() -> None:
    known = services.Known(lost=("prefill",))
    at = [column.key for column in services.COLUMNS].index("router")
    routed = replace(SPREAD, router="smg")
    cell = services.cells(routed, Looks(NOW), known)[at]
    said = [plain_text(fitted(cell, width)) for width in (24, 17, 13)]
    assert said == ["smg, no prefill worker", "no prefill worker", "no prefill"]
