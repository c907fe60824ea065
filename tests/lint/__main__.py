"""Checks tests, how modules hang together, words and documents: `python -m tests.lint`.

`allowed.txt` beside this file lists places that may stay, one `file:function` to a line. A line
that allows nothing any more is an error too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.lint import (
    addresses,
    circles,
    clocks,
    faces,
    imported,
    links,
    looks,
    proofs,
    releases,
    sleeps,
    words,
)
from tests.lint.imports import imports
from tests.lint.source import Finding, Module, read

ROOT = Path(__file__).parents[2]
ALLOWED = Path(__file__).with_name("allowed.txt")
CHECKS: tuple[Callable[[list[Module]], Iterator[Finding]], ...] = (
    sleeps.check,
    looks.check,
    clocks.check,
    imported.check,
)


def findings(modules: list[Module]) -> list[Finding]:
    """All that is wrong, in the order of the files."""
    return sorted(found for check in CHECKS for found in check(modules))


def judged(found: Iterable[Finding], allowed: set[str]) -> list[str]:
    """What is to be said: findings that nothing allows, and lines that allow nothing."""
    found = list(found)
    said = [str(each) for each in found if each.place not in allowed]
    unused = sorted(allowed - {each.place for each in found})
    return said + [
        f"{ALLOWED.name}: {place}: allows nothing: remove it" for place in sorted(unused)
    ]


def allowed(text: str) -> set[str]:
    """The places of a list; comments begin with `#`."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {line for line in lines if line}


def main() -> int:
    of_code = [
        *words.check(ROOT),
        *links.check(ROOT),
        *proofs.check(ROOT),
        *releases.check(ROOT),
        *addresses.check(ROOT),
        *circles.check(imports()),
        *faces.check(ROOT, imports()),
    ]
    found = [*findings(read(ROOT)), *of_code]
    said = judged(found, allowed(ALLOWED.read_text()))
    sys.stdout.writelines(f"{line}\n" for line in said)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
