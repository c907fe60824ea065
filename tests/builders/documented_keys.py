"""The keys of JSON that docs/json.md has, and those that an object has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests import ROOT

DOCUMENT = ROOT / "docs" / "json.md"


def documented() -> dict[str, dict[str, str]]:
    """Per kind, the documented type of each key; `*` for what all kinds share."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in DOCUMENT.read_text().splitlines():
        if heading := re.match(r"## `?(\w+)`?", line):
            section = heading[1].lower()
        elif row := re.match(r"\| `([^`]+)` \| ([^|]+) \| (.+) \|$", line):
            assert row[3].strip(), line
            rows = found.setdefault(section, {})
            assert row[1] not in rows, f"{row[1]} is there twice"
            rows[row[1]] = row[2].strip()
    return found


def walk(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every key of nested data with its value: `a`, `a.b`, `a[].b`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            below = f"{path}.{key}" if path else key
            yield below, item
            yield from walk(item, below)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (Mapping, list)):
                yield from walk(item, f"{path}[]")
            else:
                yield f"{path}[]", item
