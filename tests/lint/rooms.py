"""A picture of the packages and their folders, drawn from what they import.

`python -m tests.lint.rooms > docs/rooms.md`, which `make docs` runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from tests.lint.faces import needed
from tests.lint.imports import PACKAGES, folders, imports

_HEAD = """\
# The rooms, from what they import

Written by `make docs` from the import graph. An arrow goes from a folder to what it needs; one that
follows from others is left out. [design.md](design.md) says what each of them holds.
"""
_FIGURES = """\
## In figures

Arrows are all that go between folders and modules at a package's root. A module is public that
`__all__` of its folder names: those outside of the folder may import it, and somebody does.

| package | modules | at its root | folders | arrows | public modules |
| --- | ---: | ---: | ---: | ---: | ---: |
"""


def page() -> str:
    """The page."""
    graph = imports()
    parts = [_HEAD, *_drawn("The packages", _arrows(graph, 1, "")), *_figures(graph)]
    for package in sorted(PACKAGES):
        parts += _drawn(f"`{package}`", _arrows(graph, 2, f"{package}."))
    for folder in ("dstack_api_client.edits", "dstack_placement.server"):
        parts += _drawn(f"`{folder}`", _arrows(graph, 3, f"{folder}."))
    return "\n".join(parts)


def _figures(graph: Mapping[str, set[str]]) -> Iterator[str]:
    """A table of the packages, and one line of the folders of each."""
    inner = folders(graph)
    public = {
        f"{folder}.{name}" for folder, names in needed(graph).items() for name in names
    } - inner
    rows, lines = [], []
    for package in sorted(PACKAGES):
        below = {name for name in graph if name.startswith(f"{package}.")}
        modules = below - inner
        at_root = {name for name in modules if name.count(".") == 1}
        arrows = _arrows(graph, 2, f"{package}.").values()
        figures = (
            len(modules),
            len(at_root),
            len(below & inner),
            sum(map(len, arrows)),
            len(modules & public),
        )
        rows.append(f"| `{package}` | {' | '.join(map(str, figures))} |\n")
        counts = [
            f"`{folder.partition('.')[2]}` {len(here & public)} of {len(here)}"
            for folder in sorted(below & inner)
            if (here := {name for name in modules if name.rpartition(".")[0] == folder})
        ]
        if counts:
            lines.append(f"- `{package}`: {', '.join(counts)}\n")
    yield f"{_FIGURES}{''.join(rows)}\nPublic modules of each folder:\n\n{''.join(lines)}"


def _arrows(graph: Mapping[str, set[str]], depth: int, prefix: str) -> dict[str, set[str]]:
    """What each folder under a prefix imports of the others, at a depth of names."""
    found: dict[str, set[str]] = {}
    for name, targets in graph.items():
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
