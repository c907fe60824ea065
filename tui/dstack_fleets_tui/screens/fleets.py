"""The list of fleets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.edits.fleet.new_fleets import TEMPLATES
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.screens.lists import TotalsScreen
from dstack_fleets_tui.tables import details, fleets, trends
from dstack_fleets_tui.tables.kept_rows import KeptRows
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.panels.detail_pane import Details, Section
from dstack_widgets.table.cells import Cells


class FleetsScreen(TotalsScreen):
    """Every fleet of the project."""

    name_of_screen = places.FLEETS
    columns = fleets.COLUMNS
    wide = trends.WIDER
    thing = "fleet"
    BINDINGS = list(actions.bindings(places.FLEETS))

    def __init__(self) -> None:
        super().__init__()
        self._members: dict[str, fleets.Members] = {}
        self._with_trends: dict[str, KeptRows[tuple[object, ...]]] = {}

    def rows(self, session: Session, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per fleet."""
        looks, watch = self.looks_of(session), session.trends
        parts = (fleets.all_made_of(snapshot, looks), watch, watch.version)

        def made(moment: Moment) -> Mapping[str, Cells]:
            return self._rows(session, snapshot, replace(looks, moment=moment))

        return self.kept(session).whole(parts, looks.at, made)

    def _rows(self, session: Session, snapshot: Snapshot, looks: Looks) -> Mapping[str, Cells]:
        glyphs, watch = looks.glyphs, session.trends
        was = {
            key: fleets.Was(trends.busy(fleet, watch, glyphs), trends.price(fleet, watch, glyphs))
            for key, fleet in snapshot.fleets.items()
        }
        members = self._members.setdefault(session.project, fleets.Members())
        made_of = {
            key: fleets.made_of(fleet, snapshot, looks, members.of(fleet, snapshot))
            for key, fleet in snapshot.fleets.items()
        }
        rows = self.kept(session).of(
            made_of, lambda key: fleets.cells(snapshot.fleets[key], snapshot, looks)
        )
        # A step that ends changes trends, and nothing else of a row.
        kept = self._with_trends.setdefault(session.project, KeptRows())
        parts = {key: (row, was[key]) for key, row in rows.items()}
        return kept.of(parts, lambda key: fleets.with_trends(rows[key], was[key]))

    def wrong(self, snapshot: Snapshot, problems: Sequence[Problem]) -> Collection[str]:
        """The fleets that have a problem."""
        return {each.fleet_id for each in problems if each.fleet_id is not None}

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """What kind of fleet it is."""
        fleet = snapshot.fleets.get(key)
        return fleets.summary(fleet, self.looks, snapshot.cordon_of(fleet)) if fleet else ""

    def details_of(
        self, session: Session, snapshot: Snapshot, key: str, looks: Looks
    ) -> Details | None:
        """Its problems, its room, its instances and its last events."""
        fleet = snapshot.fleets.get(key)
        if fleet is None:
            return None
        problems = [each for each in session.problems if each.fleet_id == key]
        read = session.events
        watch, shown = session.trends, self.is_beside

        def made(width: int, height: int) -> Sequence[Section]:
            parts = details.of_fleet(fleet, snapshot, problems, read, looks, width, height)
            if shown:
                parts.insert(-1, trends.section_of_fleet(fleet, watch, looks.glyphs))
            return parts

        return made

    def open(self, key: str) -> None:
        """Opens the fleet."""
        self.fleets_app.open_fleet(key)

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The fleets' ids by name."""
        return {fleet.name: fleet.id for fleet in snapshot.fleets.values()}

    def fleet_at_hand(self) -> Fleet | None:
        """The fleet under the cursor."""
        key = self.own_key
        return self.snapshot.fleets.get(key) if self.snapshot and key else None

    def arguments(self, action_id: str) -> Sequence[str]:
        """The templates, besides what every list knows."""
        return list(TEMPLATES) if action_id == "new_fleet" else super().arguments(action_id)

    def tell_feed(self, session: Session, snapshot: Snapshot) -> None:
        """All fleets are on screen."""
        session.focus(fleets=snapshot.fleets)
