"""How long it takes until the dashboard has painted, and until a command has said what it may say.

Each is a process of its own, beside one of a minimal Textual app, or of Python alone. Processor
time until the first write to the terminal that shows something, or until the end. Bytecode is
there, as it is of what was installed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from .figures import Figure
from .processes import environment, taken
from .table import Table

_ROUNDS = 5
_DRIVER = "tests.servers.timed_start:FirstPaint"
_MINIMAL = "tests.servers.timed_start"
_AWAY = ("--server-url", "http://127.0.0.1:9", "--project", "main")


_STARTS = {
    "Python alone": ("-c", "pass"),
    "a minimal Textual app, painted": ("-m", _MINIMAL),
    "the dashboard, painted": ("-m", _MINIMAL, "dashboard", *_AWAY),
    "--help": ("-m", "dstack_fleets_tui", "--help"),
    "get fleets, no server": ("-m", "dstack_fleets_tui", "get", "fleets", *_AWAY),
}


def run() -> Table:
    took: dict[str, list[float]] = {name: [] for name in _STARTS}
    with tempfile.TemporaryDirectory() as name:
        given = environment(Path(name), TEXTUAL_DRIVER=_DRIVER, DSTACK_TOKEN="not-a-token")
        for words in _STARTS.values():  # writes the bytecode
            taken((sys.executable, *words), given)
        for _ in range(_ROUNDS):  # in turns: what other programs do meets all alike
            for start, words in _STARTS.items():
                took[start].append(taken((sys.executable, *words), given).cpu * 1000)
    medians = {start: statistics.median(each) for start, each in took.items()}
    minimal = medians["a minimal Textual app, painted"]
    ratio = medians["the dashboard, painted"] / minimal
    return Table(
        "From the start of a process",
        ("", "processor time", "against a minimal Textual app"),
        [(start, f"{each:.0f} ms", f"{each / minimal:.2f}") for start, each in medians.items()],
        f"Medians of {_ROUNDS} in turns.",
        [
            Figure("the first paint against a minimal Textual app", ratio, "times", 1.3, 2.1),
            *(
                Figure(f"{start} against a minimal Textual app", medians[start] / minimal, "times")
                for start in ("--help", "get fleets, no server")
            ),
        ],
    )
