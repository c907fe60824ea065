"""What an edit changes, field by field, and what each change means for what runs.

The rules are the server's own (dstack 0.22.5, `services/runs/spec.py` and `services/fleets.py`):
which fields of a configuration change in place, and which of them by a rolling deployment. They say
why; whether a change is possible is decided by the server's plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dstack_api_client.edits.base.base import Kind
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.defaults import in_force
from dstack_api_client.edits.spec.fields import ABSENT, ORDER, Path
from dstack_api_client.edits.spec.group_roles import GROUPS, label_of, labels_in
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.configuration import MASK, readable_value
from dstack_api_client.model.labels import in_text
from dstack_api_client.model.profile import of_profile
from dstack_api_client.secrets import fields_in, is_secret
from dstack_api_client.text import one_line
from dstack_placement.engine import ServiceSpec

#: Shown where there is no value.
NOTHING = "–"
_LONGEST = 120
#: Signs that are shown before those that differ, where two values are long and begin alike.
_BEFORE = 20
#: Fields that a refusal shows.
_MOST = 8


class ChangeKind(str, Enum):
    """What a change means for what runs."""

    NO_RESTART = "no restart"
    ROLLING = "rolling deployment"
    NOT_IN_PLACE = "not possible in place"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changes.

    Attributes:
        path: Where it is in the spec.
        name: The same in one string: `fleets gpu-spot min_replicas`.
        label: The name for people, groups by what they are called: `groups 1 prefill replicas`.
        old: What it was, fit to be shown; secrets are masked.
        new: What it becomes.
        kind: What the change means.
        note: What else is to be known; may be empty.
        source: Whose rule says so.
        secret: Whether the values are masked.
    """

    path: Path
    name: str
    label: str
    old: str
    new: str
    kind: ChangeKind
    note: str
    source: str
    secret: bool = False


class NotInPlaceError(EditError):
    """A change that the server can't make while the run or the fleet goes on.

    Attributes:
        changes: All fields of the edit with their kinds, where there was something to compare.
    """

    def __init__(self, message: str, hint: str, changes: Sequence[FieldChange] = ()) -> None:
        super().__init__(message, hint)
        self.changes = tuple(changes)


_DSTACK = "dstack's rules for updates in place"
_ADDON = "the placement add-on"
_SERVICE_NO_RESTART = frozenset({"priority", "replicas", "groups", "scaling", "gateway"})
_SERVICE_ROLLING = frozenset(
    {"port", "probes", "resources", "volumes", "docker", "files", "image", "user", "privileged"}
    | {"entrypoint", "working_dir", "python", "nvcc", "single_branch", "env", "shell", "commands"}
)
_SPEC_ROLLING = frozenset({"repo_data", "repo_code_hash", "file_archives", "working_dir"})
_GROUP_NO_RESTART = frozenset({"replicas", "count", "scaling"})
_DYNAMO = "dynamo"
#: Why a Dynamo router can't be replaced while its workers run.
_ROUTER_HELD = "the workers of a Dynamo router keep its address, so that it can't be replaced"
_HTTPS = "only left out or true, which is the same, are changed in place"
_FLEET_IN_PLACE = frozenset(
    {"nodes", "reservation", "tags", "resources", "backends", "regions", "availability_zones"}
    | {"instance_types", "spot_policy", "max_price"}
)
_FLEET_NOTES: Mapping[str, str] = {
    "nodes": "the server starts or ends instances to keep min and max; target is only stored",
    "reservation": "instances to come only",
    "tags": "instances to come only",
}
#: Where the hosts of a fleet stand.
_HOSTS = ("configuration", "ssh_config", "hosts")
_HOST_KEPT = "a host that is there keeps its settings; remove it, apply, and add it again"
_UNFIT = "unused instances that no longer fit are ended"


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], kind: Kind, capabilities: Capabilities
) -> tuple[FieldChange, ...]:
    """Compares two specs of a service or a fleet.

    Args:
        old: The spec as it is.
        new: As it is to be.
        kind: What they are of.
        capabilities: What the server can do.
    """
    found = changed_fields(old, new)
    rule: _RuleOf = _fleet_rules(new)
    labels: Mapping[str, str] = {}
    if kind == "service":
        labels = labels_in(old, new)
        before, after = configuration_of(old), configuration_of(new)
        rule = _ServiceRules(before, after, capabilities, labels).of
    return tuple(
        _change(path, (was, old), (is_now, new), rule, labels)
        for path, (was, is_now) in found.items()
    )


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[Path, tuple[Any, Any]]:
    """The fields that `difference` tells of, with their old and new values."""
    found = fields.changes(old, new)
    return {path: values for path, values in found.items() if not _told_elsewhere(path, found)}


def shown(path: Path, value: Any, spec: Mapping[str, Any]) -> str:
    """A field's value on one line, short, as a configuration file has it; secrets are masked.

    Args:
        path: The field.
        value: Its value; where it has none, what is in force is shown: `1 (default)`.
        spec: The spec that it is of.
    """
    return _short(_in_force(path, value, spec))


