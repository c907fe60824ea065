"""A fleet's or a run's configuration as an operator would write it, safe to show.

The server sends a spec with every default spelled out, ranges as mappings and durations in
seconds. `readable` turns that back into the short forms of dstack's configuration files and masks
what must not be on a screen (see `secrets`). A spec may be of another version, or broken: what is
not as it should be is shown as it is, and harmful characters are replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from dstack_api_client.secrets import MASK, is_secret_field, masked
from dstack_api_client.text import clean
from dstack_placement.engine import mapping

__all__ = ["MASK", "as_yaml", "duration", "readable", "readable_value", "span"]

#: Fields with values that somebody named.
_CHOSEN = "tags"
#: Numbers beyond these are none that a server takes.
_LARGEST = 10**18
_DURATIONS = frozenset(
    {"idle_duration", "max_duration", "stop_duration", "duration", "scale_up_delay"}
    | {"scale_down_delay", "window", "inactivity_duration", "interval", "timeout", "time_window"}
)
#: What a text can say of a GPU.
GPU_PARTS = ("vendor", "name", "memory", "count")
_AMOUNT = ("arch", "count", "size")
_VENDORS = frozenset({"nvidia", "amd", "google", "tpu", "intel", "tenstorrent"})
_SIZES = frozenset({"memory", "total_memory", "size", "shm_size"})
#: Defaults that every spec carries and no operator writes.
_NOISE: Mapping[str, Any] = {
    "privileged": False,
    "strip_prefix": True,
    "home_dir": "/root",
    "dstack": False,
    "single_branch": False,
    "default": False,
    "autocreated": False,
}
_FIRST = ("type", "name", "nodes", "replicas", "fleets", "groups")


def readable(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Shortens and masks a configuration.

    Args:
        configuration: The `configuration` of a fleet's or a run's spec, as received.

    Returns:
        Plain data for YAML: no nulls, no empty collections, dstack's short forms, secrets masked.
    """
    short = _mapping((), mapping(configuration))
    return {key: short[key] for key in sorted(short, key=_place)}


def readable_value(path: Sequence[str], value: Any) -> Any:
    """The same for the value of one field; None for what is not worth showing.

    Args:
        path: The steps to it, without the names of lanes and groups.
        value: The value as received.
    """
    return _mapping(tuple(path[:-1]), {path[-1]: value}).get(path[-1])


