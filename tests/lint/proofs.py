"""What docs/testing.md says proves each capability: tests that exist, and all that do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from tests.lint.source import Finding

PAGE = "docs/testing.md"
_HEADING = "## What proves what"
_COLUMNS = slice(2, 4)
_IN_BRACKETS = re.compile(r"\([^()]*\)")


def check(root: Path) -> Iterator[Finding]:
    """Finds names of the table that are no test modules, and test modules that no row names."""
    known = {
        f"{path.parent.name}: {path.stem.removeprefix('test_')}"
        for path in (root / "tests").rglob("test_*.py")
        if path.parent.name != "lint"
    }
    named: set[str] = set()
    end = 0
    for line, pattern in _named(root):
        found = {each for each in known if fnmatch(each, pattern)}
        if not found:
            yield Finding(PAGE, line, "", f"names tests that are not there: {pattern}")
        named |= found
        end = line
    for each in sorted(known - named):
        yield Finding(PAGE, end, "", f"has no row for tests: {each}")


def _named(root: Path) -> Iterator[tuple[int, str]]:
    """The modules that rows name, as patterns, and the lines that they are on."""
    lines = (root / PAGE).read_text("utf-8").splitlines()
    for number, line in enumerate(lines[lines.index(_HEADING) :], lines.index(_HEADING) + 1):
        if not line.startswith("| ") or line.startswith(("| ---", "| capability")):
            continue
        for cell in line.split("|")[_COLUMNS]:
            for part in filter(None, _IN_BRACKETS.sub("", cell).strip().split("; ")):
                folder, _, names = part.partition(": ")
                for name in names.split(", ") if names else ["*"]:
                    yield number, f"{folder.strip()}: {name.strip()}"
