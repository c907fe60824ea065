"""docs/performance.md: what a run of all benchmarks found."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from tests import ROOT

from .figures import Figure, shown
from .table import Table

PAGE = ROOT / "docs" / "performance.md"
_VERSIONS = ("textual", "httpx", "msgspec", "dstack")
_HEAD = """\
# How fast it is

This page is written by `make bench`, which measures all of it in one run on one machine, and fails
where a figure has become worse by more than a third than those of `tests/bench/figures.json`.
`make bench ARGS='polls quiet'` runs some of the benchmarks and writes nothing; `make bench
ARGS=--keep` makes what it finds the figures of the repository.

Times are processor time of the dashboard, so that other programs on the machine count little. They
are compared as times of a fixed piece of work, measured in the same run. Ratios are of two things
measured in the same run. Goals are meant for a machine that has nothing else to do; what was before
was measured on one that had.
"""


def write(names: Sequence[str], tables: Sequence[Table], units_ms: Sequence[float]) -> None:
    """Writes the page.

    Args:
        names: What the benchmarks are called.
        tables: What they gave.
        units_ms: What the fixed piece of work took, before each of them.
    """
    PAGE.write_text("\n".join(_lines(names, tables, units_ms)) + "\n")


def _lines(
    names: Sequence[str], tables: Sequence[Table], units_ms: Sequence[float]
) -> Iterable[str]:
    yield _HEAD
    yield f"- machine: {_machine()}"
    yield f"- versions: Python {platform.python_version()}, {_versions()}"
    least, most = min(units_ms), max(units_ms)
    yield f"- the fixed piece of work: {least:.1f} to {most:.1f} ms in the course of the run"
    yield f"- processes that wanted a processor at its end: {os.getloadavg()[1]:.0f}"
    yield f"- benchmarks: {', '.join(names)}"
    yield ""
    yield "## Against the goals"
    yield ""
    yield "| what | before | now | goal |"
    yield "| --- | --- | --- | --- |"
    for figure in (figure for table in tables for figure in table.figures):
        if figure.goal is not None:
            yield _row(figure)
    yield ""
    yield "## All that was measured"
    for table in tables:
        yield ""
        yield "```text"
        yield str(table).rstrip()
        yield "```"


def _row(figure: Figure) -> str:
    goal = figure.goal or 0.0
    before = "" if figure.before is None else shown(figure.before, figure.unit)
    now = shown(figure.value, figure.unit)
    if figure.value > goal:
        now = f"**{now}**"
    return f"| {figure.key} | {before} | {now} | {shown(goal, figure.unit)} |"


def _machine() -> str:
    named = [
        line.partition(":")[2].strip()
        for line in _cpuinfo().splitlines()
        if line.startswith("model name")
    ]
    what = named[0] if named else platform.processor() or platform.machine()
    return f"{os.cpu_count()} × {what}, {platform.system()}"


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
