"""Everything that is wrong, over all services and fleets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from textual.widget import Widget

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.routers import unread
from dstack_api_client.replica.last_lines import LastLines
from dstack_fleets_tui.actions import actions, key_names, places
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.screens.last_lines import RowLogs
from dstack_fleets_tui.screens.lists import ListScreen
from dstack_fleets_tui.tables import details, problems
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.detail_pane import Details, Section
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import Cells


class ProblemsScreen(ListScreen):
    """What is wrong now, worst first, and what can be done about it."""

    name_of_screen = places.PROBLEMS
    columns = problems.COLUMNS
    thing = "problem"
    # Its rows are sentences, which are read whole where they have all of the width.
    beside_from = 240
    of_all = True
    BINDINGS = list(actions.bindings(places.PROBLEMS))

    def __init__(self) -> None:
        super().__init__()
        self._logs = RowLogs(self, self.show_details)
        self._written: LastLines | None = None
        self._told: Sequence[str] = ()
        self._checked: tuple[object, str] = None, ""

    def body(self) -> Iterable[Widget]:
        """How many there are, the table, what is to be said of a row, and what is not known."""
        yield Flow(id="counts", glyphs=self.fleets_app.glyphs)
        yield from super().body()
        yield Findings(id="findings", glyphs=self.fleets_app.glyphs)

    def rows(self, session: Session, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per problem."""
        looks, found, unseen = self.looks_of(session), session.problems, session.lookout.news.unseen
        kept = self.kept(session)

        def made(moment: Moment) -> Mapping[str, Cells]:
            now = replace(looks, moment=moment)
            by_key = {each.key: each for each in found}
            parts = {
                key: (each, now.age(each.since), key in unseen, now.glyphs)
                for key, each in by_key.items()
            }
            return kept.of(parts, lambda key: problems.cells(by_key[key], looks, new=key in unseen))

        return kept.whole((found, unseen, looks.glyphs), looks.at, made)

    def all_rows(self) -> Mapping[str, Cells]:
        """The problems of all projects, the worst first."""
        rows = super().all_rows()
        if not self.shows_all:
            return rows
        severity = {
            self.key_in(session, each.key): each.severity
            for session in self.shown_sessions
            for each in session.problems
        }
        return dict(sorted(rows.items(), key=lambda row: -severity[row[0]]))

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The problems by what they are about; of several the worst."""
        return {each.subject: each.key for each in reversed(self.fleets_app.problems)}

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """Nothing: what is to be said takes more than a line."""
        return ""

    def details_made_of(self) -> object:
        """The worst of all, log lines, and what the table says in full already."""
        # A cause is said once on a screen.
        whole = (
            each for each in self.table.visible_keys if self.table.shows_whole(each, "problem")
        )
        self._told = tuple(at[1] for each in whole if (at := self.at(each)) is not None)
        return self._written, self.fleets_app.all_problems[:1], self._told

    def details_of(
        self, session: Session, snapshot: Snapshot, key: str, looks: Looks
    ) -> Details | None:
        """The problem in full, what to do, who feels it, the last events and log lines."""
        found = problem_in(session, key)
        if found is None:
            return None
        enter = key_names.key_name("enter", ascii_only=self.fleets_app.ascii)
        read, worst = session.events, self.fleets_app.all_problems[0]
        written, told = self._written, self._told

        def made(width: int, height: int) -> list[Section]:
            return details.of_problem(
                found,
                snapshot,
                read,
                looks,
                width,
                height,
                written=written,
                worst=worst,
                told=told,
                key=enter,
            )

        return made

    def show_details(self) -> None:
        """Shows the details, with the log of the replica that the problem is about."""
        # Logs are read of the project in hand: those of another one once something of it is open.
        snapshot, key = self.snapshot, self.own_key
        found = self._problem(key) if self.shows_details and key is not None else None
        about = found.replica if found is not None else None
        replicas = snapshot.replicas if snapshot is not None else {}
        self._written = self._logs.of(replicas.get(about) if about is not None else None)
        super().show_details()

    def reread(self) -> None:
        """Reads the last log lines again."""
        self._logs.refresh()

    def text_of_row(self) -> str:
        """The problem under the cursor in full."""
        found = self._shown
        if found is None:
            return ""
        said = problems.finding(found)
        return f"{said.subject}: {said.text}"

    def open(self, key: str) -> None:
        """Goes to where the problem is."""
        found = self._problem(key)
        if found is not None and found.service_id is not None:
            self.fleets_app.open_service(found.service_id, found.view, found.row)
        elif found is not None and found.fleet_id is not None:
            self.fleets_app.open_fleet(found.fleet_id, found.view, found.row)

    def run_of_logs(self) -> str | None:
        """The service that the problem under the cursor is of, or the first that it affects."""
        snapshot, key = self.snapshot, self.own_key
        found = self._problem(key) if key is not None else None
        if snapshot is None or found is None:
            return None
        affected = (snapshot.service_named(each.name) for each in found.affects)
        runs = (found.service_id, *found.run_ids, *(each.id for each in affected if each))
        return next((each for each in runs if each in snapshot.services), None)

    def tell_feed(self, session: Session, snapshot: Snapshot) -> None:
        """All services and fleets may have problems."""
        running = [each.id for each in snapshot.services.values() if not each.finished]
        session.focus(services=running, fleets=snapshot.fleets)

    def empty_text(self) -> str:
        """Says that nothing is wrong, as far as that is known."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete:
            return super().empty_text()
        if self._checked[0] != snapshot.timeless():
            self._checked = snapshot.timeless(), self._looked_at(snapshot)
        looked_at = self._checked[1]
        if self.fleets_app.health.state is not ConnectionState.LIVE:
            return f"Nothing was wrong in {snapshot.project} when it was last read. {looked_at}"
        if unread(snapshot):
            return f"Nothing wrong in {snapshot.project} as far as it was read. {looked_at}"
        return f"Nothing wrong in {snapshot.project}. {looked_at}"

    @staticmethod
    def _looked_at(snapshot: Snapshot) -> str:
        return (
            f"Checked: fleets {len(snapshot.fleets)}, instances {len(snapshot.instances)},"
            f" services {sum(not each.finished for each in snapshot.services.values())},"
            f" replicas {sum(each.active for each in snapshot.replicas.values())}."
        )

    def fill(self) -> None:
        """Fills the table and counts."""
        super().fill()
        told = problems.counts(self.fleets_app.all_problems)
        line = self.query_one("#counts", Flow)
        line.display = bool(told)
        line.show([literal(text, style_of(style)) for style, text in told])

    def on_mount(self) -> None:
        """Lets ages go on although nothing is read."""
        self.set_interval(1, self._grow_older)

    def on_screen_suspend(self) -> None:
        """What was new has been seen."""
        for session in self.shown_sessions:
            session.lookout.news.looked_at()

    def _grow_older(self) -> None:
        if self.is_active and self.snapshot is not None:
            self.table.set_rows(self.all_rows())

    def _problem(self, key: str) -> Problem | None:
        return problem_in(self.fleets_app.session, key)

    @property
    def _shown(self) -> Problem | None:
        """The problem under the cursor, whatever project it is of."""
        found = self.at(self.table.cursor_key)
        return problem_in(*found) if found is not None else None

    def _summarise(self) -> None:
        super()._summarise()
        found = self._shown
        worst = self.fleets_app.all_problems[0] if found is not None else None
        if self.shows_details:
            found = worst = None
        said = problems.findings(found, worst, self._unread())
        panel = self.query_one("#findings", Findings)
        panel.display = bool(said)
        panel.show(said)

    def _unread(self) -> Iterable[str]:
        """What can't be known."""
        for session in self.shown_sessions:
            of = f"{session.project}: " if self.shows_all else ""
            if session.snapshot is not None:
                yield from (f"{of}{note}" for note in unread(session.snapshot))


def problem_in(session: Session, key: str) -> Problem | None:
    """The problem of a key in a project."""
    return next((each for each in session.problems if each.key == key), None)
