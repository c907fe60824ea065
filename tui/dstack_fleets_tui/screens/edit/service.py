"""The editor of a running service: its lanes and counts, and beside them what would follow."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from textual.content import Content

from dstack_api_client.edits.base.base import Base, read_service
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.outlook import dryrun
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.plan import surging
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.service import checks, texts
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.edits.service.service import ServiceEdit, what_is_missing
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.labels import in_status
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.editing import form, outlook
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.editor import Begun, EditorScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.words import formatting
from dstack_widgets.inputs.edit_grid import GridRow, Place
from dstack_widgets.panels.findings import Finding


class EditScreen(EditorScreen[ServiceEdit]):
    """Edits one service."""

    name_of_screen = places.EDIT
    BINDINGS = list(actions.bindings(places.EDIT))
    kind = "service"

    async def _read(self, source: Source, snapshot: Snapshot, store: Store) -> Begun[ServiceEdit]:
        base = await read_service(source.client, source.project, self._subject)
        base.refuse_gone()
        edit = ServiceEdit.begin(base, snapshot.capabilities)
        known = snapshot.capabilities
        return Begun(edit, self._drafts.found(lambda: undoing.reopened(store, base, known)))

    def _anew(self, base: Base, spec: dict[str, Any] | None = None) -> ServiceEdit:
        if self.edit is None:
            raise AssertionError("nothing is edited before the service was read")
        known = self.edit.capabilities
        return ServiceEdit.begin(base, known) if spec is None else ServiceEdit(base, known, spec)

    async def _make_plan(self, source: Source, edit: ServiceEdit) -> Plan:
        return await make_plan(source.client, edit, snapshot=self.snapshot)

    def _rows(self, edit: ServiceEdit, problems: Collection[Problem]) -> list[GridRow]:
        return form.rows(edit, problems, self.fleets_app.glyphs)

    def _typed(self, edit: ServiceEdit, field: FieldName, text: str) -> ServiceEdit | Problem:
        return form.typed(edit, field, text)

    def _field_at(self, edit: ServiceEdit, place: Place) -> FieldName:
        return form.field_at(edit, place)

    def _first_place(self, edit: ServiceEdit) -> Place | None:
        return form.first_place(edit)

    def _place_of(self, field: FieldName) -> Place:
        return form.place_of(field)

    def _subject_of(self, field: FieldName) -> str:
        return form.subject(field, self.edit.read.labels if self.edit is not None else {})

    def _problems(self, edit: ServiceEdit) -> Sequence[Problem]:
        snapshot = self.snapshot
        known = checks.known_fleets(snapshot) if snapshot and snapshot.complete else None
        return checks.problems(edit, known)

    def _remarks(self, edit: ServiceEdit) -> Iterable[Finding]:
        for line in checks.warnings(edit):
            yield Finding("warn", "", line)
        if not edit.can_edit_lanes:
            what, how = what_is_missing(edit.capabilities)
            yield Finding("dim", "", f"{what} {how}")

    def _outlook(self, edit: ServiceEdit, snapshot: Snapshot) -> Sequence[Content]:
        found = dryrun.dry_run_here(edit, snapshot)
        if found is None:
            return ()
        changed = difference(edit.base.spec, edit.spec, "service", edit.capabilities)
        found = replace(found, surges=surging.surges(edit, snapshot, changed))
        return outlook.whole(found, self.fleets_app.glyphs)

    def _ended(self, snapshot: Snapshot) -> str | None:
        service = snapshot.services.get(self.key)
        if service is None:
            return f"The service {self._subject} is gone." if snapshot.complete else None
        if service.gone:
            return f"The service {self._subject} {in_status(service.status)}."
        return None

    def _told_of(self, base: Base) -> str:
        return f"deployment {base.deployment}, "

    def _text(self, edit: ServiceEdit) -> str:
        return texts.as_text(edit)

    async def _with_text(self, source: Source, edit: ServiceEdit, text: str) -> ServiceEdit:
        return await texts.with_text(source.client, edit, text, os.environ)

    # Actions ------------------------------------------------------------------------------

    def _pool_and_lane(self) -> tuple[str, str | None]:
        """The pool under the cursor and, where the cursor is on a lane, its fleet."""
        field = self._field()
        if field is None or self.edit is None:
            return "", None
        if field.fleet is not None:
            return field.pool, field.fleet
        return (field.pool if field.pool in self.edit.pools else ""), None

    def _move(self, by: int) -> None:
        pool, fleet = self._pool_and_lane()
        if fleet is None:
            self.notify("Put the cursor on a lane to move it.", markup=False)
        else:
            self._try(lambda edit: edit.move_lane(pool, fleet, by))

    def do_lane_up(self, argument: str) -> None:
        """Has a lane filled earlier."""
        self._move(-1)

    def do_lane_down(self, argument: str) -> None:
        """Has a lane filled later."""
        self._move(1)

    def do_add_lane(self, argument: str) -> None:
        """Adds a lane: of the named fleet, or of one that is picked."""
        edit, snapshot = self.edit, self.snapshot
        if edit is None or snapshot is None:
            return
        if not edit.can_edit_lanes:
            self.notify(" ".join(what_is_missing(edit.capabilities)), markup=False)
            return
        pool, _ = self._pool_and_lane()

        def add(fleet: str | None) -> None:
            if fleet is not None and self._try(lambda edit: edit.add_lane(pool, fleet)):
                self.grid.go_to(form.place_of(FieldName("priority", pool, fleet)))

        names = form.addable(edit, pool, checks.known_fleets(snapshot))
        if argument:
            add(argument)
        elif names:
            about = [(name, self._about(name)) for name in names]
            called = edit.read.labels.get(pool, pool)
            title = f"Add a lane to {called or self._subject}"
            self.app.push_screen(PickScreen(title, about, ascii_only=self._ascii), add)
        else:
            self.notify("Every fleet of the project has a lane already.", markup=False)

    def _about(self, name: str) -> str:
        fleet = self.snapshot.fleet_named(name) if self.snapshot else None
        if fleet is None:
            return ""
        nodes = formatting.span(fleet.nodes_min, fleet.nodes_max)
        gpus = f"{fleet.gpu_name} {formatting.count(fleet.gpus_busy)}/" if fleet.gpu_name else ""
        total = formatting.count(fleet.gpus_total) if fleet.gpu_name else ""
        return f"{fleet.kind}  nodes {nodes}  {gpus}{total}".rstrip()

    def do_remove_lane(self, argument: str) -> None:
        """Removes the lane under the cursor."""
        pool, fleet = self._pool_and_lane()
        if fleet is None:
            self.notify("Put the cursor on a lane to remove it.", markup=False)
        else:
            self._try(lambda edit: edit.remove_lane(pool, fleet))

    def do_own_lanes(self, argument: str) -> None:
        """Gives the group under the cursor lanes of its own, or takes them away."""
        field = self._field()
        group = next(
            (g for g in (self.edit.groups if self.edit else ()) if field and g.name == field.pool),
            None,
        )
        if group is None or not group.named:
            self.notify("Put the cursor on a replica group.", markup=False)
        else:
            self._try(lambda edit: edit.with_own_lanes(group.name, own=not group.own_lanes))
