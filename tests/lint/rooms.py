"""A picture of the packages and their folders, drawn from what they import.

`python -m tests.lint.rooms > docs/rooms.md`, which `make docs` runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import grimp

from tests.lint.circles import PACKAGES

_HEAD = """\
# The rooms, from what they import

Written by `make docs` from the import graph. An arrow goes from a folder to what it needs; one that
follows from others is left out. [design.md](design.md) says what each of them holds.
"""


def page() -> str:
    """The page."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    parts = [_HEAD, *_drawn("The packages", _arrows(imports, 1, ""))]
    for package in sorted(PACKAGES):
        parts += _drawn(f"`{package}`", _arrows(imports, 2, f"{package}."))
    edits = "dstack_api_client.edits"
    parts += _drawn(f"`{edits}`", _arrows(imports, 3, f"{edits}."))
    return "\n".join(parts)


def _arrows(imports: Mapping[str, set[str]], depth: int, prefix: str) -> dict[str, set[str]]:
    """What each folder under a prefix imports of the others, at a depth of names."""
    found: dict[str, set[str]] = {}
    for name, targets in imports.items():
        for start in _at(name, depth, prefix):
            ends = {end for target in targets for end in _at(target, depth, prefix)}
            found.setdefault(start, set()).update(ends - {start})
    return found


def _at(name: str, depth: int, prefix: str) -> Iterator[str]:
    parts = name.split(".")
    if name.startswith(prefix) and len(parts) >= depth:
        yield parts[depth - 1]


def _drawn(title: str, arrows: Mapping[str, set[str]]) -> Iterator[str]:
    yield f"## {title}\n\n```mermaid\nflowchart TD"
    for start in sorted(arrows):
        if not arrows[start]:
            yield f"    {start}"
        beyond = {end for between in arrows[start] for end in _reached(between, arrows)}
        yield from (f"    {start} --> {end}" for end in sorted(arrows[start] - beyond))
    yield "```\n"


def _reached(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """What a folder needs, by way of others too."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = arrows[ahead.pop()] - seen
        seen |= new
        ahead.extend(new)
    return seen


if __name__ == "__main__":
    sys.stdout.write(page())
