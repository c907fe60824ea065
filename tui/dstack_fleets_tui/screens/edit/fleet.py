"""The editor of a fleet, and beside the fields what would follow.

Of a cloud fleet it shows how many instances of what, of an SSH fleet its hosts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from textual.content import Content

from dstack_api_client.edits.base.base import Base, read_fleet
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan, effects_of
from dstack_api_client.edits.outlook.warnings import Risk
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.labels import in_status
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.editing import fleet_form, fleet_outlook, host_form
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.editor import Begun, EditorScreen
from dstack_widgets.inputs.command_line import CommandLine
from dstack_widgets.inputs.edit_grid import GridRow, Place
from dstack_widgets.panels.findings import Finding

_WEIGHTS = {Risk.NOTE: "dim", Risk.WARNING: "warn", Risk.DANGER: "bad"}
#: What is only done with hosts.
_OF_HOSTS = ("add_host", "remove_host")
_NO_HOSTS = "The server starts and ends the instances of this fleet: change their number."


class FleetEditScreen(EditorScreen[FleetEdit]):
    """Edits one fleet."""

    name_of_screen = places.FLEET_EDIT
    BINDINGS = list(actions.bindings(places.FLEET_EDIT))
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
        rows = host_form.rows if edit.is_ssh else fleet_form.rows
        return rows(edit, problems, self.fleets_app.glyphs)

    def _typed(self, edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
        if field.fleet is not None:
            return host_form.typed(edit, field.fleet, text)
        return fleet_form.typed(edit, field, text)

    def _field_at(self, edit: FleetEdit, place: Place) -> FieldName:
        return FieldName(place.cell, fleet=host_form.host_at(edit, place))

    def _place_of(self, field: FieldName) -> Place:
        if self.edit is not None and self.edit.is_ssh:
            return self.grid.place or Place("", "")
        return fleet_form.place_of(field)

    def _subject_of(self, field: FieldName) -> str:
        return field.name

    def _problems(self, edit: FleetEdit) -> Sequence[Problem]:
        return edit.problems()

    def _remarks(self, edit: FleetEdit) -> Iterable[Finding]:
        found = effects_of(edit, self.snapshot) if self.snapshot is not None else None
        for warning in found.warnings if found is not None else ():
            yield Finding(_WEIGHTS[warning.risk], "", warning.line)

    def _outlook(self, edit: FleetEdit, snapshot: Snapshot) -> Sequence[Content]:
        found = effects_of(edit, snapshot)
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

    # Actions ------------------------------------------------------------------------------

    def footer_keys(self) -> list[tuple[str, str]]:
        """Without those of hosts where there are none."""
        found = super().footer_keys()
        if self._has_hosts:
            return found
        titles = {actions.BY_ID[action].title for action in _OF_HOSTS}
        return [each for each in found if each[1] not in titles]

    @property
    def _has_hosts(self) -> bool:
        return self.edit is not None and self.edit.is_ssh

    def do_add_host(self, argument: str) -> None:
        """Adds a host, whose name is typed in the command line."""
        if not self._has_hosts:
            self.notify(_NO_HOSTS, markup=False)
        elif not argument:
            self.query_one(CommandLine).open("add_host ")
        elif self._try(lambda edit: edit.with_host(argument)):
            self.grid.go_to(host_form.place_of(argument.split()[0]))

    def do_remove_host(self, argument: str) -> None:
        """Removes the host under the cursor, or puts it back."""
        if not self._has_hosts or self.edit is None:
            self.notify(_NO_HOSTS, markup=False)
            return
        place = self.grid.place
        name = host_form.host_at(self.edit, place) if place is not None else None
        if name is None:
            self.notify("Put the cursor on a host to remove it.", markup=False)
        elif any(host.name == name for host in self.edit.hosts):
            self._try(lambda edit: edit.without_host(name))
        else:
            self._try(lambda edit: edit.with_host(name))
