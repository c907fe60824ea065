"""One replica: its state and use, its output, its submissions, what happened to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from textual.widget import Widget

from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.replica.service_logs import writer_name
from dstack_api_client.replica.watch import Closely, ReplicaWatch
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.names.finding import Thing
from dstack_fleets_tui.screens.logs_view import LogsView
from dstack_fleets_tui.screens.parts.events_view import EventsView
from dstack_fleets_tui.screens.parts.own_reads import OwnReads
from dstack_fleets_tui.screens.parts.with_events import EVENTS_VIEW, WithEvents
from dstack_fleets_tui.tables import overview, replicas, submissions
from dstack_fleets_tui.words import formatting, words
from dstack_widgets.panels.facts import Fact, Facts
from dstack_widgets.table.live_table import LiveTable

#: Most ids that a filter of the server takes.
_MOST_FILTERED = 16


class ReplicaScreen(WithEvents):
    """One replica of a service, or one job of another run, by its key.

    What only this screen shows is read by a task of its own, which ends with it.
    """

    name_of_screen = places.REPLICA
    views = ("overview", "logs", "history", EVENTS_VIEW)
    BINDINGS = list(actions.bindings(places.REPLICA))

    def __init__(self, replica: ReplicaKey, view: str = "", row: str | None = None) -> None:
        super().__init__(replica.run_id, view, row)
        self.replica = replica
        self._closely = Closely()
        self._source: Source | None = None
        self._watch: ReplicaWatch | None = None
        self._reads = OwnReads(self, self._take)
        self._last: Replica | None = None

    def contents(self) -> Iterable[Widget]:
        """State and use, output, submissions, events."""
        glyphs = self.fleets_app.glyphs
        yield Facts(id="overview", glyphs=glyphs)
        yield LogsView(id="logs", glyphs=glyphs)
        yield LiveTable(submissions.COLUMNS, id="history", glyphs=glyphs)
        yield EventsView(id=EVENTS_VIEW, glyphs=glyphs)

    def is_of(self, thing: Thing) -> bool:
        """Whether it is the screen of a replica."""
        return isinstance(thing, Replica) and thing.key == self.replica

    def run_of_logs(self) -> str:
        """The run that it is of."""
        return self.replica.run_id

    @property
    def place(self) -> Place:
        """This view of the replica."""
        return replace(super().place, key=self.replica)

    def replica_at_hand(self) -> ReplicaKey:
        """The replica itself."""
        return self.replica

    def focus_on(self) -> None:
        """The replica's service is open, and the fleet that it runs in."""
        replica = self._replica
        fleet = replica.fleet_id if replica is not None else None
        self.fleets_app.focus_on(opened_service=self.replica.run_id, opened_fleet=fleet)

    def on_screen_resume(self) -> None:
        """Catches up with what happened while another screen was in front."""
        self._reads.hurry()

    def reread(self) -> None:
        """Reads all of it again."""
        super().reread()
        self._reads.refresh()

    # What is shown ------------------------------------------------------------------------

    @property
    def _replica(self) -> Replica | None:
        return self.snapshot.replicas.get(self.replica) if self.snapshot else None

    def fill(self) -> None:
        """Shows the replica, or that it is gone."""
        snapshot, replica = self.snapshot, self._replica
        if snapshot is None or (replica is None and self._last is None):
            self.show_missing("replica")
            return
        if replica is not None:
            self._last = replica
            self._follow(replica)
            self.show_head(words.job(replica), self._head(replica, snapshot))
        elif snapshot.complete and self._last is not None:
            told = "gone: the server has ended it and lists it no longer"
            self.show_head(words.job(self._last), [("", told)])
        self._fill_view()

    def _follow(self, replica: Replica) -> None:
        source = self.fleets_app.source
        if source is not None and source is not self._source:
            self._source = source
            self._watch = ReplicaWatch(
                source.client, source.project, self.replica, now=self.fleets_app.now
            )
            self._watch.follow(replica)
            self._reads.start(self._watch)
        elif self._watch is not None:
            self._watch.follow(replica)

    def _take(self, closely: Closely) -> None:
        self._closely = closely
        if self.is_laid_out:
            self._fill_view()
            self.show_note()

    def _fill_view(self) -> None:
        """Shows what the view in front is about; the others are filled when they come up."""
        snapshot, replica, looks = self.snapshot, self._last, self.looks
        if snapshot is None or replica is None:
            return
        if self.view == "overview":
            panel = self.query_one("#overview", Facts)
            width = self.size.width
            panel.show(overview.facts(replica, snapshot, self._closely, looks, width))
        elif self.view == "logs":
            self.query_one(LogsView).show(self._closely.output, looks)
        elif self.view == "history":
            table = self.query_one("#history", LiveTable)
            history = self._closely.history
            nothing = "No submissions." if history.read_at else "Reading the submissions."
            table.empty_text = str(history.failure or nothing)
            table.set_rows(
                {each.id: submissions.cells(each, looks) for each in history.submissions}
            )
            self.find_row()
        else:
            ids = [each.id for each in self._closely.history.submissions] or [replica.submission_id]
            self.events_view.follow(words.job(replica), {"target_jobs": ids[:_MOST_FILTERED]})
        self.summarise()

    def _head(self, replica: Replica, snapshot: Snapshot) -> list[tuple[str, str]]:
        ready, _ = replicas.probes(replica, self.looks)
        service = snapshot.services.get(replica.key.run_id)
        behind = service is not None and replica.deployment_num != service.deployment_num
        latest = f" (the service is at {service.deployment_num})" if service and behind else ""
        told = "" if replica.message in ("", replica.status) else f": {replica.message}"
        longer = "+" if replica.since_earlier else ""
        drain = snapshot.drain_of(replica)
        status = drain.told(snapshot.observed_at) if drain is not None else replica.status
        return [
            ("", status + told),
            ("", "ready" if replica.ready else ready),
            ("fleet", replica.fleet_name or replica.tried_in or ""),
            ("instance", replicas.instance_label(replica, snapshot)),
            ("deployment", f"{replica.deployment_num}{latest}"),
            ("submission", self._submission(replica)),
            ("", f"{formatting.price(replica.price)} $/h" if replica.price else ""),
            ("age", formatting.age(replica.since, self.looks.now) + longer),
        ]

    def _submission(self, replica: Replica) -> str:
        """Its number; and its age where the replica has waited for longer."""
        if not replica.submission_num:
            return ""
        number = str(replica.submission_num)
        if replica.since == replica.submitted_at:
            return number
        return f"{number} ({formatting.age(replica.submitted_at, self.looks.now)} old)"

    def summarise(self) -> None:
        """Says more of what is under the cursor."""
        text, failure, whole = "", "", False
        if self.shows_events:
            self.show_event()
            return
        if self.view == "logs":
            view = self.query_one(LogsView)
            output = self._closely.output
            failure = str(output.failure or "") if output.lines else ""
            text = view.line
            # A line that is too long for the table is read in full where the cursor rests on it.
            whole = not view.is_following and len(text) > self.size.width - 12
        elif self.view == "history":
            key = self.table.cursor_key
            history = self._closely.history
            found = next((each for each in history.submissions if each.id == key), None)
            failure = str(history.failure or "") if found else ""
            text = submissions.summary(found) if found else ""
        elif self._last is not None:
            text = replicas.summary(self._last)
        self.show_summary(text, failure, whole=whole)

    def _notes(self) -> Iterable[str]:
        yield from super()._notes()
        if self.view == "logs":
            output = self._closely.output
            if self._last is not None and output.submission_id not in (
                "",
                self._last.submission_id,
            ):
                numbers = {each.id: each.num for each in self._closely.history.submissions}
                yield f"submission {numbers.get(output.submission_id, '?')}, l shows the latest"
            yield from self.query_one(LogsView).notes()

    # Actions ------------------------------------------------------------------------------

    def show_view(self, view: str) -> None:
        """Shows a view; the output, when it is in front already, of the latest submission."""
        if view == self.view == "logs":
            self._show_output_of(None)
        super().show_view(view)

    def show_nothing(self, text: str) -> None:
        """Says why there is nothing to show."""
        super().show_nothing(text)
        self.query_one("#overview", Facts).show([Fact("replica", text)])

    def _show_table(self) -> None:
        if self.view == "overview":
            self.show_view("logs")

    def do_follow(self, argument: str) -> None:
        """Goes to what came last: of the events where they are in front, else of the output."""
        if self.shows_events:
            super().do_follow(argument)
            return
        if self.view != "logs":
            self.show_view("logs")
        self.query_one(LogsView).to_newest()

    def do_host(self, argument: str) -> None:
        """Goes to the instance that it runs on."""
        snapshot, replica = self.snapshot, self._last
        instance = (
            snapshot.instances.get(replica.instance_id or "") if snapshot and replica else None
        )
        if instance is not None and instance.fleet_id is not None:
            self.fleets_app.open_fleet(instance.fleet_id, "instances", instance.id)
        else:
            self.notify("It is not known which instance this replica runs on.", markup=False)

    def do_open(self, argument: str) -> None:
        """Opens what is under the cursor, or named."""
        if argument:
            self.fleets_app.open_named(argument)
        else:
            self._open(self.table.cursor_key)

    def _open(self, key: str | None) -> None:
        if self.view == "history" and key is not None:
            self._show_output_of(key)
            super().show_view("logs")
        elif self.view == "logs" and self._last is not None:
            self.fleets_app.open_logs(self._last.key.run_id, writer_name(self._last))
        elif self.shows_events:
            self.open_event(key)

    def _show_output_of(self, submission_id: str | None) -> None:
        if self._watch is not None:
            self._watch.show_output_of(submission_id)
            self._reads.hurry()

    # Messages -----------------------------------------------------------------------------

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        """Opens what the row is about."""
        message.stop()
        self._open(message.key)

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says more of the row under the cursor."""
        message.stop()
        self.summarise()
        self.show_note()
