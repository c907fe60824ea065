"""The column of lists of several projects that says of which one a row is."""

from __future__ import annotations

from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import Cell, Column

PROJECT = Column("project", "PROJECT", min_width=7, max_width=20, priority=10)


def project_cell(project: str, looks: Looks, *, read: bool) -> Cell:
    """The cell of a row.

    Args:
        project: The project.
        looks: What cells are made with.
        read: Whether the project can be read now; if not, what is shown of it is old.
    """
    return looks.text(project, "" if read else "warn")
