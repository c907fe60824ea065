"""The two lists: fleets and services."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

from textual.widget import Widget

from dstack_api_client.analysis.health import desired_of
from dstack_api_client.edits.fleet.new_fleets import TEMPLATES
from dstack_api_client.model.every_run import every_run
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.screens.paned import Paned
from dstack_fleets_tui.screens.parts.columns import columns_of, fitting_columns, is_wide
from dstack_fleets_tui.screens.parts.only_wrong import OnlyWrong
from dstack_fleets_tui.tables import details, fleets, services, trends
from dstack_fleets_tui.tables.kept_rows import KeptRows
from dstack_fleets_tui.tables.totals import totals
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.detail_pane import Details, Section
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import Cells, Column
from dstack_widgets.table.live_table import LiveTable


class ListScreen(Paned):
    """One table over the whole screen, and a line on the row under the cursor, or its details."""

    columns: ClassVar[Sequence[Column]]
    thing: ClassVar[str]
    """What a row is, in the plural."""

    def __init__(self) -> None:
        super().__init__()
        self.only_wrong = OnlyWrong()
        self.kept: KeptRows[tuple[object, ...]] = KeptRows()

    def body(self) -> Iterable[Widget]:
        """The table."""
        app, name = self.fleets_app, self.name_of_screen
        columns = columns_of(app, name, self.columns)
        table = LiveTable(columns, wide=is_wide(app, name), glyphs=app.glyphs)
        yield self.with_pane(table)

    def rows(self, snapshot: Snapshot) -> Mapping[str, Cells]:
        """The rows to show, by key."""
        raise NotImplementedError

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """One line on a row."""
        raise NotImplementedError

    def wrong(self, snapshot: Snapshot) -> Collection[str]:
        """The keys of the rows with which something is wrong."""
        return ()

    def open(self, key: str) -> None:
        """Opens the screen of a row."""
        raise NotImplementedError

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The key of every row by its name."""
        raise NotImplementedError

    def arguments(self, action_id: str) -> Sequence[str]:
        """Names to open here, before what every screen knows."""
        here = self.named(self.snapshot) if action_id == "open" and self.snapshot else ()
        return [*here, *(each for each in super().arguments(action_id) if each not in here)]

    def empty_text(self) -> str:
        """What the list says when it has no rows."""
        return self.fleets_app.empty_text(self.thing)

    def fill(self) -> None:
        """Fills the table; the cursor stays with its key."""
        table, snapshot = self.table, self.snapshot
        if snapshot is not None:
            rows = self.rows(snapshot)
            table.set_rows(self.only_wrong.of(rows, self.wrong(snapshot)))
        thing = self.thing.removesuffix("s")
        table.empty_text = self.only_wrong.empty_text(thing, self.empty_text())
        self._summarise()

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
        elif key := here.get(argument) or self.table.cursor_key:
            self.open(key)

    def on_live_table_row_activated(self, message: LiveTable.RowActivated) -> None:
        """Opens the row."""
        message.stop()
        self.open(message.key)

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        """Says more of the row under the cursor."""
        message.stop()
        self._summarise()

    def _summarise(self) -> None:
        key = self.table.cursor_key
        known = self.snapshot is not None and key is not None and not self.shows_details
        self.show_details()
        self.show_summary(self.summary(self.snapshot, key) if known else "")  # type: ignore[arg-type]


#: From this width on there is room for a bar beside the names of fleets.
_WIDE = 110


class TotalsScreen(ListScreen):
    """A list below a line on the whole project."""

    wide: ClassVar[int]
    """Cells from which there is room for what the last 30 minutes were."""

    def body(self) -> Iterable[Widget]:
        """The totals, then the table."""
        yield Flow(id="totals", most=1, glyphs=self.fleets_app.glyphs)
        yield from super().body()

    def fill(self) -> None:
        """Fills the table, and adds the project up."""
        columns = fitting_columns(
            self.fleets_app,
            self.name_of_screen,
            self.columns,
            wide=self.table_width >= self.wide,
        )
        if columns != self.table.columns:
            self.table.set_columns(columns)
        super().fill()
        snapshot = self.snapshot
        told = totals(snapshot, self.fleets_app.lookout.healths) if snapshot is not None else []
        line = self.query_one("#totals", Flow)
        line.display = bool(told)
        line.show([literal(text, style_of(style)) for style, text in told])


