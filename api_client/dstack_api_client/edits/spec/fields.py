"""A spec as fields: a flat mapping of paths to values, by which specs are compared and changed.

Lists of lanes and of replica groups are keyed by the names in them, so that a path goes on
meaning the same thing when entries come, go or change places: `("configuration", "groups",
"decode", "fleets", "gpu-spot", "priority")`. The order of such a list is a field of its own,
`ORDER`. Hosts of a fleet are keyed too: each is one field, and their order means nothing. What is
not touched stays as it was received, unknown fields included.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from dstack_placement.engine import mapping

#: Keys and names that lead to a field.
Path = tuple[str, ...]

#: The last step of the path to the order of a list that is keyed by names.
ORDER: Final = "(order)"
#: Lists whose entries have names of their own.
_KEYED = ("fleets", "groups", "replicas", "hosts")  # `replicas` is one on dstack 0.20
#: Those whose entries are whole values: only they come and go.
_HOSTS = "hosts"
#: Mappings that people see as one value: `3..10`.
_RANGE = frozenset({"min", "max", "target"})


class _Absent:
    """Stands for the value of a field that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __copy__(self) -> _Absent:
        return self

    def __deepcopy__(self, memo: object) -> _Absent:
        return self


ABSENT: Final = _Absent()


class _Named(dict[str, Any]):
    """A list whose entries have names, as a mapping in its order."""


class _Values(_Named):
    """A list whose entries are fields, each a value as a whole; their order is none."""


class _Whole(dict[str, Any]):
    """A mapping that is one value."""


