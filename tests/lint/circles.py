"""Modules of a package that import each other in a circle, type-checking imports included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.lint.source import Finding


def check(imports: Mapping[str, set[str]]) -> Iterator[Finding]:
    """Finds them, package by package.

    Args:
        imports: By module, what it imports.
    """
    for circle in circles(imports):
        message = f"imports itself by way of {', '.join(circle[1:])}: move what both need below"
        yield Finding(circle[0], 1, "", message)


def circles(imports: Mapping[str, set[str]]) -> list[Sequence[str]]:
    """The largest sets of modules that all reach each other, each in the order of names.

    Args:
        imports: By module, what it imports.
    """
    left = dict(imports)
    # What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    while alone := {
        name
        for name, found in left.items()
        if not found & left.keys() or not any(name in other for other in left.values())
    }:
        left = {name: found for name, found in left.items() if name not in alone}
    reached = {name: _reached(name, left) for name in left}
    found = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in left
        if name in reached[name]
    }
    return sorted(found)


def _reached(start: str, imports: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = (imports[ahead.pop()] & imports.keys()) - seen
        seen |= new
        ahead.extend(new)
    return seen
