"""The edit of a service as rows of fields, and what is typed into a field as an edit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from dstack_api_client.analysis.spot_policies import PolicySource, SpotPolicy, inherited
from dstack_api_client.edits.service import assignments
from dstack_api_client.edits.service.checks import (
    FieldName,
    Problem,
    lane_value,
    replica_range,
    whole_number,
)
from dstack_api_client.edits.service.service import SERVICE, GroupView, ServiceEdit
from dstack_api_client.model.labels import lane_name
from dstack_fleets_tui.words import formatting
from dstack_placement.engine import LANE_COLUMNS, ONLY_GROUP, Lane, LaneField, Reclaim, mapping
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.inputs.edit_grid import GridCell, GridRow, Place

#: What a full fleet does for a minimum.
_RECLAIMS = {
    Reclaim.OFF: "",
    Reclaim.LOWER: "minimums take places from services of lower priority",
    Reclaim.ANY: "minimums take places from any service",
}
#: The section of all lanes: they share their columns.
_LANES = "lanes"
_SPOT_POLICIES = tuple(policy.value for policy in SpotPolicy)


def rows(
    edit: ServiceEdit, problems: Collection[Problem] = (), glyphs: Glyphs = UNICODE
) -> list[GridRow]:
    """The fields of an edit.

    Args:
        edit: The edit.
        problems: What is wrong with it; the fields they are about are marked.
        glyphs: The signs to draw.
    """
    wrong = {problem.field for problem in problems}
    found = [*_of_groups(edit, wrong, glyphs), _of_run(edit, wrong)]
    if edit.knows_reclaim or FieldName("reclaim") in wrong:
        found.append(_of_reclaim(edit, wrong))
    found += [GridRow("gap lanes", ()), _head_of_lanes(edit)]
    return found + [row for pool in edit.pools for row in _of_pool(edit, pool, wrong, glyphs)]


def first_place(edit: ServiceEdit) -> Place | None:
    """Where the cursor is at first: on the lane that is filled first; None without lanes."""
    lanes = [(pool, lane) for pool in edit.pools for lane in edit.filled(pool)]
    if not lanes or not edit.can_edit_lanes:
        return None
    pool, lane = lanes[0]
    return place_of(FieldName(LANE_COLUMNS[0].name, pool, lane.fleet))


def typed(edit: ServiceEdit, field: FieldName, text: str) -> ServiceEdit | Problem:
    """The edit with what was typed into a field, or what is wrong with the text.

    Args:
        edit: The edit before.
        field: Which field.
        text: What was typed; nothing stands for the default.

    Raises:
        EditError: The server can't change that.
    """
    text = text.strip()
    if field.name == "replicas":
        counts = replica_range(text, field.pool)
        if isinstance(counts, Problem):
            return counts
        return edit.with_replicas(field.pool or ONLY_GROUP, *counts)
    if field.name == "spot_policy":
        inherits = text in ("", "default", _inherited(edit))
        return edit.with_group(field.pool, spot_policy=None if inherits else text)
    if field.name == "reservation":
        inherits = text == _inherited_reservation(edit)
        return edit.with_group(field.pool, reservation=None if inherits else text or None)
    if field.name == "reclaim":
        return assignments.with_reclaim(edit, text)
    if field.name == "run_priority":
        number = whole_number(text, field)
        return number if isinstance(number, Problem) else edit.with_priority(number or 0)
    value = lane_value(text, field)
    if isinstance(value, Problem):
        return value
    return edit.with_lane(field.pool, field.fleet or "", **{field.name: value})


def place_of(field: FieldName) -> Place:
    """Where a field stands in the grid."""
    if field.fleet is not None:
        return Place(f"lane {field.pool} {field.fleet}", field.name)
    if field.name == "run_priority":
        return Place("run", field.name)
    if field.name == "reclaim":
        return Place("reclaim", field.name)
    return Place(f"group {field.pool}", field.name)


def field_at(edit: ServiceEdit, place: Place) -> FieldName:
    """Which field stands at a place of the grid."""
    if place.row == "run":
        return FieldName("run_priority")
    if place.row == "reclaim":
        return FieldName("reclaim")
    for pool in edit.pools:
        for lane in edit.lanes(pool):
            if place.row == f"lane {pool} {lane.fleet}":
                return FieldName(place.cell, pool, lane.fleet)
    return FieldName(place.cell, place.row.removeprefix("group "))


def subject(field: FieldName, labels: Mapping[str, str]) -> str:
    """What a line about a field is about.

    Args:
        field: The field.
        labels: What the groups are called, by name.
    """
    if field.fleet is not None:
        return lane_name(field.pool, field.fleet, labels)
    pool = labels.get(field.pool, field.pool)
    return {"run_priority": "priority", "": ""}.get(field.name, pool or field.name)


def _head_of_lanes(edit: ServiceEdit) -> GridRow:
    titles = (GridCell(each.name, each.title, editable=True) for each in LANE_COLUMNS)
    head = _behind_first(GridCell("fleet", "FLEET", left=True), titles)
    groups = (GridCell("group", "GROUP", left=True),) if _has_groups(edit) else ()
    return GridRow("head lanes", (*groups, *head), _LANES, heading=True)


def _has_groups(edit: ServiceEdit) -> bool:
    return any(group.named for group in edit.groups)


def _whose(edit: ServiceEdit, pool: str) -> tuple[GridCell, ...]:
    """Which groups have the lanes of a pool, in a cell where there are groups."""
    if not _has_groups(edit):
        return ()
    labels = edit.read.labels
    shared = [labels.get(each.name, each.name) for each in edit.groups if not each.own_lanes]
    whose = "all" if len(shared) == len(edit.groups) else ", ".join(shared) or "no group"
    text = labels.get(pool, pool) if pool else whose
    return (GridCell("group", text, left=True),)


def _of_pool(
    edit: ServiceEdit, pool: str, wrong: Collection[FieldName], glyphs: Glyphs
) -> Iterator[GridRow]:
    lanes = edit.filled(pool)
    for lane in lanes:
        yield _of_lane(edit, pool, lane, wrong, glyphs)
    there = {lane.fleet for lane in lanes}
    for lane in edit.begun.filled(pool):
        if lane.fleet not in there:
            yield _gone(edit, lane, pool, glyphs)
    if not lanes:
        text = "no lanes: dstack puts all replicas into one fleet that has room"
        yield GridRow(f"none {pool}", _whose(edit, pool), f"none {pool}", note=text)


def _of_lane(
    edit: ServiceEdit,
    pool: str,
    lane: Lane,
    wrong: Collection[FieldName],
    glyphs: Glyphs,
) -> GridRow:
    was = edit.lane_before(pool, lane.fleet)

    def cell(field: LaneField) -> GridCell:
        name = FieldName(field.name, pool, lane.fleet)
        changed = was is None or lane.value(field) != was.value(field)
        # A sum over the lanes is the affair of each of them.
        bad = name in wrong or FieldName(field.name, pool) in wrong
        style = "bad" if bad else "accent" if changed else ""
        text = _value(lane, field, glyphs)
        return GridCell(field.name, text, edit.can_edit_lanes, style, number=True)

    bad = FieldName("fleet", pool, lane.fleet) in wrong
    style = "bad" if bad else "accent" if was is None else ""
    return GridRow(
        f"lane {pool} {lane.fleet}",
        (
            *_whose(edit, pool),
            *_behind_first(
                GridCell("fleet", lane.fleet, style=style, left=True), map(cell, LANE_COLUMNS)
            ),
        ),
        _LANES,
        note=_was(lane, was, glyphs),
    )


def _behind_first(fleet: GridCell, cells: Iterable[GridCell]) -> tuple[GridCell, ...]:
    """A lane's cells: its priority, its fleet, and the rest."""
    first, *rest = cells
    return (first, fleet, *rest)


