"""Lists: a table over the whole screen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.widget import Widget

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.screens.paned import Paned
from dstack_fleets_tui.screens.parts.columns import columns_of, fitting_columns, is_wide
from dstack_fleets_tui.screens.parts.only_wrong import OnlyWrong
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.tables.kept_rows import KeptRows
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.tables.projects import PROJECT, project_cell
from dstack_fleets_tui.tables.totals import totals
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.detail_pane import Details
from dstack_widgets.panels.flow import Flow
from dstack_widgets.screen.status_header import HeaderState
from dstack_widgets.table.cells import Cells, Column
from dstack_widgets.table.live_table import LiveTable


class ListScreen(Paned):
    """One table over the whole screen, and a line on the row under the cursor, or its details.

    Where several projects are read it has the rows of all. One of them is in hand: that of the
    row that was last opened or acted on. Whatever is done to a row takes its project in hand
    first, so nothing that follows can reach another one.
    """

    columns: ClassVar[Sequence[Column]]
    thing: ClassVar[str]
    """What a row is, in the singular."""
    of_all: ClassVar[bool] = False
    """Whether it shows rows of several projects; else it is of the one in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.only_wrong = OnlyWrong()
        self._kept: dict[str, KeptRows[tuple[object, ...]]] = {}
        self._detailed: tuple[object, Moment, Details | None] | None = None

    def body(self) -> Iterable[Widget]:
        """The table."""
        app, name = self.fleets_app, self.name_of_screen
        table = LiveTable(self._columns(), wide=is_wide(app, name), glyphs=app.glyphs)
        yield self.with_pane(table)

    def _columns(self) -> Sequence[Column]:
        return self.with_project(columns_of(self.fleets_app, self.name_of_screen, self.columns))

    def rows(self, session: Session, snapshot: Snapshot) -> Mapping[str, Cells]:
        """The rows to show of a project, by key."""
        raise NotImplementedError

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """One line on a row."""
        raise NotImplementedError

    def wrong(self, snapshot: Snapshot, problems: Sequence[Problem]) -> Collection[str]:
        """The keys of the rows of a project with which something is wrong."""
        return ()

    def open(self, key: str) -> None:
        """Opens the screen of a row of the project in hand."""
        raise NotImplementedError

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The key of every row by its name."""
        raise NotImplementedError

    def details_of(
        self, session: Session, snapshot: Snapshot, key: str, looks: Looks
    ) -> Details | None:
        """What to show of a row of a project; None for nothing.

        Args:
            session: The project.
            snapshot: What is.
            key: The key of the row.
            looks: Time and glyphs to show it with, which takes in when it would look different.
        """
        return None

    def details_made_of(self) -> object:
        """What details are made of besides the project and the row."""
        return None

    def tell_feed(self, session: Session, snapshot: Snapshot) -> None:
        """Tells the feed of a project what of it is on screen."""
        raise NotImplementedError

    # Several projects ---------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot | None:
        """The latest snapshot of the project of the row under the cursor."""
        return self.session_at_hand.snapshot

    @property
    def shows_all(self) -> bool:
        """Whether rows of several projects are shown."""
        return self.of_all and self.fleets_app.several

    @property
    def shown_sessions(self) -> Sequence[Session]:
        """The projects of which rows are shown."""
        app = self.fleets_app
        return app.sessions if self.shows_all else [app.session]

    def shows(self, session: Session) -> bool:
        """Whether it shows what is read of a project."""
        return session in self.shown_sessions

    def key_in(self, session: Session, key: str) -> str:
        """The key of a row of a project in the table."""
        return f"{session.project}/{key}" if self.shows_all else key

    def at(self, key: str | None) -> tuple[Session, str] | None:
        """The project of a row in the table, and the row's key there; None without a row."""
        if key is None or not self.shows_all:
            return None if key is None else (self.fleets_app.session, key)
        project, _, own = key.partition("/")
        found = next((each for each in self.shown_sessions if each.project == project), None)
        return None if found is None else (found, own)

    @property
    def session_at_hand(self) -> Session:
        """The project of the row under the cursor; without a row the one in hand."""
        found = self.at(self.table.cursor_key) if self.shows_all and self.is_laid_out else None
        return found[0] if found is not None else self.fleets_app.session

    @property
    def own_key(self) -> str | None:
        """The key of the row under the cursor, if it is of the project in hand."""
        found = self.at(self.table.cursor_key)
        return found[1] if found is not None and found[0] is self.fleets_app.session else None

    def with_project(self, columns: Sequence[Column]) -> Sequence[Column]:
        """The columns, after that of the project where there are several."""
        return (PROJECT, *columns) if self.shows_all else columns

    def all_rows(self) -> Mapping[str, Cells]:
        """The rows of all projects, by key; of one alone as they are kept."""
        session = self.fleets_app.session
        if not self.shows_all:
            return {} if session.snapshot is None else self.rows(session, session.snapshot)
        found: dict[str, Cells] = {}
        for session in self.shown_sessions:
            if session.snapshot is None:
                continue
            cell = project_cell(session.project, self.looks, read=not session.failure)
            for key, row in self.rows(session, session.snapshot).items():
                found[self.key_in(session, key)] = (cell, *row)
        return found

    def kept(self, session: Session) -> KeptRows[tuple[object, ...]]:
        """The rows of a project as they were made last."""
        return self._kept.setdefault(session.project, KeptRows())

    def looks_of(self, session: Session) -> Looks:
        """What cells of a project are made with now."""
        app = self.fleets_app
        return Looks(session.server_now(app.now()), app.glyphs)

    def header_state(self) -> HeaderState:
        """The state of all projects, and what guards that of the row under the cursor."""
        app = self.fleets_app
        return app.header_of_all(self.session_at_hand) if self.shows_all else super().header_state()

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed in the project of the row under the cursor."""
        return self.fleets_app.read_only_in(self.session_at_hand.project)

    @property
    def failing(self) -> str:
        """Which projects are not read now, and why."""
        if not self.shows_all:
            return super().failing
        failed = (each for each in self.shown_sessions if each.failure)
        return " ".join(f"{each.project}: {each.failure}" for each in failed)

    def takes_in_hand(self, session: Session | None = None) -> bool:
        """Has what follows be of a project, or says why not.

        Args:
            session: The project; without it that of the row under the cursor.
        """
        try:
            self.fleets_app.take_in_hand(session or self.session_at_hand)
        except CommandError as error:
            self.fleets_app.warn(str(error))
            return False
        return True

    def _act(self, action_id: str, argument: str) -> None:
        goes_to_list = action_id in (places.FLEETS, places.SERVICES) and not argument
        of_row = action_id not in actions.OF_VIEW and not goes_to_list
        if not of_row or self.takes_in_hand():
            super()._act(action_id, argument)

    def _open_at(self, key: str) -> None:
        found = self.at(key)
        if found is not None and self.takes_in_hand(found[0]):
            self.open(found[1])

    # As every list ------------------------------------------------------------------------

    def details(self, key: str) -> Details | None:
        """What to show of a row."""
        found = self.at(key)
        if found is None or found[0].snapshot is None:
            return None
        session, own = found
        snapshot, looks = found[0].snapshot, self.looks_of(session)
        parts = (
            *(key, snapshot.timeless(), session.problems, session.events, session.trends),
            *(session.trends.version, looks.glyphs, self.is_beside, self.details_made_of()),
            session.lookout.healths,
        )
        known = self._detailed
        if known is None or known[0] != parts or not known[1].holds_at(looks.at):
            moment = Moment(looks.at)
            made = self.details_of(session, snapshot, own, replace(looks, moment=moment))
            self._detailed = known = parts, moment, made
        return known[2]

    def focus_on(self) -> None:
        """Tells the feeds what is on screen."""
        for session in self.shown_sessions:
            if session.snapshot is not None:
                self.tell_feed(session, session.snapshot)
            else:
                session.focus()

    def arguments(self, action_id: str) -> Sequence[str]:
        """Names to open here, before what every screen knows."""
        here = self.named(self.snapshot) if action_id == "open" and self.snapshot else ()
        return [*here, *(each for each in super().arguments(action_id) if each not in here)]

    def empty_text(self) -> str:
        """What the list says when it has no rows."""
        return self.fleets_app.empty_text(f"{self.thing}s")

    def _why_empty(self) -> str:
        if not self.shows_all:
            return self.empty_text()
        projects = ", ".join(each.project for each in self.shown_sessions)
        if all(each.snapshot and each.snapshot.complete for each in self.shown_sessions):
            return f"No {self.thing}s in {projects}."
        return f"Reading the {self.thing}s of {projects}."

    def fill(self) -> None:
        """Fills the table; the cursor stays with its key."""
        table = self.table
        # Where nothing was read yet: rows of another project are not of this one.
        rows = self.only_wrong.of(self.all_rows(), self._all_wrong)
        table.set_rows(rows)
        if not rows:
            table.empty_text = self.only_wrong.empty_text(self.thing, self._why_empty())
        self._summarise()

    def _all_wrong(self) -> Collection[str]:
        return {
            self.key_in(session, key)
            for session in self.shown_sessions
            if session.snapshot is not None
            for key in self.wrong(session.snapshot, session.problems)
        }

    def settings_changed(self) -> None:
        """Shows the columns that the settings want."""
        self.table.set_columns(self._columns())
        self.table.show_all_columns = is_wide(self.fleets_app, self.name_of_screen)
        super().settings_changed()

    def do_wrong(self, argument: str) -> None:
        """Shows only what is wrong, or all again."""
        self.only_wrong.on = not self.only_wrong.on
        self.fill()
        self.show_note()

    def _notes(self) -> Iterable[str]:
        yield from self.only_wrong.notes()
        yield from super()._notes()

    def do_open(self, argument: str) -> None:
        """Opens the row under the cursor, or what is named: here first."""
        here = self.named(self.snapshot) if argument and self.snapshot is not None else {}
        if argument and argument not in here:
            self.fleets_app.open_named(argument)
        elif key := here.get(argument) or self.own_key:
            self.open(key)

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        """Opens the row."""
        message.stop()
        self._open_at(message.key)

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says more of the row under the cursor."""
        message.stop()
        self._summarise()
        if self.shows_all:
            self.show_project()

    def show_project(self) -> None:
        """Shows what is said of the project of the row under the cursor."""
        self.show_state()
        self.show_keys()

    def _summarise(self) -> None:
        found = self.at(self.table.cursor_key)
        snapshot = found[0].snapshot if found is not None else None
        self.show_details()
        if found is None or snapshot is None or self.shows_details:
            self.show_summary("")
        else:
            self.show_summary(self.summary(snapshot, found[1]))


