"""Charts of the last 30 minutes of one service or one fleet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.widget import Widget

from dstack_api_client.analysis.health import fleet_health
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.trends.reads import PastRead, PastReads
from dstack_api_client.trends.trend import Kind, Subject, fleet_named, service_named
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.own_reads import OwnReads
from dstack_fleets_tui.tables import charts, health
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.charts import Charts
from dstack_widgets.panels.flow import Flow


def named(name: str, snapshot: Snapshot | None, first: Kind = Kind.SERVICE) -> Subject:
    """What a name stands for.

    Args:
        name: Of a service or a fleet.
        snapshot: Where they are.
        first: What it is where both are called so.

    Raises:
        CommandError: Nothing is called so.
    """
    found = []
    if snapshot is not None and (service := snapshot.service_named(name)) is not None:
        found.append(service_named(service.name))
    if snapshot is not None and (fleet := snapshot.fleet_named(name)) is not None:
        found.append(fleet_named(fleet.name))
    if not found:
        raise CommandError(f"There is no service and no fleet {name}.")
    return next((each for each in found if each.kind is first), found[0])


class ChartsScreen(LiveScreen):
    """One thing over the last 30 minutes, by its name: it may be deployed again meanwhile.

    What the server keeps of the past is read once, and metrics as long as this is in front.

    Args:
        subject: The service or the fleet.
    """

    name_of_screen = places.CHARTS
    BINDINGS = list(actions.bindings(places.CHARTS))

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject
        self._thing: Service | Fleet | None = None
        self._metrics = charts.Metrics()
        self._source: Source | None = None
        self._read_of: str | None = None
        self._reads = OwnReads(self, self._take)

    def body(self) -> Iterable[Widget]:
        """What it is, and the charts."""
        glyphs = self.fleets_app.glyphs
        yield Flow(id="head", most=1, glyphs=glyphs)
        yield Charts(id="charts", glyphs=glyphs)

    def show_of(self, subject: Subject) -> None:
        """Shows another thing."""
        self.subject, self._thing = subject, None
        self.focus_on()
        self.show()

    @property
    def place(self) -> Place:
        """The charts of this service or fleet."""
        return Place(self.name_of_screen, self.app.current_mode, self.subject)

    def focus_on(self) -> None:
        """The thing is open: its replicas are to be known."""
        thing = self._found
        self.fleets_app.focus_on(
            opened_service=thing.id if isinstance(thing, Service) else None,
            opened_fleet=thing.id if isinstance(thing, Fleet) else None,
        )

    def on_screen_resume(self) -> None:
        """Catches up with what happened while another screen was in front."""
        self._reads.hurry()

    def reread(self) -> None:
        """Reads the past again."""
        self._reads.refresh()

    # What is shown ------------------------------------------------------------------------

    @property
    def title_of_view(self) -> str:
        """What the charts are of."""
        return f"{self.subject.name}: charts"

    @property
    def _found(self) -> Service | Fleet | None:
        if self.snapshot is None:
            return None
        name = self.subject.name
        is_service = self.subject.kind is Kind.SERVICE
        return self.snapshot.service_named(name) if is_service else self.snapshot.fleet_named(name)

    def fill(self) -> None:
        """Shows the charts, those of before where the thing is gone."""
        found, snapshot = self._found, self.snapshot
        self._thing = found or self._thing
        thing, watch = self._thing, self.fleets_app.trends
        if found is not None:
            self._read_past(found)
        self._show_head(gone=found is None)
        if thing is None or snapshot is None:
            return
        made = (
            charts.of_service(thing, snapshot, watch, self._metrics)
            if isinstance(thing, Service)
            else charts.of_fleet(thing, snapshot, watch, self._metrics)
        )
        self.query_one(Charts).show(made)
        failure = str(self._metrics.failure) if self._metrics.failure is not None else ""
        lacking = charts.no_requests(thing, snapshot) if isinstance(thing, Service) else ""
        self.show_summary(lacking, failure)

    def _show_head(self, *, gone: bool) -> None:
        snapshot, thing = self.snapshot, self._thing
        parts = [literal(self.subject.name, style_of("strong"))]
        if gone:
            reading = snapshot is None or not snapshot.complete
            text = "reading" if reading else "gone: the server lists it no longer"
            parts.append(literal(text, style_of("dim" if reading else "warn")))
        elif thing is not None and snapshot is not None:
            known = (
                fleet_health(snapshot, thing)
                if isinstance(thing, Fleet)
                else self.fleets_app.lookout.healths.get(thing.id)
            )
            if known is not None:
                parts.append(
                    literal(health.text(known, self.looks), style_of(health.style(known.state)))
                )
        parts.append(literal("the last 30 minutes", style_of("dim")))
        self.query_one("#head", Flow).show(parts)

    def _notes(self) -> Iterable[str]:
        if self.snapshot is not None and not self.snapshot.complete:
            yield "still reading"

    # What the server keeps ----------------------------------------------------------------

    def _read_past(self, thing: Service | Fleet) -> None:
        source = self.fleets_app.source
        if source is None or (source is self._source and thing.id == self._read_of):
            return
        self._source, self._read_of, self._metrics = source, thing.id, charts.Metrics()
        where = "within_runs" if isinstance(thing, Service) else "within_fleets"
        self._reads.start(
            PastReads(
                source.client,
                source.project,
                {where: [thing.id]},
                self._replicas,
                now=self.fleets_app.now,
                server_now=self.fleets_app.server_now,
            )
        )

    def _replicas(self) -> Sequence[Replica]:
        snapshot, thing = self.snapshot, self._found
        if snapshot is None or thing is None:
            return ()
        if isinstance(thing, Fleet):
            return charts.in_fleet(snapshot, thing)
        return snapshot.active_in(thing)

    def _take(self, read: PastRead) -> None:
        """Fills what was not known, and shows it."""
        snapshot, thing, watch = self.snapshot, self._thing, self.fleets_app.trends
        if snapshot is None or thing is None:
            return
        services, fleets = ((thing,), ()) if isinstance(thing, Service) else ((), (thing,))
        watch.learn(snapshot, read.events, services=services, fleets=fleets)
        watch.take(read.uses)
        is_read = self._metrics.is_read or bool(read.uses)
        self._metrics = charts.Metrics(is_read, read.measured, read.failure)
        if self.is_laid_out:
            self.fill()

    # Actions ------------------------------------------------------------------------------

    def do_charts(self, argument: str) -> None:
        """Shows charts of what is named; the key that opened this closes it."""
        if argument:
            self.show_of(named(argument, self.snapshot))
        else:
            self.do_back("")

    def do_back(self, argument: str) -> None:
        """Goes back."""
        if len(self.app.screen_stack) > 1:
            self.leave()