def _in_force(path: Path, value: Any, spec: Mapping[str, Any]) -> str:
    found = in_force(path, spec) if value is ABSENT or value is None else None
    if found is None:
        return _on_one_line(path, value)
    value, source = found
    return f"{_on_one_line(path, value)} ({source})"


def _on_one_line(path: Path, value: Any) -> str:
    if value is ABSENT or value is None:
        return NOTHING
    if is_secret(path) and not isinstance(value, Mapping | list):
        return MASK
    if path[-1] == ORDER and isinstance(value, list):
        return ", ".join(map(str, value))
    short = readable_value(fields_in(path), value)
    if short is None:
        short = [] if isinstance(value, Mapping | list) else value
    if isinstance(short, list):
        short = ", ".join(map(_inline, short)) or "none"
    if isinstance(short, Mapping):
        short = ", ".join(f"{key} {_inline(item)}" for key, item in short.items()) or "none"
    return _inline(short)


def _inline(value: Any) -> str:
    """A value as YAML has it on one line, without quotes: `{type: http, url: /health}`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_inline(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return str(value)


def _told_apart(old: str, new: str) -> tuple[str, str]:
    """Two values whose short forms are the same, such that one sees what differs."""
    if one_line(old) == one_line(new):
        return _short(old), f"{_short(new)} (what is masked differs)"
    pairs = enumerate(zip(old, new, strict=False))
    alike = next((n for n, (one, other) in pairs if one != other), min(len(old), len(new)))
    start = max(alike - _BEFORE, 0)
    return _short(f"…{old[start:]}"), _short(f"…{new[start:]}")


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _told_elsewhere(path: Path, found: Mapping[Path, Any]) -> bool:
    """Whether another change says the same: names of lanes that come or go, an empty parent."""
    if path[-1] in ("name", "project") and len(path) > 2 and "fleets" in path[:-2]:
        return True
    was, is_now = found[path]
    return (was in (ABSENT, None) and is_now in (ABSENT, None)) or (
        path[-1] == "fleets"
        and {was is ABSENT, is_now is ABSENT} == {True, False}
        and (*path, ORDER) in found
    )


_Rule = tuple[ChangeKind, str, str]
_RuleOf = Callable[[Path, Any, Any], _Rule]


#: A value and the spec that it is of.
_ValueOf = tuple[Any, Mapping[str, Any]]


def _change(
    path: Path, old: _ValueOf, new: _ValueOf, rule: _RuleOf, labels: Mapping[str, str]
) -> FieldChange:
    change_kind, note, source = rule(path, old[0], new[0])
    secret = is_secret(path)
    before, after = _in_force(path, *old), _in_force(path, *new)
    was, is_now = _short(before), _short(after)
    if was == is_now and not secret:
        was, is_now = _told_apart(before, after)
    return FieldChange(
        path=path,
        name=one_line(fields.name_of(path)),
        label=label_of(path, labels),
        old=was,
        new=is_now,
        kind=change_kind,
        note=note,
        source=source,
        secret=secret,
    )


class _ServiceRules:
    """What a change of a service means, by dstack's rules and those of the add-on."""

    def __init__(
        self,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        capabilities: Capabilities,
        labels: Mapping[str, str],
    ) -> None:
        self._capabilities = capabilities
        self._labels = labels
        specs = ServiceSpec.read(old), ServiceSpec.read(new)
        self._before, self._after = ({g.name: g.entry for g in spec.named} for spec in specs)
        groups = [*self._before.items(), *self._after.items()]
        self._dynamo = {name for name, group in groups if _router_type(group) == _DYNAMO}

    def of(self, path: Path, was: Any, is_now: Any) -> _Rule:
        """The kind of a change, a note, and whose rule says so."""
        rule = self._of(path, was, is_now)
        if self._dynamo and not self._leaves_router(path, rule):
            return ChangeKind.NOT_IN_PLACE, _ROUTER_HELD, _DSTACK
        return rule

    def _leaves_router(self, path: Path, rule: _Rule) -> bool:
        """Whether a change neither replaces a Dynamo router nor is one of its group."""
        kind, _, source = rule
        if kind is ChangeKind.NOT_IN_PLACE or source == _ADDON:
            return True
        if path[1:2] and path[1] in GROUPS and len(path) > 3:
            return path[2] not in self._dynamo
        return kind is ChangeKind.NO_RESTART

    def _of(self, path: Path, was: Any, is_now: Any) -> _Rule:
        if path[0] != "configuration":
            if path[0] in _SPEC_ROLLING:
                return ChangeKind.ROLLING, "", _DSTACK
            if path[0] == "configuration_path":
                return ChangeKind.NO_RESTART, "", _DSTACK
            return ChangeKind.NOT_IN_PLACE, "", _DSTACK
        steps = path[1:]
        if not steps:
            return ChangeKind.NOT_IN_PLACE, "", _DSTACK
        if "fleets" in steps[:1] or (steps[0] == "groups" and "fleets" in steps[2:3]):
            return _of_lanes(steps, self._capabilities)
        if steps[0] in GROUPS and len(steps) > 2:
            return self._of_group(steps)
        if steps[0] == "https":
            if all(each is None or each is True or each is ABSENT for each in (was, is_now)):
                return ChangeKind.NO_RESTART, "", _DSTACK
            return ChangeKind.NOT_IN_PLACE, _HTTPS, _DSTACK
        if steps[0] in _SERVICE_NO_RESTART:
            return ChangeKind.NO_RESTART, "", _DSTACK
        if steps[0] in _SERVICE_ROLLING:
            return ChangeKind.ROLLING, "one replica at a time", _DSTACK
        return ChangeKind.NOT_IN_PLACE, "", _DSTACK

    def _of_group(self, steps: Path) -> _Rule:
        name, field = steps[1:3]
        before, after = self._before.get(name), self._after.get(name)
        if field == "router" or (
            (before is None or after is None)
            and (_router_type(before) or _router_type(after)) is not None
        ):
            return ChangeKind.NOT_IN_PLACE, "the router's group is fixed", _DSTACK
        if before is None or after is None:
            note = "its replicas start" if before is None else "its replicas stop"
            return ChangeKind.NO_RESTART, note, _DSTACK
        if field in _GROUP_NO_RESTART:
            return ChangeKind.NO_RESTART, "", _DSTACK
        label = one_line(in_text(self._labels.get(name, name)))
        return ChangeKind.ROLLING, f"replicas of {label}, one at a time", _DSTACK


