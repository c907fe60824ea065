"""What a benchmark gives back, and how it is measured in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Cases = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __str__(self) -> str:
        widths = [
            max(len(line[index]) for line in (self.columns, *self.rows))
            for index in range(len(self.columns))
        ]
        lines = [self.title, ""]
        for line in (self.columns, *self.rows):
            cells = [
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def best(work: Callable[[], object], rounds: int) -> float:
    """The shortest of several rounds, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def grown(small: Cases, large: Cases, rounds: int) -> list[tuple[str, str, str, str]]:
    """Rows of what each case takes when small, when large, and the ratio."""
    before = {name: best(work, rounds) for name, work in small.items()}
    after = {name: best(work, rounds) for name, work in large.items()}
    return [
        (name, f"{before[name]:.2f} ms", f"{took:.2f} ms", f"{took / before[name]:.1f}")
        for name, took in after.items()
    ]