def as_yaml(configuration: Mapping[str, Any]) -> str:
    """Writes a configuration as the YAML of a `.dstack.yml` file, secrets masked."""
    text: str = yaml.dump(
        readable(configuration), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines, as a script is, line by line."""


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _written)


def duration(seconds: float | str | None) -> str | None:
    """Writes seconds as dstack does: `45s`, `30m`, `1h`, `3d`; below zero is `off`."""
    if seconds is None or isinstance(seconds, str):
        return seconds
    if seconds < 0:
        return "off"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{_number(seconds // size)}{unit}"
    return f"{_number(seconds)}s"


def span(low: float | str | None, high: float | str | None, unit: str = "") -> str:
    """Writes a range as dstack does: `4`, `1..8`, `16GB..`, `..4`."""
    ends = [_end(low, unit), _end(high, unit)]
    return ends[0] if ends[0] and ends[0] == ends[1] else "..".join(ends)


def _end(end: Any, unit: str) -> str:
    if end is None:
        return ""
    if isinstance(end, int | float) and not isinstance(end, bool):
        return f"{_number(end)}{unit}"
    return clean(str(end))


def _number(value: float) -> str:
    if abs(value) > _LARGEST:
        return "a huge number"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _place(key: str) -> tuple[int, str]:
    return (_FIRST.index(key), "") if key in _FIRST else (len(_FIRST), key)


def _mapping(path: tuple[str, ...], data: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in data.items():
        if value is None or value in ([], {}) or (key in _NOISE and value == _NOISE[key]):
            continue
        short = _value((*path, key), value)
        if short is not None and short not in ([], {}):
            result[clean(str(key))] = short
    return result


def _value(path: tuple[str, ...], value: Any) -> Any:
    key = path[-1]
    if _CHOSEN in path[:-1]:
        return _plain(value)
    if key == "env":
        return _environment(value)
    if is_secret_field(path) and not isinstance(value, Mapping | list):
        return MASK
    if key == "ssh_key":
        return MASK
    if key == "compute_capability" and isinstance(value, list):
        return ".".join(str(_plain(each)) for each in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _numbered(key, value)
    if key == "router" and isinstance(value, Mapping) and value.get("type") == "sglang":
        return {"type": "smg"}  # the server stores and sends SMG under its old name
    if key == "port" and isinstance(value, Mapping):
        return _port(path, value)
    if key == "gpu" and isinstance(value, Mapping):
        return _gpu(path, value)
    if key in ("cpu", "disk") and isinstance(value, Mapping):
        return _amount(path, value)
    if isinstance(value, Mapping):
        if value and set(value) <= {"min", "max"}:
            return _range(value, "GB" if key in _SIZES else "")
        if set(value) == {"min", "target", "max"} and value["target"] == value["min"]:
            return _range(value)
        return _mapping(path, value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(path, item) for item in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value that is shown as it is, safe to show."""
    if isinstance(value, str):
        return masked(clean(value))
    if isinstance(value, Mapping):
        return {clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _amounted(value)
    return value


def _numbered(key: str, value: float) -> Any:
    """With its unit; a whole number without the fraction that the server keeps it with."""
    if key in _DURATIONS:
        return duration(value)
    if key in _SIZES and abs(value) <= _LARGEST:
        return span(value, value, "GB")
    return _amounted(value)


def _amounted(value: float) -> Any:
    if not abs(value) <= _LARGEST:  # an infinite one and one that is not a number too
        return _number(value)
    return int(value) if value == int(value) else value


def _item(path: tuple[str, ...], item: Any) -> Any:
    if not isinstance(item, Mapping):
        return MASK if is_secret_field(path) else _plain(item)
    short = _mapping(path, item)
    if path[-1] in ("fleets", "hosts") and short.keys() in ({"name"}, {"hostname"}):
        return next(iter(short.values()))
    return short


def _environment(value: Any) -> Any:
    """Names with their values masked; a name alone is taken from the client's environment."""
    if isinstance(value, Mapping):
        return {
            clean(str(name)): None if each is None or isinstance(each, Mapping) else MASK
            for name, each in value.items()
        }
    if not isinstance(value, list):
        return MASK
    names = [clean(str(item)) for item in value]
    return [f"{item.partition('=')[0]}={MASK}" if "=" in item else item for item in names]


def _port(path: tuple[str, ...], value: Mapping[str, Any]) -> Any:
    if _others(value, ("local_port", "container_port")):
        return _mapping(path, value)
    local, container = value.get("local_port"), value.get("container_port")
    return _plain(container) if local in (None, 80, container) else f"{local}:{container}"


def _range(value: Mapping[str, Any], unit: str = "") -> Any:
    low, high = value.get("min"), value.get("max")
    if not unit and low is not None and low == high:
        return _plain(low)
    return span(low, high, unit)


def _amount(path: tuple[str, ...], value: Mapping[str, Any]) -> Any:
    """`cpu` and `disk`, whose count or size stands one level down."""
    unit = "GB" if "size" in value else ""
    inner = value.get("size") or value.get("count")
    if not isinstance(inner, Mapping) or _others(value, _AMOUNT):
        return _mapping(path, value)
    short = _range(inner, unit)
    return f"{clean(str(value['arch']))}:{short}" if value.get("arch") else short


def _gpu(path: tuple[str, ...], value: Mapping[str, Any]) -> Any:
    """As one text, or field by field where a text can't say all of it."""
    if not _others(value, GPU_PARTS):
        return gpu_text(value)
    return _mapping(path, value)


def gpu_text(value: Mapping[str, Any]) -> str:
    """`nvidia:H100:80GB:8`: what a text can say of a GPU, which are the `GPU_PARTS`."""
    parts = []
    if value.get("vendor"):
        parts.append(str(value["vendor"]))
    names = value.get("name")
    if names:
        parts.append(",".join(map(str, names)) if isinstance(names, list) else str(names))
    for key, unit in (("memory", "GB"), ("count", "")):
        part = value.get(key)
        if isinstance(part, Mapping):
            parts.append(span(part.get("min"), part.get("max"), unit))
        elif part is not None:
            parts.append(_end(part, unit))
    return clean(":".join(parts))


def gpu_parts(text: str) -> dict[str, Any]:
    """The fields that a text such as `H100:80GB:8` stands for, by dstack's rules."""
    parts: dict[str, Any] = {}
    for token in text.replace(" ", "").split(":"):
        if token.lower() in _VENDORS:
            parts["vendor"] = token.lower()
        elif token[:1].isalpha():
            parts["name"] = token.split(",")
        else:
            parts["memory" if any(map(str.isalpha, token)) else "count"] = token
    return parts


def _others(value: Mapping[str, Any], known: Collection[str]) -> bool:
    """Whether a mapping says more than some fields."""
    return any(value[key] not in (None, [], {}) for key in value.keys() - set(known))
