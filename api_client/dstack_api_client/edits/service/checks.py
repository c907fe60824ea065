"""What is wrong with an edit, each line with the field that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.edits.service.service import (
    LANE_FIELDS,
    SERVICE,
    GroupView,
    ServiceEdit,
    no_reclaim,
)
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement import engine
from dstack_placement.engine import (
    LANE_COLUMNS,
    Code,
    Lane,
    LanesError,
    LaneValue,
    Line,
    accepted,
    bounded,
    check_counts,
    check_known,
    code_of,
    parse_lanes,
    shortened,
    twice,
)

#: What dstack takes for a run's priority.
PRIORITIES = range(101)
#: Most replicas of a group or a lane, and most instances of a fleet, that can be planned.
MOST = 10_000
_SPOT_POLICIES = ("spot", "on-demand", "auto")
_RANGE = re.compile(r"(?P<least>[0-9]+)(?:\s*\.\.\s*(?P<greatest>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class FieldName:
    """A field of the editor.

    Attributes:
        name: One of a lane's fields, or `fleet`; `replicas`, `spot_policy`, `reservation`;
            `run_priority`, `reclaim`; empty for what is about the whole service.
        pool: The pool of a lane's field; of a group's field the group; empty for the service's.
        fleet: The lane; None for what is about all lanes of the pool, or about no lane.
    """

    name: str
    pool: str = SERVICE
    fleet: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: an edit with one can't be planned."""

    field: FieldName
    line: str
    """What is wrong and what to do."""


def too_many(edit: ServiceEdit) -> str | None:
    """Why what would happen can't be worked out: a service of more replicas than can be planned."""
    counts = [
        count
        for group in edit.groups
        for count in (group.least, group.greatest)
        if isinstance(count, int)
    ]
    if max(counts, default=0) <= MOST:
        return None
    return f"More than {MOST} replicas can't be planned here. Use `dstack apply`."


def known_fleets(snapshot: Snapshot) -> frozenset[str]:
    """The fleets that the project's lanes may name, as they name them."""
    return frozenset(fleet.name for fleet in snapshot.fleets.values())


def problems(edit: ServiceEdit, known: Collection[str] | None = None) -> tuple[Problem, ...]:
    """All that is wrong with an edit.

    Args:
        edit: The edit.
        known: The fleets that exist; None where they are not known, and names are not checked.
    """
    found = [*_of_counts(edit)]
    if edit.can_edit_lanes:
        for pool in edit.pools:
            found += _of_pool(edit, pool, known)
        found += _of_the_rest(edit, known, {problem.line for problem in found})
    if edit.configuration.get("reclaim") is not None and not edit.knows_reclaim:
        found.append(Problem(FieldName("reclaim"), " ".join(no_reclaim(edit.capabilities))))
    priority = edit.configuration.get("priority")
    if priority is not None and priority not in PRIORITIES:
        found.append(
            Problem(
                FieldName("run_priority"),
                f"The run's priority is {priority}. Write {PRIORITIES[0]} to {PRIORITIES[-1]}.",
            )
        )
    return tuple(found)


def warnings(edit: ServiceEdit) -> tuple[str, ...]:
    """What the engine says of lanes that are allowed and still worth a second look."""
    if not edit.can_edit_lanes:
        return ()
    try:
        return edit.accepted.warnings
    except LanesError:
        return ()


def whole_number(text: str, name: FieldName, *, empty: int | None = None) -> int | Problem | None:
    """Reads what was typed into a field for a number.

    Args:
        text: What was typed.
        name: The field.
        empty: What nothing stands for.

    Returns:
        The number, or what is wrong.
    """
    value = engine.whole_number(text, MOST, empty)
    return Problem(name, value) if isinstance(value, Line) else value


def lane_value(text: str, name: FieldName) -> LaneValue | Problem | None:
    """Reads what was typed into a field of a lane; nothing stands for the field's default."""
    field = next(each for each in LANE_COLUMNS if each.name == name.name)
    value = field.typed(text, MOST)
    return Problem(name, value) if isinstance(value, Line) else value