def digest(spec: Mapping[str, Any]) -> str:
    """What stands for a spec in comparisons: the same for the same JSON, whatever its key order."""
    raw = msgspec.json.encode(spec, order="sorted")
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def same(one: object, other: object) -> bool:
    """Whether two values are the same JSON; True is not 1 here."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def lane_name(entry: object) -> str:
    """The name of an entry of `fleets` as lanes have it: `fleet`, or `project/fleet`."""
    if isinstance(entry, Mapping):
        name, project = str(entry.get("name") or ""), entry.get("project")
        return f"{project}/{name}" if project else name
    return str(entry)


def lane_entry(name: str) -> dict[str, Any]:
    """The entry of `fleets` of a name, with the keys that the server gives it."""
    project, slash, fleet = name.rpartition("/")
    return {"project": project if slash else None, "name": fleet}


def fields_of(spec: Mapping[str, Any]) -> dict[Path, Any]:
    """All fields of a spec in its order."""
    return {
        path: value for key, item in _root(spec).items() for path, value in _leaves((key,), item)
    }


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[Path, tuple[Any, Any]]:
    """The fields that differ between two specs.

    Returns:
        By path the old and the new value, each `ABSENT` where the field is not there.
    """
    before, after = _fields_beside(old, new), _fields_beside(new, old)
    found = {}
    for path in dict.fromkeys((*before, *after)):
        was, is_now = before.get(path, ABSENT), after.get(path, ABSENT)
        if not same(was, is_now):
            found[path] = (was, is_now)
    return found


def _fields_beside(spec: Mapping[str, Any], other: Mapping[str, Any]) -> dict[Path, Any]:
    """The fields of a spec but those of parts that another one has just so, which are most."""
    found: dict[Path, Any] = {}
    for key, item in spec.items():
        beside = other.get(key, ABSENT)
        if same(item, beside):
            continue
        if not _goes_deeper(item) or not _goes_deeper(beside):
            found.update(_leaves((key,), _tree(key, item)))
            continue
        for name, below in item.items():
            if not same(below, beside.get(name, ABSENT)):
                found.update(_leaves((key, name), _tree(name, below)))
    return found


def _goes_deeper(item: object) -> bool:
    """Whether a part of a spec is a mapping whose values are fields, or have them."""
    return isinstance(item, Mapping) and bool(item) and not _is_range(item)


def with_fields(spec: Mapping[str, Any], values: Mapping[Path, Any]) -> dict[str, Any]:
    """A copy of a spec with some fields changed.

    Args:
        spec: The spec, left as it is.
        values: New values by path; `ABSENT` takes a field away.
    """
    tree = _root(copy.deepcopy(dict(spec)))
    orders = {path[:-1]: order for path, order in values.items() if path[-1] == ORDER}
    others = {path: value for path, value in values.items() if path[-1] != ORDER}
    for path, value in others.items():
        if value is ABSENT:
            _remove(tree, path)
    for path, order in orders.items():
        if order is ABSENT:
            _remove(tree, path)
    for path, value in others.items():
        if value is not ABSENT:
            _set(tree, path, copy.deepcopy(value))
    for path in sorted(orders, key=len):
        if orders[path] is not ABSENT:
            _arrange(tree, path, orders[path])
    whole: dict[str, Any] = _plain(tree)
    return whole


def entries_of(key: str, value: object) -> Mapping[str, Any]:
    """The entries of a list by their names; none where it is not one that is keyed by them.

    Args:
        key: What the list stands behind.
        value: The list.
    """
    if key not in _KEYED or not isinstance(value, list):
        return {}
    names = [_entry_name(key, number, entry) for number, entry in enumerate(value)]
    if not all(names) or len(set(names)) < len(names):
        return {}
    return dict(zip(names, value, strict=True))


def name_of(path: Path) -> str:
    """A path as people read it: `fleets gpu-spot min_replicas`, `groups decode replicas`."""
    steps = [step for step in path if step != "configuration"]
    return " ".join("order" if step == ORDER else step for step in steps)


def _root(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _tree(key, item) for key, item in spec.items()}


def _tree(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if _is_range(value):
            return _Whole(value)
        return {name: _tree(name, item) for name, item in value.items()}
    entries = entries_of(key, value)
    if not entries:
        return value
    if key == _HOSTS:
        return _Values({name: _value(entry) for name, entry in entries.items()})
    return _Named({name: _tree("", entry) for name, entry in entries.items()})


def _entry_name(key: str, number: int, entry: object) -> str:
    """The name of an entry of a keyed list; empty where it has none."""
    if isinstance(entry, str):
        return entry if key in ("fleets", _HOSTS) else ""
    if key == _HOSTS:
        return str(mapping(entry).get("hostname") or "")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str | None):
        return ""
    if key == "fleets":
        return lane_name(entry) if entry.get("name") else ""
    return str(entry.get("name") or number)


def _value(entry: Any) -> Any:
    return _Whole(entry) if isinstance(entry, dict) else entry


def _is_range(value: Mapping[str, Any]) -> bool:
    return bool(value) and value.keys() <= _RANGE


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, _Named) and not isinstance(value, _Values):
        yield (*path, ORDER), list(value)
    elif not isinstance(value, dict) or not value or isinstance(value, _Whole):
        yield path, _plain(value)
        return
    for key, item in value.items():
        yield from _leaves((*path, key), item)


def _remove(tree: dict[str, Any], path: Path) -> None:
    """Takes a field away, and the mappings that this leaves empty.

    Entries of a list that is keyed by names stay: its order says whether they go, and one that is
    only filled again keeps its place.
    """
    parents: list[tuple[dict[str, Any], str]] = []
    here: Any = tree
    for step in path:
        if not isinstance(here, dict) or step not in here:
            return
        parents.append((here, step))
        here = here[step]
    for parent, step in reversed(parents):
        if isinstance(parent, _Named) and not isinstance(parent, _Values):
            return
        del parent[step]
        if isinstance(parent, _Values):
            return
        if parent:
            return


def _set(tree: dict[str, Any], path: Path, value: Any) -> None:
    here = tree
    for step in path[:-1]:
        item = here.get(step)
        if not isinstance(item, dict) or isinstance(item, _Whole):
            item = here[step] = _Values() if step == _HOSTS else {}
        here = item
    here[path[-1]] = _Whole(value) if isinstance(value, dict) else value


def _arrange(tree: dict[str, Any], path: Path, names: Sequence[str]) -> None:
    parent = tree
    for step in path[:-1]:
        item = parent.get(step)
        if not isinstance(item, dict):
            item = parent[step] = {}
        parent = item
    known = parent.get(path[-1])
    entries = known if isinstance(known, dict) else {}
    parent[path[-1]] = _Named(
        {name: entries[name] if name in entries else _entry(path, name) for name in names}
    )


def _entry(path: Path, name: str) -> dict[str, Any]:
    return lane_entry(name) if path[-1] == "fleets" else {"name": name}


def _plain(value: Any) -> Any:
    if isinstance(value, _Named):
        return [_plain(item) for item in value.values()]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
