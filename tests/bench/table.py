"""What a benchmark gives back, and how it is measured in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .figures import Figure

Cases = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Table:
    """What a benchmark found.

    Attributes:
        title: What it measured.
        columns: The heads of the columns.
        rows: Their cells.
        note: How it was measured.
        figures: What of it is kept and compared.
        wrong: What fails the run whatever the figures of the repository are.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    figures: Sequence[Figure] = ()
    wrong: Sequence[str] = ()

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
    """The least of several rounds, in milliseconds of processor time."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) * 1000


@dataclass(frozen=True)
class Grown:
    """What a case takes when it is small and when it is large, in milliseconds."""

    name: str
    small: float
    large: float

    @property
    def times(self) -> float:
        """How many times as much the large one takes."""
        return self.large / self.small

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Both and the ratio, as cells."""
        return self.name, f"{self.small:.2f} ms", f"{self.large:.2f} ms", f"{self.times:.1f}"


def grown(small: Cases, large: Cases, rounds: int) -> list[Grown]:
    """What each case takes when small and when large."""
    before = {name: best(work, rounds) for name, work in small.items()}
    return [Grown(name, before[name], best(work, rounds)) for name, work in large.items()]
