"""`get runs`."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.model.every_run import (
    Run,
    fleets_of,
    run_message,
    run_type,
    running_jobs,
)
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour
from dstack_fleets_tui.output.payload import Item, number, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING, age, price

COLUMNS = (
    Column("RUN"),
    Column("TYPE"),
    Column("STATUS", paint=colour),
    Column("BY"),
    Column("JOBS", right=True),
    Column("FLEETS"),
    Column("$/H", right=True),
    Column("AGE", right=True),
    Column("MESSAGE"),
)


def cells(run: Run, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    jobs = snapshot.active_in(run)
    return (
        run.name,
        run_type(run),
        run.status,
        run.user,
        f"{running_jobs(jobs)}/{len(jobs)}",
        ", ".join(fleets_of(jobs)) or NOTHING,
        price(run.price or None),
        age(run.submitted_at, snapshot.observed_at),
        run_message(run, snapshot) or NOTHING,
    )


def item(run: Run, snapshot: Snapshot) -> Item:
    """A service, task or dev environment."""
    jobs = snapshot.active_in(run)
    return {
        "id": run.id,
        "name": run.name,
        "type": run_type(run),
        "status": run.status,
        "message": run_message(run, snapshot) or None,
        "user": run.user,
        "jobs": {"active": len(jobs), "running": running_jobs(jobs)},
        "fleets": fleets_of(jobs),
        "price_per_hour": number(run.price),
        "submitted_at": time(run.submitted_at),
    }


KIND = Kind(
    choose=lambda look, asked: selection.runs(look.snapshot, asked.name, ended=asked.ended),
    columns=COLUMNS,
    rows=lambda run, snapshot: [cells(run, snapshot)],
    item=item,
    wide=("submitted_at", "id"),
)
