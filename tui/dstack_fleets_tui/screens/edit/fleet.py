"""The editor of a cloud fleet: how many instances of what, and beside it what would follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from textual.content import Content

from dstack_api_client.edits.base.base import Base, read_fleet
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleet_effects import effects
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.outlook.warnings import Risk
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.labels import in_status
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.editing import fleet_form, fleet_outlook
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.editor import Begun, EditorScreen
from dstack_widgets.inputs.edit_grid import GridRow, Place
from dstack_widgets.panels.findings import Finding


class FleetEditScreen(EditorScreen[FleetEdit]):
    """Edits one cloud fleet."""

    name_of_screen = actions.FLEET_EDIT
    BINDINGS = list(actions.bindings(actions.FLEET_EDIT))
    kind = "fleet"

    async def _read(self, source: Source, snapshot: Snapshot, store: Store) -> Begun[FleetEdit]:
        base = await read_fleet(source.client, source.project, self._subject)
        base.refuse_gone()
        draft = self._drafts.found(lambda: undoing.reopened_fleet(store, base))
        return Begun(FleetEdit.begin(base), draft)

    def _anew(self, base: Base, spec: dict[str, Any] | None = None) -> FleetEdit:
        return FleetEdit(base, base.spec if spec is None else spec)

    async def _make_plan(self, source: Source, edit: FleetEdit) -> FleetPlan:
        return await fleets.plan_fleet(source.client, edit, snapshot=self.snapshot)

    def _rows(self, edit: FleetEdit, problems: Collection[Problem]) -> list[GridRow]:
        return fleet_form.rows(edit, problems, self.fleets_app.glyphs)

    def _typed(self, edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
        return fleet_form.typed(edit, field, text)

    def _field_at(self, edit: FleetEdit, place: Place) -> FieldName:
        return FieldName(place.cell)

    def _place_of(self, field: FieldName) -> Place:
        return fleet_form.place_of(field)

    def _subject_of(self, field: FieldName) -> str:
        return field.name

    def _problems(self, edit: FleetEdit) -> Sequence[Problem]:
        return edit.problems()

    def _remarks(self, edit: FleetEdit) -> Iterable[Finding]:
        found = effects(edit, self.snapshot) if self.snapshot is not None else None
        for warning in found.warnings if found is not None else ():
            yield Finding("dim" if warning.risk is Risk.NOTE else "warn", "", warning.line)

    def _outlook(self, edit: FleetEdit, snapshot: Snapshot) -> Sequence[Content]:
        found = effects(edit, snapshot)
        return fleet_outlook.whole(found, self.fleets_app.glyphs) if found is not None else ()

    def _ended(self, snapshot: Snapshot) -> str | None:
        fleet = snapshot.fleets.get(self.key)
        if fleet is None:
            return f"The fleet {self._subject} is gone." if snapshot.complete else None
        if fleet.status in ("terminating", "terminated"):
            return f"The fleet {self._subject} {in_status(fleet.status)}."
        return None

    def _told_of(self, base: Base) -> str:
        return ""

    def _text(self, edit: FleetEdit) -> str:
        return fleets.as_text(edit)

    async def _with_text(self, source: Source, edit: FleetEdit, text: str) -> FleetEdit:
        return await fleets.with_text(source.client, edit, text)
