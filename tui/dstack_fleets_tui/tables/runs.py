"""The list of all runs: services, tasks and dev environments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dstack_api_client.model.every_run import (
    Run,
    fleets_of,
    run_message,
    run_type,
    running_jobs,
)
from dstack_api_client.model.labels import counted
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import Cell, Column

COLUMNS = (
    Column("run", "RUN", min_width=8, max_width=30, priority=10, names=True),
    Column("type", "TYPE", priority=9),
    Column("status", "STATUS", priority=9),
    Column("user", "BY", priority=8, max_width=20),
    Column("jobs", "JOBS", justify="right", priority=8),
    Column("fleets", "FLEETS", min_width=12, max_width=60, priority=7, flexible=True),
    Column("gpu", "GPU", priority=5, max_width=24),
    Column("price", "$/H", justify="right", priority=6),
    Column("age", "AGE", justify="right", priority=6),
    Column("message", "MESSAGE", priority=3, max_width=80),
)


def cells(run: Run, snapshot: Snapshot, looks: Looks) -> Sequence[Cell]:
    """The row of one run: one cell per column of `COLUMNS`."""
    jobs = snapshot.active_in(run)
    running = running_jobs(jobs)
    gpus = Counter[str]()
    for job in jobs:
        if job.gpus is not None:
            gpus[job.gpus.name] += job.gpus.count
    return (
        looks.text(run.name, "bad" if run.status == "failed" else ""),
        run_type(run),
        looks.state(run.status),
        looks.word(run.user),
        looks.text(f"{running}/{len(jobs)}", "warn" if running < len(jobs) else "", len(jobs)),
        looks.word(", ".join(fleets_of(jobs))),
        looks.word(", ".join(f"{name}:{count}" for name, count in gpus.items())),
        looks.price(run.price),
        looks.age(run.submitted_at),
        looks.word(run_message(run, snapshot)),
    )


def summary(run: Run, snapshot: Snapshot) -> str:
    """One line on a run, for below the list."""
    jobs = snapshot.active_in(run)
    hosts = dict.fromkeys(job.hostname for job in jobs if job.hostname)
    parts = (
        run.name,
        f"by {run.user}",
        counted(len(jobs), "job"),
        f"on {', '.join(hosts)}" if hosts else "",
        run_message(run, snapshot),
    )
    return "  ".join(part for part in parts if part)
