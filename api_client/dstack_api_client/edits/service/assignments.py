"""Edits written on a command line: `gpu-reserved.min_replicas=2`, `decode.replicas=2..4`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dstack_api_client.edits.errors import EditError, InvalidEditError
from dstack_api_client.edits.service.checks import (
    FieldName,
    Problem,
    lane_value,
    replica_range,
    whole_number,
)
from dstack_api_client.edits.service.service import LANE_FIELDS, SERVICE, ServiceEdit
from dstack_placement.engine import ONLY_GROUP, Reclaim

_Value = TypeVar("_Value")
_GROUP_FIELDS = ("replicas", "spot_policy", "reservation")
_FORMS = (
    "Write FLEET.FIELD=VALUE or GROUP/FLEET.FIELD=VALUE with the fields"
    f" {', '.join(LANE_FIELDS)}; GROUP.FIELD=VALUE with {', '.join(_GROUP_FIELDS)},"
    " or replicas=VALUE where there are none; or priority=VALUE or reclaim=VALUE."
)
_RUN_FIELDS = ("priority", "reclaim")
_NONE = ("", "none", "-")
#: What takes the policy of a group away, so that the service's or dstack's own holds.
_INHERITED = (*_NONE, "default")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `--set`."""

    subject: str
    """A fleet, `group/fleet` or a group; empty for the run, and where there are no groups."""
    field: str
    value: str


def parse(text: str) -> Assignment:
    """Reads one assignment.

    Raises:
        EditError: It has none of the forms.
    """
    left, equals, value = text.partition("=")
    subject, _, field = left.strip().rpartition(".")
    known = (*_GROUP_FIELDS, *(LANE_FIELDS if subject else _RUN_FIELDS))
    if not equals or field not in known:
        raise EditError(f"{text!r} can't be understood.", _FORMS)
    return Assignment(subject, field, value.strip())


def assign(edit: ServiceEdit, assignment: Assignment) -> ServiceEdit:
    """Carries out an assignment; a fleet that is not a lane yet becomes one.

    Raises:
        EditError: The value can't be one, or there is no such group.
    """
    field, value = assignment.field, assignment.value
    if field == "reclaim":
        return with_reclaim(edit, value)
    if field == "replicas":
        return with_replicas(edit, value, assignment.subject)
    if field in _GROUP_FIELDS:
        nothing = _INHERITED if field == "spot_policy" else _NONE
        given = None if value.lower() in nothing else value
        group = assignment.subject or _only_group(edit, field, value)
        return edit.with_group(group, **{field: given})
    if not assignment.subject:
        number = _read(value, FieldName("run_priority"), whole_number)
        return edit.with_priority(number or 0)
    pool, fleet = _lane(edit, assignment.subject)
    if pool not in edit.pools:
        edit = edit.with_own_lanes(pool, own=True)
    if all(lane.fleet != fleet for lane in edit.lanes(pool)):
        edit = edit.add_lane(pool, fleet)
    said = _read(value, FieldName(field, pool, fleet), lane_value)
    return edit.with_lane(pool, fleet, **{field: said})


def remove(edit: ServiceEdit, subject: str) -> ServiceEdit:
    """Removes a lane, named `FLEET` or `GROUP/FLEET`."""
    pool, fleet = _lane(edit, subject)
    return edit.remove_lane(pool, fleet)


def with_replicas(edit: ServiceEdit, text: str, group: str = "") -> ServiceEdit:
    """Carries out `--replicas 3..10`, or the same for a group.

    Raises:
        EditError: It is not a count, or the service has groups and none is named.
    """
    group = group or _only_group(edit, "replicas", text)
    counts = replica_range(text, group)
    if isinstance(counts, Problem):
        raise InvalidEditError([counts.line])
    return edit.with_replicas(group, *counts)


def with_reclaim(edit: ServiceEdit, text: str) -> ServiceEdit:
    """Carries out `--set reclaim=any`.

    Raises:
        EditError: There is no such value, or the server's add-on does not know the setting.
    """
    try:
        reclaim = Reclaim.OFF if text.lower() in _NONE else Reclaim(text.lower())
    except ValueError:
        known = ", ".join(each.value for each in Reclaim)
        raise InvalidEditError([f"reclaim: {text!r} is none. Use one of: {known}."]) from None
    return edit.with_reclaim(reclaim)


def _only_group(edit: ServiceEdit, field: str, value: str) -> str:
    if any(view.named for view in edit.groups):
        names = ", ".join(view.name for view in edit.groups)
        raise EditError(
            f"The service has replica groups, each with its own {field}.",
            f"Write --set GROUP.{field}={value}, with one of: {names}.",
        )
    return ONLY_GROUP


def _lane(edit: ServiceEdit, subject: str) -> tuple[str, str]:
    """The pool and the fleet that a subject means: lanes that exist first, then groups."""
    if any(lane.fleet == subject for lane in edit.lanes()):
        return SERVICE, subject
    group, slash, fleet = subject.partition("/")
    if slash and any(view.name == group and view.named for view in edit.groups):
        return group, fleet
    return SERVICE, subject


def _read(
    text: str, field: FieldName, read: Callable[[str, FieldName], _Value | Problem | None]
) -> _Value | None:
    value = read("" if text.lower() in _NONE else text, field)
    if isinstance(value, Problem):
        raise InvalidEditError([f"{field.name}: {value.line}"])
    return value
