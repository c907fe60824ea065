"""What the replicas of a service write, or the jobs of another run, in one list that follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from textual.theme import Theme
from textual.widget import Widget

from dstack_api_client.model.every_run import Run
from dstack_api_client.model.labels import counted, group_label
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.replica.logs import LogLine
from dstack_api_client.replica.saved_logs import line_text, save
from dstack_api_client.replica.service_logs import (
    ServiceLogs,
    ServiceOutput,
    writer_name,
    writers,
)
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.own_reads import OwnReads
from dstack_fleets_tui.tables.service_logs import Margin, colours
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.logs.log_lines import LogLines
from dstack_widgets.logs.log_rows import Entry
from dstack_widgets.panels.flow import Flow
from dstack_widgets.search.patterns import Pattern

#: How far back one can look, by what is typed; and how it is said.
_BACK = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "start": None,
}
_FIRST = "15m"
#: The folder of saved logs in the user's state folder.
_FOLDER = "logs"


class LogsScreen(LiveScreen):
    """The logs of one run, by its id; read by a task that ends with the screen.

    Args:
        key: The id of the run.
        only: The name of the replica or group to begin with; all for none.
    """

    name_of_screen = places.LOGS
    BINDINGS = list(actions.bindings(places.LOGS))

    def __init__(self, key: str, only: str = "") -> None:
        super().__init__()
        self.key = key
        self._only = only
        self._back = _FIRST
        self._pattern = Pattern()
        self._filters = True
        self._output = ServiceOutput()
        self._source: Source | None = None
        self._logs: ServiceLogs | None = None
        self._reads = OwnReads(self, self._take)
        self._last: Run | None = None
        self._replicas: Sequence[Replica] = ()
        self._labels: dict[str, frozenset[str]] = {}

    def on_mount(self) -> None:
        """Begins with what it was opened for."""
        self.app.theme_changed_signal.subscribe(self, self._take_colours)
        self._take_colours(self.app.current_theme)
        self._narrow()

    def _take_colours(self, theme: Theme) -> None:
        """Gives the names of replicas colours that fit the theme."""
        self._margin.colours = colours(self.app.theme_variables, theme)
        self.log_lines.lay_out_again()

    def body(self) -> Iterable[Widget]:
        """A line on what is shown, and the lines."""
        glyphs = self.fleets_app.glyphs
        self._margin = Margin(glyphs)
        yield Flow(id="head", most=2, glyphs=glyphs)
        yield LogLines(self._margin, glyphs=glyphs, id="logs")

    @property
    def log_lines(self) -> LogLines:
        """The widget with the lines."""
        return self.query_one(LogLines)

    def focus_on(self) -> None:
        """The run is open: its replicas are to be known."""
        self.fleets_app.focus_on(opened_service=self.key)

    def on_screen_resume(self) -> None:
        """Catches up with what happened while another screen was in front."""
        self._reads.hurry()

    def reread(self) -> None:
        """Reads again what is new."""
        self._reads.refresh()

    @property
    def place(self) -> Place:
        """The logs of this run."""
        return Place(self.name_of_screen, self.app.current_mode, self.key)

    def run_of_logs(self) -> str:
        """The run itself."""
        return self.key

    # What is shown ------------------------------------------------------------------------

    def fill(self) -> None:
        """Follows the replicas that there are."""
        snapshot = self.snapshot
        run = self._run
        if snapshot is not None and run is not None:
            self._last = run
            self._replicas = snapshot.replicas_of(run)
            for each in self._replicas:
                name = writer_name(each)
                labels = {name, str(each.key.replica_num), each.group}
                self._labels[name] = frozenset({*labels, group_label(each.group, each.role)})
            self._follow()
        self._show()

    @property
    def _run(self) -> Run | None:
        snapshot = self.snapshot
        if snapshot is None:
            return None
        return snapshot.services.get(self.key) or snapshot.other_runs.get(self.key)

    def _follow(self) -> None:
        source = self.fleets_app.source
        if source is not None and (source is not self._source or self._logs is None):
            self._source = source
            self._logs = ServiceLogs(
                source.client,
                source.project,
                back=_BACK[self._back],
                now=self.fleets_app.server_now,
            )
            self._logs.follow(writers(self._replicas))
            self._reads.start(self._logs)
        elif self._logs is not None:
            self._logs.follow(writers(self._replicas))

    def _take(self, output: ServiceOutput) -> None:
        before, self._output = self._output, output
        if self.is_laid_out:
            is_known = self.log_lines.lines is before.lines
            self.log_lines.show(output.lines, output.changed_from if is_known else None)
            self._show()
            self.show_note()

    def _show(self) -> None:
        log, margin = self.log_lines, self._margin
        wider = margin.learn(self._labels)
        log.empty_text = self._empty_text()
        log.show(self._output.lines)
        if wider or not log.passing:
            log.lay_out_again()
        self._show_head()
        self._summarise()

    def _empty_text(self) -> str:
        output, snapshot = self._output, self.snapshot
        if self._last is None:
            reading = snapshot is None or not snapshot.complete
            return "Reading the run." if reading else "This run is gone from the server."
        if output.lines:
            return "No line matches. Press Esc to see all lines."
        if output.failure is not None:
            return str(output.failure)
        if not writers(self._replicas):
            return "No replica has started yet."
        if output.read_at is None or output.unread:
            return "Reading the logs."
        if _BACK[self._back] is None:
            return "No logs yet, or the server no longer keeps them."
        return f"No logs in the {self._reach()}. Press s to look further back."

    def _reach(self) -> str:
        """How far back it goes, in words."""
        back = _BACK[self._back]
        if back is None:
            return "logs from the start"
        return (
            "last hour"
            if back == timedelta(hours=1)
            else (f"last {counted(round(back.total_seconds() / 60), 'minute')}")
        )

    def _show_head(self) -> None:
        run, output = self._last, self._output
        if run is None:
            return
        failed = f"{output.failed} of {len(self._replicas)} can't be read" if output.failed else ""
        left_out = f"{output.dropped:,} older ones not kept" if output.dropped else ""
        facts = (
            (run.name, "strong"),
            (self._whose(), ""),
            (self._reach(), "dim"),
            self._told_of_lines(),
            (left_out, "warn"),
            (f"{output.unread} not read yet" if output.unread else "", "warn"),
            (failed, "warn"),
        )
        parts = [literal(text, style_of(style)) for text, style in facts if text]
        self.query_one("#head", Flow).show(parts)

    def _whose(self) -> str:
        """Who writes what is shown."""
        if self._only:
            return f"only {_called(self._only)}"
        thing = "replica" if isinstance(self._last, Service) else "node"
        return counted(len(self._replicas), thing)

    def _told_of_lines(self) -> tuple[str, str]:
        """How many lines there are, and how many of them are shown; with a style."""
        log, pattern = self.log_lines, self._pattern
        if pattern.error:
            return pattern.error, "bad"
        shown = f"{len(log.passing):,} of {len(log.lines):,} lines"
        if pattern and (self._filters or pattern.excludes):
            return f"{shown} match {pattern.text}", "warn"
        if pattern:
            return f"{len(log.passing):,} lines, {pattern.text} is marked", "warn"
        return (shown, "") if self._only else (f"{len(log.lines):,} lines", "")

    def _notes(self) -> Iterable[str]:
        if self.log_lines.passing:
            yield "following" if self.log_lines.is_following else "f follows"

    def _summarise(self) -> None:
        line, output = self._line, self._output
        text = ""
        if line is not None:
            at = line.at.astimezone()
            text = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {at:%Z}  {_called(line.of)}"
            fleets = [each.fleet_name for each in self._replicas if writer_name(each) == line.of]
            text += f" in {fleets[0]}" if fleets and fleets[0] else ""
        failure = str(output.failure) if output.failure is not None and output.lines else ""
        self.show_summary(text, failure)

    @property
    def _line(self) -> LogLine | None:
        entry = self.log_lines.entry
        return entry if isinstance(entry, LogLine) else None

    def on_log_view_moved(self, message: LogLines.Moved) -> None:
        """Says more of the line under the cursor."""
        message.stop()
        if self.is_laid_out:
            self._summarise()
            self.show_note()

    # Actions ------------------------------------------------------------------------------

    def do_follow(self, argument: str) -> None:
        """Goes to the newest line."""
        self.log_lines.action_last()

    def do_since(self, argument: str) -> None:
        """Goes further back, or as far as named; after the start comes the last minute."""
        known = list(_BACK)
        if argument and argument not in known:
            raise CommandError(f"Use one of: {', '.join(known)}.")
        self._back = argument or known[(known.index(self._back) + 1) % len(known)]
        self._logs, self._output = None, ServiceOutput()
        self.log_lines.action_last()
        self.fill()

    def do_wrap(self, argument: str) -> None:
        """Breaks long lines, or leaves them whole to scroll sideways."""
        self.log_lines.wrap(not self.log_lines.wraps)

    def do_timestamps(self, argument: str) -> None:
        """Shows when each line was written, or no longer."""
        self._margin.times = not self._margin.times
        self.log_lines.lay_out_again()

    def do_only(self, argument: str) -> None:
        """Shows only one replica or group, or all again."""
        if argument and not any(argument in labels for labels in self._labels.values()):
            raise CommandError(f"There is no replica and no group {argument} here.")
        here = self._line.of if self._line is not None else ""
        self._only = argument or ("" if self._only else here)
        self._narrow()

    def _narrow(self) -> None:
        only, labels = self._only, self._labels

        def passes(entry: Entry) -> bool:
            return isinstance(entry, LogLine) and only in labels.get(entry.of, (entry.of,))

        self.log_lines.only(passes if only else None)
        self._show()
        self.show_note()

    @property
    def filter_text(self) -> str:
        """What is looked for."""
        return self._pattern.text

    def filter_by(self, text: str) -> None:
        """Looks for a text, or for what it says of lines."""
        pattern = Pattern(text)
        self._pattern = pattern
        self.log_lines.look_for(pattern, filters=self._filters)
        self._show()
        self.show_note()

    def do_mark(self, argument: str) -> None:
        """Shows all lines with what is looked for marked, or only those with it."""
        self._filters = not self._filters
        self.filter_by(argument or self._pattern.text)

    def do_next(self, argument: str) -> None:
        """Goes to the next line with what is looked for."""
        self._next(1)

    def do_previous(self, argument: str) -> None:
        """Goes to the previous line with what is looked for."""
        self._next(-1)

    def _next(self, by: int) -> None:
        if not self._pattern:
            self.notify("Type / and what to look for first.", markup=False)
        elif not self.log_lines.go_to_next(by):
            way = "after" if by > 0 else "before"
            self.notify(f"No line {way} this one has {self._pattern.text}.", markup=False)

    def do_back(self, argument: str) -> None:
        """Takes away what is looked for, then what narrows it, and goes back then."""
        if self._pattern or self._pattern.error:
            self.filter_by("")
        elif len(self.app.screen_stack) > 1:
            self.leave()

    def do_copy(self, argument: str) -> None:
        """Copies the text under the cursor."""
        if self._line is not None:
            self.app.copy_to_clipboard(self._line.text)

    def do_copy_row(self, argument: str) -> None:
        """Copies the line under the cursor, with when and by which replica it was written."""
        if self._line is not None:
            self.app.copy_to_clipboard(line_text(self._line))

    def do_save_logs(self, argument: str) -> None:
        """Writes the lines that are shown to a file."""
        app, run = self.fleets_app, self._last
        lines = [each for each in self.log_lines.passing if isinstance(each, LogLine)]
        if run is None or not lines:
            self.notify("There is no line to save.", markup=False)
            return
        folder = app.changing.store.folder / _FOLDER
        try:
            path = save(folder, run.name, lines, app.now())
        except OSError as error:
            app.warn(f"{folder} can't be written to: {error.strerror}. Nothing was saved.")
        else:
            self.notify(f"{len(lines):,} lines are in {path}.", markup=False)

    def arguments(self, action_id: str) -> Sequence[str]:
        """How far back, and the names of replicas and groups."""
        if action_id == "since":
            return list(_BACK)
        if action_id == "only":
            return sorted({label for labels in self._labels.values() for label in labels})
        return super().arguments(action_id)


def _called(name: str) -> str:
    """What a replica is called in a sentence: one without a name by its number."""
    return f"replica {name}" if name.isdigit() else name
