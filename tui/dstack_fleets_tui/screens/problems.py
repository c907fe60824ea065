"""Everything that is wrong, over all services and fleets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.widget import Widget

from dstack_api_client.feed.feed import ConnectionState
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.routers import unread
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.screens.lists import ListScreen
from dstack_fleets_tui.tables import details, problems
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.detail_pane import Details, Section
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import Cells


class ProblemsScreen(ListScreen):
    """What is wrong now, worst first, and what can be done about it."""

    name_of_screen = actions.PROBLEMS
    columns = problems.COLUMNS
    thing = "problems"
    BINDINGS = list(actions.bindings(actions.PROBLEMS))

    def body(self) -> Iterable[Widget]:
        """How many there are, the table, what is to be said of a row, and what is not known."""
        yield Flow(id="counts", glyphs=self.fleets_app.glyphs)
        yield from super().body()
        yield Findings(id="findings", glyphs=self.fleets_app.glyphs)

    def rows(self, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per problem."""
        looks = self.looks
        unseen = self.fleets_app.lookout.news.unseen
        return {
            each.key: problems.cells(each, looks, new=each.key in unseen)
            for each in self.fleets_app.problems
        }

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The problems by what they are about; of several the worst."""
        return {each.subject: each.key for each in reversed(self.fleets_app.problems)}

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """Nothing: what is to be said takes more than a line."""
        return ""

    def details(self, key: str) -> Details | None:
        """The problem in full, what to do, who feels it, and the last events."""
        snapshot, looks, found = self.snapshot, self.looks, self._problem(key)
        if snapshot is None or found is None:
            return None
        enter = actions.key_name("enter", ascii_only=self.fleets_app.ascii)
        read, table, worst = self.fleets_app.events_read, self.table, self.fleets_app.problems[0]

        def made(width: int, height: int) -> list[Section]:
            # A cause is said once on a screen.
            told = bool(found.hint) and table.shows_whole(key, "problem")
            return details.of_problem(
                found, snapshot, read, looks, width, height, worst=worst, told=told, key=enter
            )

        return made

    def text_of_row(self) -> str:
        """The problem under the cursor in full."""
        key = self.table.cursor_key
        found = self._problem(key) if key is not None else None
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
        snapshot, key = self.snapshot, self.table.cursor_key
        found = self._problem(key) if key is not None else None
        if snapshot is None or found is None:
            return None
        affected = (snapshot.service_named(each.name) for each in found.affects)
        runs = (found.service_id, *found.run_ids, *(each.id for each in affected if each))
        return next((each for each in runs if each in snapshot.services), None)

    def focus_on(self) -> None:
        """All services and fleets may have problems."""
        snapshot = self.snapshot
        if snapshot is None:
            self.fleets_app.focus_on()
            return
        running = [each.id for each in snapshot.services.values() if not each.finished]
        self.fleets_app.focus_on(services=running, fleets=snapshot.fleets)

    def empty_text(self) -> str:
        """Says that nothing is wrong, as far as that is known."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete:
            return super().empty_text()
        looked_at = (
            f"Checked: fleets {len(snapshot.fleets)}, instances {len(snapshot.instances)},"
            f" services {sum(not each.finished for each in snapshot.services.values())},"
            f" replicas {sum(each.active for each in snapshot.replicas.values())}."
        )
        if self.fleets_app.health.state is not ConnectionState.LIVE:
            return f"Nothing was wrong in {snapshot.project} when it was last read. {looked_at}"
        if unread(snapshot):
            return f"Nothing wrong in {snapshot.project} as far as it was read. {looked_at}"
        return f"Nothing wrong in {snapshot.project}. {looked_at}"

    def fill(self) -> None:
        """Fills the table and counts."""
        super().fill()
        told = problems.counts(self.fleets_app.problems)
        line = self.query_one("#counts", Flow)
        line.display = bool(told)
        line.show([literal(text, style_of(style)) for style, text in told])

    def on_mount(self) -> None:
        """Lets ages go on although nothing is read."""
        self.set_interval(1, self._grow_older)

    def on_screen_suspend(self) -> None:
        """What was new has been seen."""
        self.fleets_app.lookout.news.looked_at()

    def _grow_older(self) -> None:
        if self.is_active and self.snapshot is not None:
            self.table.set_rows(self.rows(self.snapshot))

    def _problem(self, key: str) -> Problem | None:
        return next((each for each in self.fleets_app.problems if each.key == key), None)

    def _summarise(self) -> None:
        super()._summarise()
        key = self.table.cursor_key
        found = self._problem(key) if key is not None else None
        worst = self.fleets_app.problems[0] if found is not None else None
        notes = unread(self.snapshot) if self.snapshot is not None else ()
        if self.shows_details:
            found = worst = None
        said = problems.findings(found, worst, notes)
        panel = self.query_one("#findings", Findings)
        panel.display = bool(said)
        panel.show(said)
