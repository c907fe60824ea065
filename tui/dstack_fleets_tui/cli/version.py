"""Which version runs: a release, or a commit where it was installed from git or from a checkout."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import Distribution, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dstack_fleets_tui.output.notices import PROGRAM

#: Hexadecimal digits of a commit that are shown.
_DIGITS = 7
_PATIENCE = 5.0


def version_text() -> str:
    """The version, and the commit where it is not a release: `0.1.0 (commit 1a2b3c4, changed)`."""
    installed = distribution(PROGRAM)
    commit = _commit_of(installed)
    return f"{installed.version} (commit {commit})" if commit else installed.version


def _commit_of(installed: Distribution) -> str | None:
    """The commit, as what installed the program noted it (PEP 610); None for a release."""
    try:
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    commit = origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return str(commit)[:_DIGITS]
    if origin.get("dir_info", {}).get("editable"):
        return _checked_out(Path(unquote(urlsplit(origin["url"]).path)))
    return None


def _checked_out(folder: Path) -> str | None:
    """The commit of a checkout, and whether files differ from it; None where git can't tell."""
    told = _git(folder, "rev-parse", f"--short={_DIGITS}", "HEAD")
    if not told:
        return None
    return f"{told}, changed" if _git(folder, "status", "--porcelain", "-uno") else told


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