def _value(lane: Lane, field: LaneField, glyphs: Glyphs) -> str:
    value = lane.value(field)
    return glyphs.dash if value is None else str(value)


def _was(lane: Lane, was: Lane | None, glyphs: Glyphs) -> str:
    if was is None:
        return "added"
    parts = [
        f"{field.short} {_value(was, field, glyphs)}"
        for field in LANE_COLUMNS
        if was.value(field) != lane.value(field)
    ]
    return f"was {', '.join(parts)}" if parts else ""


def _gone(edit: ServiceEdit, lane: Lane, pool: str, glyphs: Glyphs) -> GridRow:
    cells = (
        GridCell(field.name, f" {_value(lane, field, glyphs)} ", style="dim")
        for field in LANE_COLUMNS
    )
    fleet = GridCell("fleet", lane.fleet, style="dim", left=True)
    row = (*_whose(edit, pool), *_behind_first(fleet, cells))
    return GridRow(f"gone {pool} {lane.fleet}", row, _LANES, note="removed")


def _of_groups(
    edit: ServiceEdit, wrong: Collection[FieldName], glyphs: Glyphs
) -> Iterator[GridRow]:
    before = {group.name: group for group in edit.begun.groups}
    named = _has_groups(edit)
    if named:
        head = (
            GridCell("group", "GROUP", left=True),
            GridCell("replicas", "REPL", editable=True),
            GridCell("spot_policy", "SPOT", editable=True, left=True),
            GridCell("reservation", "RESERVATION", editable=True, left=True),
        )
        yield GridRow("head groups", head, "groups", heading=True)
    labels = edit.read.labels if named else {}
    for group in edit.groups:
        label = labels.get(group.name, group.name)
        yield _of_group(edit, group, before.get(group.name), wrong, glyphs, label)