def replica_range(text: str, group: str = SERVICE) -> tuple[int, int] | Problem:
    """Reads a replica count or range: `3`, `3..10`."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return Problem(
            FieldName("replicas", group),
            f"{shortened(text.strip())!r} is not a replica count. Write a number, or a range such"
            " as 3..10.",
        )
    least = bounded(match["least"], MOST)
    greatest = least if match["greatest"] is None else bounded(match["greatest"], MOST)
    if least is None or greatest is None:
        return Problem(
            FieldName("replicas", group),
            f"{shortened(text.strip())} are too many replicas. Write {MOST} or less.",
        )
    if greatest < least:
        return Problem(
            FieldName("replicas", group),
            f"The range {least}..{greatest} goes down. Write the smaller number first.",
        )
    return least, greatest


def _of_counts(edit: ServiceEdit) -> Iterator[Problem]:
    service = edit.base.resource.get("service")
    url = service.get("url") if isinstance(service, Mapping) else None
    has_gateway = not (isinstance(url, str) and url.startswith("/"))
    before = {group.name: group for group in edit.begun.groups}
    for group in edit.groups:
        if before.get(group.name) == group:
            continue  # what the server has accepted
        yield from _of_group(group, before.get(group.name), has_gateway=has_gateway)
        yield from _of_both(edit, group)


def _of_both(edit: ServiceEdit, group: GroupView) -> Iterator[Problem]:
    """What stands both at the service and at a group, which dstack does not take."""
    for name in ("spot_policy", "reservation"):
        if group.named and getattr(group, name) and edit.configuration.get(name) is not None:
            yield Problem(
                FieldName(name, group.name),
                f"`{name}` is set for the whole service, so groups can't have their own. Move it"
                " from the service to each group.",
            )


def _of_group(group: GroupView, was: GroupView | None, *, has_gateway: bool) -> Iterator[Problem]:
    field = FieldName("replicas", group.name if group.named else SERVICE)
    least, greatest = group.least, group.greatest
    if greatest is None:
        yield Problem(field, "`replicas` has no maximum. Write a range such as 3..10.")
    elif least < 0 or greatest < least:
        yield Problem(field, f"`replicas` can't be {least}..{greatest}. Write 0 or more, upwards.")
    elif greatest > MOST:
        line = f"`replicas` can't be planned above {MOST}. Write {MOST} or less."
        yield Problem(field, line)
    elif group.router and (least, greatest) != (1, 1):
        yield Problem(field, "A router has exactly one replica. Write 1.")
    elif least != greatest and not group.scaled:
        yield Problem(
            field, "A range needs `scaling` rules. Add them in the text, or write one number."
        )
    elif least != greatest and not has_gateway and (was is None or not was.scaled):
        yield Problem(
            field,
            "A range needs a gateway, which scales the service, and this one has none. Write one"
            " number.",
        )
    if group.spot_policy not in (None, *_SPOT_POLICIES):
        yield Problem(
            FieldName("spot_policy", group.name),
            f"There is no spot policy {group.spot_policy}."
            f" Use one of: {', '.join(_SPOT_POLICIES)}.",
        )


def _of_pool(edit: ServiceEdit, pool: str, known: Collection[str] | None) -> list[Problem]:
    project = edit.base.target.project
    where = "`fleets`"
    if pool:
        where += f" of group {edit.read.labels.get(pool, pool)}"
    found = []
    lanes: dict[str, Lane] = {}
    plain, all_plain = True, _plain(edit)
    for view, entry in zip(edit.lanes(pool), _entries(edit, pool), strict=True):
        try:
            (lane,) = parse_lanes([entry], where=where, project=project)
        except LanesError as error:
            found += [
                Problem(FieldName(line.field, pool, view.fleet), line) for line in error.lines
            ]
            continue
        for key in ("min_replicas", "max_replicas"):
            count = getattr(lane, key)
            if count is not None and count > MOST:
                line = f"`{key}` of fleet {lane.fleet} is too large. Write {MOST} or less."
                found.append(Problem(FieldName(key, pool, view.fleet), line))
        plain = plain and lane.plain
        if lane.fleet in lanes:
            line = twice(lane.fleet, where)
            found.append(Problem(FieldName("fleet", pool, view.fleet), line))
        elif known is not None and (
            edit.lane_before(pool, view.fleet) is None or pool or not all_plain
        ):
            # Of names alone, what is there already is the stock server's affair.
            found += [
                Problem(FieldName("fleet", pool, view.fleet), line)
                for line in check_known([lane], known, where=where)
            ]
        lanes.setdefault(lane.fleet, lane)
    if found or not lanes or (plain and not pool):
        return found
    groups = [
        group for group in edit.groups if (group.name == pool if pool else not group.own_lanes)
    ]
    if not groups:
        return found
    errors, _ = check_counts(
        list(lanes.values()),
        where=where,
        workers=_sum([group for group in groups if not group.router]),
        routers=_sum([group for group in groups if group.router]),
    )
    return [Problem(FieldName(line.field, pool), line) for line in errors]


def _plain(edit: ServiceEdit) -> bool:
    """Whether the service's lanes are names of fleets and no more."""
    return all(lane.plain for lane in edit.lanes())


def _of_the_rest(
    edit: ServiceEdit, known: Collection[str] | None, told: Collection[str]
) -> Iterator[Problem]:
    """What only the whole configuration shows."""
    if told:
        return
    try:
        accepted(edit.accepted, known)
    except LanesError as error:
        for line in error.lines:
            field = "reclaim" if code_of(line) == Code.UNKNOWN_RECLAIM else ""
            yield Problem(FieldName(field), line)


def _entries(edit: ServiceEdit, pool: str) -> list[Any]:
    """The entries of a pool without the fields of other versions, which are not the engine's."""
    entries = []
    for view in edit.lanes(pool):
        raw = edit.raw_lane(pool, view.fleet)
        entries.append({key: raw[key] for key in LANE_FIELDS if key in raw} | {"name": view.fleet})
    return entries


def _sum(groups: list[GroupView]) -> tuple[int, int | None]:
    tops = [group.greatest for group in groups]
    greatest = None if None in tops else sum(top or 0 for top in tops)
    return sum(group.least for group in groups), greatest
