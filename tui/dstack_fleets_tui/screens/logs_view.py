"""The last lines of a replica's output, followed."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import Vertical

from dstack_api_client.replica.logs import KEPT_LINES
from dstack_api_client.replica.watch import Output
from dstack_fleets_tui.tables import logs
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.table.cells import Cells, plain_text
from dstack_widgets.table.live_table import LiveTable


class LogsView(Vertical):
    """Lines of output, the newest last. With the cursor on the last one, it follows."""

    DEFAULT_CSS = """
    LogsView {
        height: 1fr;
    }
    """

    def __init__(self, *, glyphs: Glyphs, id: str) -> None:  # noqa: A002 (as every widget has it)
        super().__init__(id=id)
        self.table = LiveTable(logs.COLUMNS, glyphs=glyphs, empty_text="Reading the logs.")
        self._output = Output()
        self._cells: dict[str, Cells] = {}

    def compose(self) -> ComposeResult:
        """The table."""
        yield self.table

    @property
    def is_following(self) -> bool:
        """Whether the cursor is where new lines come in."""
        table = self.table
        return table.sort_column is None and table.keys[-1:] in ((), (table.cursor_key,))

    def to_newest(self) -> None:
        """Goes to the last line."""
        self.table.sort_by(None)
        self.table.action_last()

    def show(self, output: Output, looks: Looks) -> None:
        """Shows the lines that are known."""
        table = self.table
        table.empty_text = _empty_text(output)
        if output.lines is self._output.lines and self._output.read_at is not None:
            return
        known = self._cells if output.submission_id == self._output.submission_id else {}
        was_following = self.is_following or not known
        self._output = output
        self._cells = {
            # A line that was not finished keeps no number, so no row is kept for another text.
            str(line.number): known.get(str(line.number)) or logs.cells(line, looks)
            for line in output.lines
        }
        table.set_rows(self._cells)
        if was_following:
            table.action_last()

    def notes(self) -> Iterable[str]:
        """Whether it follows, and what is not kept."""
        if self._cells:
            yield "following" if self.is_following else "f follows"
        if len(self._cells) >= KEPT_LINES:
            yield f"the last {KEPT_LINES:,} lines"

    @property
    def line(self) -> str:
        """The line under the cursor."""
        key = self.table.cursor_key
        return plain_text(self._cells[key][1]) if key in self._cells else ""


def _empty_text(output: Output) -> str:
    if output.failure is not None:
        return str(output.failure)
    if output.read_at is None:
        return "Reading the logs."
    return "No logs yet, or the server no longer keeps them."
