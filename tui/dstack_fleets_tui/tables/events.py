"""The list of what happened."""

from __future__ import annotations

from datetime import date, datetime

from dstack_api_client import sentences
from dstack_api_client.events.stream import Event, Target
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import CellValue, Column, Row

COLUMNS = (
    Column("time", "TIME", priority=9),
    Column("about", "ABOUT", min_width=12, max_width=48, priority=8, flexible=True),
    Column("event", "EVENT", min_width=36, max_width=160, priority=10, flexible=True),
    Column("by", "BY", max_width=20, priority=6),
)


def row(event: Event, today: date, looks: Looks) -> Row:
    """The row of one event; the filter looks into all of the message.

    Args:
        event: The event.
        today: The day of which the times need no date.
        looks: Glyphs to show it with.

    Returns:
        The row, by the event's id, with one cell per column of `COLUMNS`.
    """
    cells = (
        CellValue(time_of(event.recorded_at, today), "dim", event.recorded_at),
        looks.word(about(event)),
        looks.text(sentences.short(event.message), _style(event.message)),
        looks.word(event.actor),
    )
    return Row(event.id, cells, event.message)


def _style(message: str) -> str:
    if sentences.is_bad(message):
        return "bad"
    return "ok" if sentences.is_good(message) else ""


def time_of(moment: datetime, today: date) -> str:
    """`14:02:31`, with the day before it where that is not today."""
    here = moment.astimezone()
    return here.strftime("%H:%M:%S" if here.date() == today else "%m-%d %H:%M:%S")


def about(event: Event) -> str:
    """`chat-70b-1-0, gpu-spot-0`: names of what it is about."""
    return ", ".join(target.name or target.id for target in event.targets)


def summary(event: Event) -> str:
    """One line on an event: all of its message and what it is about by kind and name."""
    kinds = ", ".join(f"{target.type} {target.name or target.id}" for target in event.targets)
    who = f"by {event.actor}" if event.actor else "by the server"
    return f"{event.message}  {kinds}  {who}"


def replica_of(target: Target, snapshot: Snapshot) -> Replica | None:
    """The replica that a job of an event belongs to, be it of an earlier submission."""
    named = None
    for replica in snapshot.replicas.values():
        if replica.submission_id == target.id:
            return replica
        if replica.job_name == target.name:
            named = replica
    return named
