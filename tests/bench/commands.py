"""How long commands take from their start to their end, beside those of dstack's own client.

A real server with 3,000 replicas, on which nothing runs. By the clock, in turns, so that what other
programs do meets all alike; and the processor time of the command's own process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from dstack_simulator import Simulator

from .figures import Figure
from .processes import Ended, environment, taken
from .table import Table

_ROUNDS = 3
_DSTACK = (sys.executable, "-m", "dstack._internal.cli.main")
_OURS = (sys.executable, "-m", "dstack_fleets_tui", "get")
_COMMANDS = {
    "dstack fleet": (*_DSTACK, "fleet"),
    "get fleets": (*_OURS, "fleets"),
    "dstack ps": (*_DSTACK, "ps"),
    "get services": (*_OURS, "services"),
    "get problems": (*_OURS, "problems"),
    "get distribution of one": (*_OURS, "distribution", "NAME"),
}
#: Each, what it is compared with, the most it is to take of that, and what it took before.
_AGAINST = (("get fleets", "dstack fleet", 0.5, 1.06), ("get services", "dstack ps", None, None))


def _configured(folder: Path, sim: Simulator) -> dict[str, str]:
    """The environment of a user for whom this server is the default."""
    (folder / ".dstack").mkdir()
    where = f"{{name: {sim.project}, url: {sim.server_url}, token: {sim.token}, default: true}}"
    (folder / ".dstack" / "config.yml").write_text(f"projects: [{where}]\n")
    return environment(folder)


def measure(sim: Simulator, folder: Path) -> Table:
    given = _configured(folder, sim)
    listed = taken((*_OURS, "services", "--columns", "service"), given).output.split()
    asked = {
        name: [listed[1] if word == "NAME" else word for word in words]
        for name, words in _COMMANDS.items()
    }
    for words in asked.values():  # writes the bytecode
        taken(words, given)
    took: dict[str, list[Ended]] = {name: [] for name in asked}
    for _ in range(_ROUNDS):
        for name, words in asked.items():
            took[name].append(taken(words, given))
    wall = {name: statistics.median(each.wall for each in all_) for name, all_ in took.items()}
    cpu = {name: statistics.median(each.cpu for each in all_) for name, all_ in took.items()}
    return Table(
        "Commands on a project of 3,000 replicas, from start to end",
        ("", "by the clock", "processor time"),
        [(name, f"{wall[name] * 1000:,.0f} ms", f"{cpu[name] * 1000:,.0f} ms") for name in took],
        f"Medians of {_ROUNDS} in turns.",
        [
            *(
                Figure(f"{ours} against {theirs}", wall[ours] / wall[theirs], "times", goal, before)
                for ours, theirs, goal, before in _AGAINST
            ),
            Figure("get problems of 3,000 replicas", cpu["get problems"] * 1000, before=5_400),
            Figure(
                "get distribution of one of 100 services", cpu["get distribution of one"] * 1000
            ),
        ],
    )


def run() -> Table:
    with Simulator("large") as sim, tempfile.TemporaryDirectory() as folder:
        return measure(sim, Path(folder))