class FleetsScreen(TotalsScreen):
    """Every fleet of the project."""

    name_of_screen = actions.FLEETS
    columns = fleets.COLUMNS
    wide = trends.WIDER
    thing = "fleets"
    BINDINGS = list(actions.bindings(actions.FLEETS))

    def rows(self, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per fleet."""
        looks = self.looks
        watch = self.fleets_app.trends
        busy = {
            key: trends.busy(fleet, watch, looks.glyphs) for key, fleet in snapshot.fleets.items()
        }
        made_of = {
            key: fleets.made_of(fleet, snapshot, looks, busy[key])
            for key, fleet in snapshot.fleets.items()
        }
        return self.kept.of(
            made_of, lambda key: fleets.cells(snapshot.fleets[key], snapshot, looks, busy[key])
        )

    def wrong(self, snapshot: Snapshot) -> Collection[str]:
        """The fleets that have a problem."""
        return {each.fleet_id for each in self.fleets_app.problems if each.fleet_id is not None}

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """What kind of fleet it is."""
        fleet = snapshot.fleets.get(key)
        return fleets.summary(fleet, self.looks, snapshot.cordon_of(fleet)) if fleet else ""

    def details(self, key: str) -> Details | None:
        """Its problems, its room, its instances and its last events."""
        snapshot, looks = self.snapshot, self.looks
        fleet = snapshot.fleets.get(key) if snapshot is not None else None
        if snapshot is None or fleet is None:
            return None
        problems = [each for each in self.fleets_app.problems if each.fleet_id == key]
        read = self.fleets_app.events_read
        watch, shown = self.fleets_app.trends, self.is_beside

        def made(width: int, height: int) -> Sequence[Section]:
            parts = details.of_fleet(fleet, snapshot, problems, read, looks, width, height)
            was = trends.section_of_fleet(fleet, watch, looks.glyphs)
            return [*parts[:-1], was, parts[-1]] if shown else parts

        return made

    def open(self, key: str) -> None:
        """Opens the fleet."""
        self.fleets_app.open_fleet(key)

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The fleets' ids by name."""
        return {fleet.name: fleet.id for fleet in snapshot.fleets.values()}

    def fleet_at_hand(self) -> Fleet | None:
        """The fleet under the cursor."""
        key = self.table.cursor_key
        return self.snapshot.fleets.get(key) if self.snapshot and key else None

    def arguments(self, action_id: str) -> Sequence[str]:
        """The templates, besides what every list knows."""
        return list(TEMPLATES) if action_id == "new_fleet" else super().arguments(action_id)

    def focus_on(self) -> None:
        """All fleets are on screen."""
        snapshot = self.snapshot
        self.fleets_app.focus_on(fleets=snapshot.fleets if snapshot else ())


class ServicesScreen(TotalsScreen):
    """Every service of the project that runs or has failed; the others on request."""

    name_of_screen = actions.SERVICES
    columns = services.COLUMNS
    wide = trends.WIDE
    thing = "services"
    BINDINGS = list(actions.bindings(actions.SERVICES))

    _finished = False

    def rows(self, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per service."""
        looks = self.looks
        shown = (service for service in snapshot.services.values() if self._shown(service))
        ordered = sorted(shown, key=lambda s: (s.finished, s.name, s.submitted_at))
        healths, bar = self.fleets_app.lookout.healths, self.table_width >= _WIDE
        problems: dict[str, list[Problem]] = {}
        for problem in self.fleets_app.problems:
            for affected in problem.affects:
                problems.setdefault(affected.name, []).append(problem)
        known = {
            each.id: services.Known(
                desired_of(snapshot, each),
                snapshot.placements.get(each.id),
                healths.get(each.id),
                snapshot.routers.get(each.id),
                problems.get(each.name, ()),
                bar,
                trends.ready(each, self.fleets_app.trends, looks.glyphs),
            )
            for each in ordered
        }
        made_of = {each.id: services.made_of(each, looks, known[each.id]) for each in ordered}
        return self.kept.of(
            made_of, lambda key: services.cells(snapshot.services[key], looks, known[key])
        )

    def wrong(self, snapshot: Snapshot) -> Collection[str]:
        """The services that have failed, or that a problem concerns."""
        return wrong_runs(snapshot, self.fleets_app.problems)

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """Groups, model and what the server last said."""
        service = snapshot.services.get(key)
        return services.summary(service) if service else ""

    def details(self, key: str) -> Details | None:
        """Its problems, its lanes and its last events."""
        snapshot, looks = self.snapshot, self.looks
        service = snapshot.services.get(key) if snapshot is not None else None
        if snapshot is None or service is None:
            return None
        problems = details.problems_of(service, self.fleets_app.problems)
        known = self.fleets_app.lookout.healths.get(key)
        read = self.fleets_app.events_read
        watch, shown = self.fleets_app.trends, self.is_beside

        def made(width: int, _: int) -> Sequence[Section]:
            parts = details.of_service(service, snapshot, known, problems, read, looks, width)
            was = trends.section_of_service(service, watch, looks.glyphs)
            return [*parts[:-1], was, parts[-1]] if shown else parts

        return made

    def open(self, key: str) -> None:
        """Opens the service."""
        self.fleets_app.open_service(key)

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The runs' ids by name; of several runs with one name the one that runs."""
        services = snapshot.services.values()
        return {
            service.name: service.id
            for service in sorted(services, key=lambda s: (not s.finished, s.submitted_at))
        }

    def focus_on(self) -> None:
        """The services that are shown are on screen."""
        snapshot = self.snapshot
        shown = [s.id for s in snapshot.services.values() if self._shown(s)] if snapshot else ()
        self.fleets_app.focus_on(services=shown)

    def empty_text(self) -> str:
        """Tells of services that are there and not shown."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete or not snapshot.services:
            return super().empty_text()
        return f"No service runs in {snapshot.project}. Press a to see those that have ended."

    def service_at_hand(self) -> tuple[str, str] | None:
        """The service under the cursor."""
        key = self.table.cursor_key
        service = self.snapshot.services.get(key) if self.snapshot and key else None
        return (service.name, service.id) if service else None

    def do_finished(self, argument: str) -> None:
        """Shows or hides services that have ended well."""
        self._finished = not self._finished
        self.fill()

    def _shown(self, service: Service) -> bool:
        return self._finished or not service.finished or service.status == "failed"


def wrong_runs(snapshot: Snapshot, problems: Sequence[Problem]) -> Collection[str]:
    """The ids of the runs that have failed, or that a problem concerns."""
    names = {affected.name for problem in problems for affected in problem.affects}
    found = {run_id for problem in problems for run_id in (problem.service_id, *problem.run_ids)}
    failed = {run.id for run in every_run(snapshot) if run.status == "failed"}
    named = {each.id for each in snapshot.services.values() if each.name in names}
    return {each for each in found | named if each is not None} | failed
