"""What a look of the add-on at a service that has what it should adds to the stock server's own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from tests import ROOT

from .figures import Figure
from .table import Table

_REPLICAS = (10, 200, 1000)
_ROUNDS = 15
_BEFORE = {10: 184.0, 200: 265.0, 1000: 369.0}


def run() -> Table:
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: the lanes must be in dstack's models before those are loaded.
        measured = subprocess.run(
            [
                *(sys.executable, "-m", "tests.servers.measured_looks", folder, str(_ROUNDS)),
                *map(str, _REPLICAS),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
    rows, figures = [], []
    for replicas, took in zip(_REPLICAS, json.loads(measured.stdout), strict=True):
        stock, ours = took["stock"], took["with the add-on"]
        rows.append(
            (
                f"{replicas} replicas",
                f"{stock:.1f} ms",
                f"{ours:.1f} ms",
                f"{ours - stock:+.1f} ms",
                f"{ours / stock:.2f}",
            )
        )
        figures.append(
            Figure(
                f"a look of the add-on at {replicas:,} replicas, over the stock server's",
                ours - stock,
                goal=10,
                before=_BEFORE[replicas],
            )
        )
    return Table(
        title="A look at a service in two lanes, with 395 instances in their fleets",
        columns=("what", "stock server", "with the add-on", "more", "ratio"),
        rows=rows,
        note=f"Processor time of the server's process, the median of {_ROUNDS} looks.",
        figures=figures,
    )
