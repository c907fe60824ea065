"""The version of the project and the headings of its changelog, which say the same.

`python -m tests.lint.releases` says whether what is checked out is a release, which has a tag too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import ROOT
from tests.lint.source import Finding

_VERSION = re.compile(r'^version = "(?P<version>[^"]+)"', re.MULTILINE)
_HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?P<date>.*)$")
_DATED = re.compile(r" - \d{4}-\d{2}-\d{2}")
_CHANGELOG = "CHANGELOG.md"


def check(root: Path) -> Iterator[Finding]:
    """Finds headings that are none of a release, and a newest one of another version."""
    version, headings = _version(root), _headings(root)
    if not headings or headings[0][1]["name"] != "Unreleased":
        yield Finding(_CHANGELOG, 1, "", "its first heading is not [Unreleased]")
    releases = [(n, m) for n, m in headings if m["name"] != "Unreleased"]
    for number, match in releases:
        if _DATED.fullmatch(match["date"]) is None:
            yield Finding(_CHANGELOG, number, "", "a release has its date: ## [1.2.0] - 2026-01-31")
    if releases and releases[0][1]["name"] != version:
        yield Finding(
            _CHANGELOG, releases[0][0], "", f"the newest release is not {version} of pyproject.toml"
        )


def unreleased(root: Path) -> Iterator[str]:
    """What keeps a checkout from being built as a release, a sentence each."""
    for finding in check(root):
        yield f"{finding.message}."
    version, headings = _version(root), _headings(root)
    if not any(match["name"] == version for _, match in headings):
        yield f"{_CHANGELOG} has no heading of {version}."
    tag = f"v{version}"
    if tag not in _git(root, "tag", "--points-at", "HEAD").split():
        yield f"The commit has no tag {tag}."
    if _git(root, "status", "--porcelain"):
        yield "Files differ from the commit."


def _version(root: Path) -> str:
    found = _VERSION.search((root / "pyproject.toml").read_text("utf-8"))
    return found["version"] if found else ""


def _headings(root: Path) -> list[tuple[int, re.Match[str]]]:
    """The headings of the changelog, with their lines."""
    lines = (root / _CHANGELOG).read_text("utf-8").splitlines()
    return [(n, m) for n, line in enumerate(lines, 1) if (m := _HEADING.match(line))]


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit("\n".join(unreleased(ROOT)) or None)
