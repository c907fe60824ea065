"""A fleet's or a run's configuration as an operator would write it, safe to show.

The server sends a spec with every default spelled out, ranges as mappings and durations in
seconds. `readable` turns that back into the short forms of dstack's configuration files and masks
what must not be on a screen: values of environment variables, passwords and keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

#: Stands where a secret stood.
MASK = "********"

_SECRET_KEYS = frozenset({"password", "private", "token", "ssh_key", "auth_token"})
_DURATIONS = frozenset(
    {"idle_duration", "max_duration", "stop_duration", "duration", "scale_up_delay"}
    | {"scale_down_delay", "window", "inactivity_duration"}
)
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
    short = _mapping(configuration)
    return {key: short[key] for key in sorted(short, key=_place)}


def as_yaml(configuration: Mapping[str, Any]) -> str:
    """Writes a configuration as the YAML of a `.dstack.yml` file, secrets masked."""
    text: str = yaml.safe_dump(
        readable(configuration), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def duration(seconds: float | str | None) -> str | None:
    """Writes seconds as dstack does: `45s`, `30m`, `1h`, `3d`; below zero is `off`."""
    if seconds is None or isinstance(seconds, str):
        return seconds
    if seconds < 0:
        return "off"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def span(low: float | str | None, high: float | str | None, unit: str = "") -> str:
    """Writes a range as dstack does: `4`, `1..8`, `16GB..`, `..4`."""
    ends = [
        "" if end is None else end if isinstance(end, str) else f"{end:g}{unit}"
        for end in (low, high)
    ]
    return ends[0] if ends[0] and ends[0] == ends[1] else "..".join(ends)


def _place(key: str) -> tuple[int, str]:
    return (_FIRST.index(key), "") if key in _FIRST else (len(_FIRST), key)


def _mapping(data: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in data.items():
        if value is None or value in ([], {}) or (key in _NOISE and value == _NOISE[key]):
            continue
        short = _value(key, value)
        if short is not None and short not in ([], {}):
            result[key] = short
    return result


def _value(key: str, value: Any) -> Any:
    if key == "env":
        return _environment(value)
    if key in _SECRET_KEYS:
        return MASK
    if key in _DURATIONS and isinstance(value, int | float) and not isinstance(value, bool):
        return duration(value)
    if key == "router" and isinstance(value, Mapping) and value.get("type") == "sglang":
        return {"type": "smg"}  # the server stores and sends SMG under its old name
    if key == "port" and isinstance(value, Mapping):
        return _port(value)
    if key == "gpu" and isinstance(value, Mapping):
        return _gpu(value)
    if key in ("cpu", "disk") and isinstance(value, Mapping):
        return _amount(value)
    if isinstance(value, Mapping):
        if value and set(value) <= {"min", "max"}:
            return _range(value, "GB" if key in _SIZES else "")
        if set(value) == {"min", "target", "max"} and value["target"] == value["min"]:
            return _range(value)
        return _mapping(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(key, item) for item in value]
    return value


def _item(key: str, item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    short = _mapping(item)
    if key in ("fleets", "hosts") and len(short) == 1:
        return next(iter(short.values()))
    return short


def _environment(value: Any) -> Any:
    """Names with their values masked; a name alone is taken from the client's environment."""
    if isinstance(value, Mapping):
        return {name: MASK if isinstance(v, str) else None for name, v in value.items()}
    return [f"{item.partition('=')[0]}={MASK}" if "=" in item else item for item in value]


def _port(value: Mapping[str, Any]) -> Any:
    local, container = value.get("local_port"), value.get("container_port")
    return container if local in (None, 80, container) else f"{local}:{container}"


def _range(value: Mapping[str, Any], unit: str = "") -> Any:
    low, high = value.get("min"), value.get("max")
    if not unit and low is not None and low == high:
        return low
    return span(low, high, unit)


def _amount(value: Mapping[str, Any]) -> Any:
    """`cpu` and `disk`, whose count or size stands one level down."""
    unit = "GB" if "size" in value else ""
    inner = value.get("size") or value.get("count")
    if not isinstance(inner, Mapping):
        return _mapping(value)
    short = _range(inner, unit)
    return f"{value['arch']}:{short}" if value.get("arch") else short


def _gpu(value: Mapping[str, Any]) -> str:
    parts = []
    if value.get("vendor"):
        parts.append(str(value["vendor"]))
    if value.get("name"):
        parts.append(",".join(map(str, value["name"])))
    if isinstance(value.get("memory"), Mapping):
        parts.append(span(value["memory"].get("min"), value["memory"].get("max"), "GB"))
    if isinstance(value.get("count"), Mapping):
        parts.append(span(value["count"].get("min"), value["count"].get("max")))
    if isinstance(value.get("total_memory"), Mapping):
        total = value["total_memory"]
        parts.append("total " + span(total.get("min"), total.get("max"), "GB"))
    return ":".join(parts)
