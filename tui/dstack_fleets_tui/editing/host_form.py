"""The hosts of an edited SSH fleet as rows, and a host that is typed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.hosts import Host
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.text import one_line
from dstack_placement.engine import mapping
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.inputs.edit_grid import GridCell, GridRow, Place

#: What of a host stands in columns; where it says nothing, the fleet's own holds.
_COLUMNS = ("user", "port", "internal_ip", "blocks", "identity_file")
_HEADS = ("USER", "PORT", "INTERNAL IP", "BLOCKS", "KEY")
_NAME = "host"
_STAYS = "A host that is there keeps its settings. Remove it and apply, then add it again."


def rows(
    edit: FleetEdit, problems: Collection[Problem] = (), glyphs: Glyphs = UNICODE
) -> list[GridRow]:
    """The hosts: those that were there, removed ones too, and then those that are added.

    Args:
        edit: The edit of an SSH fleet.
        problems: What is wrong with it.
        glyphs: The signs to draw.
    """
    heads = [GridCell(key, text, left=True) for key, text in zip(_COLUMNS, _HEADS, strict=True)]
    found = [
        GridRow(
            "head", (GridCell(_NAME, "HOST", editable=True, left=True), *heads), _NAME, heading=True
        )
    ]
    before = {host.name for host in edit.hosts_before}
    left = {host.name for host in edit.hosts}
    new = [host for host in edit.hosts if host.name not in before]
    for host in (*edit.hosts_before, *new):
        note = "" if host.name in before else "added"
        note = note if host.name in left else "removed"
        found.append(_row(edit, host, note, glyphs, wrong=bool(problems)))
    return found


def host_at(edit: FleetEdit, place: Place) -> str | None:
    """The host in a row."""
    names = {host.name for host in (*edit.hosts_before, *edit.hosts)}
    name = place.row.removeprefix(f"{_NAME} ")
    return name if name in names else None


def place_of(name: str) -> Place:
    """Where a host stands."""
    return Place(f"{_NAME} {name}", _NAME)


def typed(edit: FleetEdit, name: str, text: str) -> FleetEdit | Problem:
    """The edit with another host in the place of one that it adds.

    Args:
        edit: The edit before.
        name: The host in whose row it was typed.
        text: The other's name; what was said of the first holds for it, unless it says something.
    """
    text = text.strip()
    if text == name:
        return edit
    if any(host.name == name for host in edit.hosts_before):
        return Problem(FieldName("hosts"), _STAYS)
    was = next(host for host in edit.hosts if host.name == name)
    if len(text.split()) == 1:
        options = (f"{key}={was.values[key]}" for key in _COLUMNS if was.values.get(key))
        text = " ".join([text, *options])
    try:
        return edit.without_host(name).with_host(text)
    except InvalidEditError as error:
        return Problem(FieldName("hosts"), str(error))


def _row(edit: FleetEdit, host: Host, note: str, glyphs: Glyphs, *, wrong: bool) -> GridRow:
    fleet = mapping(edit.configuration.get("ssh_config"))
    style = {"removed": "warn", "added": "accent"}.get(note, "bad" if wrong else "")
    name = GridCell(_NAME, one_line(host.name), editable=True, style=style, left=True)
    values = [host.values.get(key) or _of_fleet(edit, fleet, key) for key in _COLUMNS]
    cells = [
        GridCell(key, one_line(str(value)) if value else glyphs.dash, left=True)
        for key, value in zip(_COLUMNS, values, strict=True)
    ]
    return GridRow(place_of(host.name).row, (name, *cells), _NAME, note=note, note_style=style)


def _of_fleet(edit: FleetEdit, fleet: Any, key: str) -> Any:
    if key == "internal_ip":
        return None
    return edit.configuration.get("blocks") if key == "blocks" else fleet.get(key)
