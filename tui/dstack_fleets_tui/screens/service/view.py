"""What the views of a service share: a line, a table, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.columns import fitting_columns, is_wide
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import Column
from dstack_widgets.table.live_table import LiveTable

#: Cells at the left and the right of the lines around the table.
_SIDES = 2
#: Lines that a table keeps while findings want room.
_LEAST_ROWS = 6


class Around(Protocol):
    """What a view asks of the screen that it is on."""

    def fill(self) -> None:
        """Shows the snapshot."""

    def view_filled(self) -> None:
        """Takes note that a view was filled."""

    def show_note(self) -> None:
        """Shows why the table does not show everything."""

    @property
    def is_in_sight(self) -> bool:
        """Whether people see it."""


class ServiceView(Vertical):
    """One view of a service.

    The table is as high as its rows, so that what is to be said of them stands right below; where
    the two do not fit, the table scrolls and the findings are cut.

    Args:
        glyphs: The signs to draw.
        awake: Whether it comes up with the screen; else its widgets are made when it is first
            shown, since each costs the screen time to open.
        id: As for every widget.
    """

    def __init__(
        self,
        *,
        glyphs: Glyphs,
        awake: bool,
        id: str,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        super().__init__(id=id, classes="service-view")
        self._awake = awake
        self.line = Flow(glyphs=glyphs)
        self.table = LiveTable(glyphs=glyphs)
        self.findings = Findings(glyphs=glyphs)
        self.line.display = False
        self._shown: tuple[Service, Snapshot, Looks] | None = None

    @property
    def fleets_app(self) -> Host:
        """The app, typed."""
        return cast("Host", self.app)

    @property
    def service_screen(self) -> Around:
        """The screen it is on, typed."""
        return cast("Around", self.screen)

    def compose(self) -> ComposeResult:
        """The line, the table and the findings."""
        if self._awake:
            yield from self._parts()

    def _parts(self) -> Iterable[Widget]:
        return (self.line, self.table, self.findings)

    def wake(self) -> None:
        """Makes sure that there is something to show things in."""
        if not self._awake:
            self._awake = True
            self.mount(*self._parts())

    def show(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows a service, as soon as there is a width to lay it out for."""
        self._shown = (service, snapshot, looks)
        if self.size.width:
            self.fill(service, snapshot, looks)

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Fills the table and what stands around it."""
        raise NotImplementedError

    @property
    def fits_trends(self) -> bool:
        """Whether there is room for sparklines."""
        return self.size.width >= trends.WIDER

    def show_columns(
        self, name: str, columns: Sequence[Column], known: Sequence[Column] = ()
    ) -> None:
        """Gives the table the columns that fit, as the settings want them.

        Args:
            name: The table, as the settings name it.
            columns: All of its columns.
            known: Those that it may have at another time too.
        """
        app, table = self.fleets_app, self.table
        shown = fitting_columns(app, name, columns, known, wide=self.fits_trends)
        if shown != table.columns:
            if not table.columns:
                table.show_all_columns = is_wide(app, name)
            table.set_columns(shown)

    def summary(self, key: str) -> str:
        """One line on the row under the cursor."""
        raise NotImplementedError

    def open(self, key: str) -> None:
        """Opens what a row is about, where there is something to open."""

    def replica_of(self, key: str) -> ReplicaKey | None:
        """The replica that a row is of, if it is of one."""
        return None

    def named(self) -> dict[str, str]:
        """Keys of rows by the name that `:open` takes."""
        return {}

    def notes(self) -> Iterable[str]:
        """Why the table does not show everything."""
        return ()

    def empty(self, text: str) -> None:
        """Shows nothing, and why."""
        self._shown = None
        self.table.empty_text = text
        self.table.set_rows({})
        self.line.show(())
        self.findings.show(())
        self.show_line()

    def show_line(self) -> None:
        """Shows the line above the table, where it says something, and fits the heights."""
        if self.line.display != bool(self.line.text):
            self.line.display = bool(self.line.text)
        self.fit()

    def on_resize(self) -> None:
        """Fits what is shown to the new size."""
        if self._shown is not None:
            self.fill(*self._shown)
            self.service_screen.view_filled()
        else:
            self.fit()

    def fit(self) -> None:
        """Shares the height out between the table and the findings."""
        width = self.size.width - _SIDES
        if width <= 0:
            return
        room = self.size.height - (self.line.height_at(width) if self.line.display else 0)
        rows = max(len(self.table.keys), _LEAST_ROWS if not self.table.row_count else 1)
        lines = self.findings.needed(width)
        # A blank line parts them.
        below = lines + 1 if lines else 0
        if rows + 1 + below > room:
            below = min(below, max(room // 2, room - rows - 1, 0))
        table = max(2, min(rows + 1, room - below))
        if self.table.styles.height is None or self.table.styles.height.value != table:
            self.table.styles.height = table
        if self.findings.display != bool(below):
            self.findings.display = bool(below)
        self.findings.limit(max(0, below - 1))