def _router_type(group: Mapping[str, Any] | None) -> str | None:
    router = (group or {}).get("router")
    return str(router.get("type")) if isinstance(router, Mapping) else None


def _of_lanes(steps: Path, capabilities: Capabilities) -> _Rule:
    if not capabilities.lanes:
        return ChangeKind.NOT_IN_PLACE, "needs the placement add-on", _DSTACK
    note = ""
    if steps[-1] in ("priority", ORDER):
        note = "moves nothing by itself"
    return ChangeKind.NO_RESTART, note, _ADDON


def _fleet_rules(new: Mapping[str, Any]) -> _RuleOf:
    """The rules of a fleet, with what of the profile comes in force again for a part of a field."""
    added = of_profile(new)

    def rule(path: Path, was: Any, is_now: Any) -> _Rule:
        kind, note, source = _of_fleet(path, was, is_now)
        if path[:1] == ("configuration",) and path[2:] and path[1] in added:
            again = f"the profile's is used then: {shown(path[:2], added[path[1]], new)}"
            note = f"{again}; {note}" if note else again
        return kind, note, source

    return rule


def _of_fleet(path: Path, was: Any, is_now: Any) -> _Rule:
    if path[:3] == _HOSTS and len(path) > len(_HOSTS):
        return _of_host(was, is_now)
    if path[0] == "configuration" and path[1:] and path[1] in _FLEET_IN_PLACE:
        note = _FLEET_NOTES.get(path[1], _UNFIT)
        return ChangeKind.NO_RESTART, note, _DSTACK
    if path[0] == "configuration_path":
        return ChangeKind.NO_RESTART, "", _DSTACK
    return ChangeKind.NOT_IN_PLACE, "", _DSTACK


def _of_host(was: Any, is_now: Any) -> _Rule:
    if was is ABSENT:
        return ChangeKind.NO_RESTART, "the server sets the host up", _DSTACK
    if is_now is ABSENT:
        return ChangeKind.NO_RESTART, "the server releases the host", _DSTACK
    return ChangeKind.NOT_IN_PLACE, _HOST_KEPT, _DSTACK


def refusal(changes: Sequence[FieldChange], still: str, hint: str) -> NotInPlaceError:
    """What is raised when the server can't make a change in place; it shows the whole edit.

    Args:
        changes: All fields of the edit.
        still: While what it can't be: `while the service runs`.
        hint: What to do.
    """
    names = ", ".join(change.label for change in changes if _refused(change)) or "This"
    # What can't be changed is shown first: it is what has to go.
    ordered = sorted(changes, key=lambda change: not _refused(change))
    parts = [
        f"{change.label}: {change.old} -> {change.new} ({_kind(change)})"
        for change in ordered[:_MOST]
    ]
    if len(ordered) > _MOST:
        parts.append(f"and {len(ordered) - _MOST} more")
    edit = f" The edit was: {'; '.join(parts)}." if parts else ""
    return NotInPlaceError(f"{names} can't be changed {still}.{edit}", hint, changes)


def _kind(change: FieldChange) -> str:
    return (
        f"{change.kind.value}: {change.note}"
        if _refused(change) and change.note
        else (change.kind.value)
    )


def _refused(change: FieldChange) -> bool:
    return change.kind is ChangeKind.NOT_IN_PLACE