def _of_group(
    edit: ServiceEdit,
    group: GroupView,
    was: GroupView | None,
    wrong: Collection[FieldName],
    glyphs: Glyphs,
    label: str,
) -> GridRow:
    pool = group.name if group.named else SERVICE

    def cell(name: str, text: str, old: str | None, **more: object) -> GridCell:
        style = "bad" if FieldName(name, pool) in wrong else "accent" if text != old else ""
        return GridCell(name, text, True, style, **more)  # type: ignore[arg-type]

    cells = [
        GridCell("group", label if group.named else "replicas", left=True),
        cell("replicas", _counts(group), _counts(was) if was else None, number=True),
    ]
    if group.named:
        cells.append(_policy(edit, group, was, wrong))
        cells.append(_reservation(edit, group, was, wrong, glyphs))
    notes = ["router"] if group.router and label == group.name else []
    if was is not None and _counts(was) != _counts(group):
        notes.append(f"was {_counts(was)}")
    return GridRow(f"group {pool}", tuple(cells), "groups", note=", ".join(notes))


def _policy(
    edit: ServiceEdit, group: GroupView, was: GroupView | None, wrong: Collection[FieldName]
) -> GridCell:
    """The spot policy in force, and where it comes from unless the group states it."""
    default = _inherited(edit)
    before = edit.begun
    text = group.spot_policy or default
    old = (was.spot_policy or _inherited(before)) if was else None
    style = "accent" if text != old else ""
    if FieldName("spot_policy", group.name) in wrong:
        style = "bad"
    # dstack takes no policy of a group beside one of the service.
    own = edit.configuration.get("spot_policy") is None or group.spot_policy is not None
    choices = (default, *_SPOT_POLICIES) if own else ()
    return GridCell("spot_policy", text, own, style, choices=choices, left=True)


def _reservation(
    edit: ServiceEdit,
    group: GroupView,
    was: GroupView | None,
    wrong: Collection[FieldName],
    glyphs: Glyphs,
) -> GridCell:
    """The reservation in force, and where it comes from unless the group states it."""
    text = group.reservation or _inherited_reservation(edit) or glyphs.dash
    before = edit.begun
    old = (was.reservation or _inherited_reservation(before) or glyphs.dash) if was else None
    style = "accent" if text != old else ""
    if FieldName("reservation", group.name) in wrong:
        style = "bad"
    # dstack takes no reservation of a group beside one of the service.
    own = edit.configuration.get("reservation") is None or group.reservation is not None
    return GridCell("reservation", text, own, style, left=True)


def _inherited_reservation(edit: ServiceEdit) -> str:
    """What a group takes that says nothing: `cr-1 (service)`; empty for none."""
    for source, owner in (
        (PolicySource.SERVICE, edit.configuration),
        (PolicySource.PROFILE, mapping(edit.spec.get("profile"))),
    ):
        reservation = owner.get("reservation")
        if reservation:
            return f"{reservation} ({source.value})"
    return ""


def _inherited(edit: ServiceEdit) -> str:
    """What a group takes that says nothing: `on-demand (default)`, `spot (service)`."""
    policy = inherited(edit.spec)
    return f"{policy.value.value} ({policy.source.value})"


def _of_run(edit: ServiceEdit, wrong: Collection[FieldName]) -> GridRow:
    was = edit.begun.run_priority
    changed = was != edit.run_priority
    style = "bad" if FieldName("run_priority") in wrong else "accent" if changed else ""
    name = "priority" if len(edit.groups) == 1 else "run priority"
    return GridRow(
        "run",
        (
            GridCell("group", name, left=True),
            GridCell("run_priority", str(edit.run_priority), True, style, number=True),
        ),
        "groups",
        note=f"was {was}" if changed else "",
    )


def _of_reclaim(edit: ServiceEdit, wrong: Collection[FieldName]) -> GridRow:
    """From which services its minimums take places."""
    was = ServiceEdit.begin(edit.base, edit.capabilities).reclaim
    changed = was is not edit.reclaim
    style = "bad" if FieldName("reclaim") in wrong else "accent" if changed else ""
    choices = tuple(each.value for each in Reclaim)
    cell = GridCell("reclaim", edit.reclaim.value, True, style, choices=choices, left=True)
    note = f"was {was.value}" if changed else _RECLAIMS[edit.reclaim]
    return GridRow("reclaim", (GridCell("group", "reclaim", left=True), cell), "groups", note=note)


def addable(edit: ServiceEdit, pool: str, known: Collection[str]) -> Sequence[str]:
    """The fleets that can get a lane."""
    there = {lane.fleet for lane in edit.lanes(pool)}
    return sorted(fleet for fleet in known if fleet not in there)


def _counts(group: GroupView) -> str:
    return formatting.span(group.least, group.greatest)