class TotalsScreen(ListScreen):
    """A list below a line on the whole project."""

    of_all = True

    wide: ClassVar[int]
    """Cells from which there is room for what the last 30 minutes were."""

    def __init__(self) -> None:
        super().__init__()
        self._added_up: object = None

    def body(self) -> Iterable[Widget]:
        """The totals, then the table."""
        yield Flow(id="totals", most=1, glyphs=self.fleets_app.glyphs)
        yield from super().body()

    def fill(self) -> None:
        """Fills the table, and adds the project up."""
        fitting = fitting_columns(
            self.fleets_app,
            self.name_of_screen,
            self.columns,
            wide=self.table_width >= self.wide,
            widest=self.table_width >= trends.WIDEST,
        )
        columns = self.with_project(fitting)
        if columns != self.table.columns:
            self.table.set_columns(columns)
        super().fill()
        self._show_totals()

    def show_project(self) -> None:
        """Shows what it adds up to, too."""
        super().show_project()
        self._show_totals()

    def _show_totals(self) -> None:
        session = self.session_at_hand
        snapshot, healths = session.snapshot, session.lookout.healths
        of = (session.project, snapshot.fleets if snapshot is not None else None, healths)
        if self._added_up == of:
            return
        self._added_up = of
        told = totals(snapshot, healths) if snapshot is not None else []
        if told and self.shows_all:
            told.insert(0, ("strong", session.project))
        line = self.query_one("#totals", Flow)
        line.display = bool(told)
        line.show([literal(text, style_of(style)) for style, text in told])
