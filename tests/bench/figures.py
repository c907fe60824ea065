"""What is kept of a run of the benchmarks, and what a later run is compared with.

A figure that is a time is compared as times of a fixed piece of work, measured in the same run: a
machine that is slower, or busy, is so for both. Others are ratios, bytes and counts by themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: The figures of the repository.
KEPT = Path(__file__).with_name("figures.json")
#: How many times the kept figure is a regression.
WORSE = 4 / 3
#: What is less than this is not compared: the clock tells it no more exactly.
_LEAST_MS = 0.5
_TIME = "ms"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: What it is kept under: `poll, 10,000 replicas`.
        value: The figure; less is better.
        unit: `ms` of processor time, `times`, `kB`, or what is counted.
        goal: What it is to be at most, on a machine that has nothing else to do; None for no goal.
        before: What it was before there was this page, where that was measured.
    """

    key: str
    value: float
    unit: str = _TIME
    goal: float | None = None
    before: float | None = None

    def score(self, unit_ms: float) -> float:
        """What is compared.

        Args:
            unit_ms: What the fixed piece of work takes here, in milliseconds.
        """
        return self.value / unit_ms if self.unit == _TIME else self.value


def yardstick(rounds: int = 7) -> float:
    """Milliseconds of processor time that a fixed piece of work takes, the least of several."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        _work()
        took.append(time.process_time() - began)
    return min(took) * 1000


def _work() -> int:
    """Texts, mappings and sorting, as the dashboard has them."""
    rows = {f"s-{number % 97}/{number}": (number % 13, str(number)) for number in range(8_000)}
    texts = [f"{key:<20}{values[1]:>8}" for key, values in rows.items() if values[0] != 3]
    return len("".join(sorted(texts, key=lambda text: text[::-1])))


def kept() -> dict[str, float]:
    """The scores of the repository, by key."""
    found: dict[str, float] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


def keep(scores: Mapping[str, float]) -> None:
    """Makes scores those of the repository; of benchmarks that did not run, those stay."""
    both = {**kept(), **{key: float(f"{score:.4g}") for key, score in scores.items()}}
    KEPT.write_text(json.dumps(dict(sorted(both.items())), indent=1) + "\n")


def regressions(figures: Iterable[Figure], unit_ms: float) -> list[str]:
    """A line for each figure that is worse by more than a third than the one that is kept."""
    before = kept()
    lines = []
    for figure in figures:
        was, is_now = before.get(figure.key), figure.score(unit_ms)
        small = figure.unit == _TIME and figure.value < _LEAST_MS
        if was is None or small or is_now <= was * WORSE:
            continue
        more = f"{is_now / was:.1f} times" if was else "more than"
        lines.append(f"{figure.key}: {shown(figure.value, figure.unit)} is {more} what it was.")
    return lines


def shown(value: float, unit: str) -> str:
    """A figure with its unit: `14.6 ms`, `1.3 times`."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
