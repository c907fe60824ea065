"""The last lines of a replica's output."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.replica.logs import LogLine
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import Cell, CellValue, Column

COLUMNS = (
    Column("time", "TIME", priority=9),
    Column("line", "OUTPUT", min_width=20, max_width=2000, priority=10),
)


def cells(line: LogLine, looks: Looks) -> Sequence[Cell]:
    """The row of one line: one cell per column of `COLUMNS`."""
    at = line.at.astimezone().strftime("%H:%M:%S")
    if not line.left_out:
        return (CellValue(at, "dim", line.number), line.text)
    ellipsis = looks.glyphs.ellipsis
    return (CellValue(f"{ellipsis}{at}", "warn", line.number), line.text)
