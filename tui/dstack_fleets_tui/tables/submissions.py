"""The history of a replica: its submissions."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.replica.watch import Submission
from dstack_fleets_tui.tables.events import time_of
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import formatting
from dstack_widgets.table.cells import Cell, CellValue, Column

COLUMNS = (
    Column("submission", "SUBM", justify="right", priority=10),
    Column("deployment", "DEPL", justify="right", priority=6),
    Column("state", "STATE", priority=10),
    Column("began", "BEGAN", priority=8),
    Column("lasted", "LASTED", justify="right", priority=8),
    Column("exit", "EXIT", justify="right", priority=7),
    Column("host", "HOST", max_width=30, priority=6, names=True),
    Column("where", "WHERE", max_width=30, priority=4),
    Column("price", "$/H", justify="right", priority=3),
    Column("message", "MESSAGE", min_width=10, max_width=120, priority=9, flexible=True),
)


def cells(submission: Submission, looks: Looks) -> Sequence[Cell]:
    """The row of one submission: one cell per column of `COLUMNS`."""
    lasted = (submission.finished_at or looks.now) - submission.submitted_at
    where = dict.fromkeys(each for each in (submission.backend, submission.region) if each)
    code = submission.exit_status
    return (
        looks.number(submission.num),
        looks.number(submission.deployment_num),
        looks.state(submission.status),
        CellValue(
            time_of(submission.submitted_at, looks.now.astimezone().date()),
            "",
            submission.submitted_at,
        ),
        CellValue(formatting.length(lasted), "", lasted),
        looks.number(code, "bad" if code else ""),
        looks.word(submission.hostname),
        looks.word(" ".join(where)),
        looks.price(submission.price),
        looks.text(submission.message, "bad" if submission.status == "failed" else ""),
    )


def summary(submission: Submission) -> str:
    """One line on a submission: the last message of the server, and when it was."""
    began = submission.submitted_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    ended = submission.finished_at
    until = f" to {ended.astimezone().strftime('%Y-%m-%d %H:%M:%S')}" if ended else ""
    reason = (submission.termination_reason or "").replace("_", " ")
    parts = (
        f"submission {submission.num}",
        submission.message,
        reason if reason != submission.message else "",
        f"{began}{until}",
        submission.instance_type or "",
    )
    return "  ".join(part for part in parts if part)
