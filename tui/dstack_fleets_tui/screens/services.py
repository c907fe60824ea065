"""The list of services."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dstack_api_client.analysis.health import desired_of, lost_parts
from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.reach import serving_of
from dstack_api_client.model.every_run import every_run
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.screens.lists import TotalsScreen
from dstack_fleets_tui.tables import details, services, trends
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.panels.detail_pane import Details, Section
from dstack_widgets.table.cells import Cells


class ServicesScreen(TotalsScreen):
    """Every service of the project that runs or has failed; the others on request."""

    name_of_screen = places.SERVICES
    columns = services.COLUMNS
    wide = trends.WIDE
    thing = "service"
    BINDINGS = list(actions.bindings(places.SERVICES))

    _finished = False

    def __init__(self) -> None:
        super().__init__()
        self._added: dict[str, tuple[object, dict[str, tuple[int, int, Sequence[str]]]]] = {}

    def rows(self, session: Session, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per service."""
        looks, watch, lookout = self.looks_of(session), session.trends, session.lookout
        parts = (
            *(snapshot.timeless(), lookout.problems, lookout.healths, watch, watch.version),
            *(looks.glyphs, self._finished),
        )

        def made(moment: Moment) -> Mapping[str, Cells]:
            return self._rows(session, snapshot, replace(looks, moment=moment))

        return self.kept(session).whole(parts, looks.at, made)

    def _rows(self, session: Session, snapshot: Snapshot, looks: Looks) -> Mapping[str, Cells]:
        shown = (service for service in snapshot.services.values() if self._shown(service))
        ordered = sorted(shown, key=lambda s: (s.finished, s.name, s.submitted_at))
        healths = session.lookout.healths
        problems: dict[str, list[Problem]] = {}
        for problem in session.problems:
            for affected in problem.affects:
                problems.setdefault(affected.name, []).append(problem)
        # Trends and ages go on: what of the replicas is shown beside them need not be added up.
        timeless = snapshot.timeless()
        of, added = self._added.get(session.project, (None, {}))
        if of != timeless:
            added = {}
            self._added[session.project] = timeless, added
        for each in ordered:
            if each.id not in added:
                added[each.id] = (
                    desired_of(snapshot, each),
                    serving_of(snapshot, each),
                    lost_parts(snapshot, each),
                )
        known = {
            each.id: services.Known(
                added[each.id][0],
                added[each.id][1],
                snapshot.placements.get(each.id),
                healths.get(each.id),
                snapshot.routers.get(each.id),
                problems.get(each.name, ()),
                trends.ready(each, session.trends, looks.glyphs),
                trends.price(each, session.trends, looks.glyphs),
                added[each.id][2],
            )
            for each in ordered
        }
        made_of = {each.id: services.made_of(each, looks, known[each.id]) for each in ordered}
        return self.kept(session).of(
            made_of, lambda key: services.cells(snapshot.services[key], looks, known[key])
        )

    def wrong(self, snapshot: Snapshot, problems: Sequence[Problem]) -> Collection[str]:
        """The services that have failed, or that a problem concerns."""
        return wrong_runs(snapshot, problems)

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """Groups, model and what the server last said."""
        service = snapshot.services.get(key)
        return services.summary(service) if service else ""

    def details_of(
        self, session: Session, snapshot: Snapshot, key: str, looks: Looks
    ) -> Details | None:
        """Its problems, its lanes and its last events."""
        service = snapshot.services.get(key)
        if service is None:
            return None
        problems = details.problems_of(service, session.problems)
        known = session.lookout.healths.get(key)
        read = session.events
        watch, shown = session.trends, self.is_beside

        def made(width: int, _: int) -> Sequence[Section]:
            parts = details.of_service(service, snapshot, known, problems, read, looks, width)
            if shown:
                parts.insert(-1, trends.section_of_service(service, watch, looks.glyphs))
            return parts

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

    def tell_feed(self, session: Session, snapshot: Snapshot) -> None:
        """The services that are shown are on screen."""
        shown = [each.id for each in snapshot.services.values() if self._shown(each)]
        session.focus(services=shown)

    def empty_text(self) -> str:
        """Tells of services that are there and not shown."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete or not snapshot.services:
            return super().empty_text()
        return f"No service runs in {snapshot.project}. Press a to see those that have ended."

    def service_at_hand(self) -> tuple[str, str] | None:
        """The service under the cursor."""
        key = self.own_key
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
