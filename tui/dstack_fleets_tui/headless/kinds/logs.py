"""`get logs`: what the replicas of a service write, the newest last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from zlib import crc32

from dstack_api_client.model.labels import group_label
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.replica.logs import LogLine
from dstack_api_client.replica.service_logs import (
    ServiceLogs,
    ServiceOutput,
    writer_name,
    writers,
)
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import (
    Asked,
    Look,
    Source,
    UnavailableError,
    Written,
    read_project,
)
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.payload import Item, time
from dstack_fleets_tui.output.table import Column

#: Colours of a terminal that tell replicas apart: none that says what is wrong.
_COLOURS = ("\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[95m")


def _colour(name: str) -> str:
    return _COLOURS[crc32(name.strip().encode()) % len(_COLOURS)]


COLUMNS = (Column("TIME"), Column("REPLICA", paint=_colour), Column("OUTPUT"))


def rows(written: Written) -> list[Sequence[str]]:
    """One cell per column of `COLUMNS`; where lines are missing, a row that says so."""
    line = written.line
    row = (time(line.at), line.of, line.text)
    return [(time(line.at), line.of, "(lines are missing here)"), row] if line.left_out else [row]


def item(written: Written) -> Item:
    """A line of output."""
    line, replica = written
    return {
        "at": time(line.at),
        "replica": replica.key.replica_num if replica is not None else None,
        "group": replica.group if replica is not None else None,
        "text": line.text,
        "lines_missing_before": line.left_out,
    }


def chosen(snapshot: Snapshot, asked: Asked) -> tuple[Service, Sequence[Replica]]:
    """The service and those of its replicas that are asked for.

    Raises:
        NoSuchNameError: There is no such service, group or replica.
    """
    (service,) = selection.services(snapshot, asked.name or "")
    every = snapshot.replicas_of(service)
    found: Sequence[Replica] = every
    if asked.group is not None:
        labels = {each.group: group_label(each.group, each.role) for each in every}
        found = [each for each in every if asked.group in (each.group, labels[each.group])]
        if not found:
            raise selection.missing_of(service, "group", asked.group, labels.values())
    if asked.replica is not None:
        number = asked.replica
        found = [each for each in found if each.key.replica_num == number]
        if not found:
            numbers = [str(each.key.replica_num) for each in every]
            raise selection.missing_of(service, "replica", str(number), numbers)
    return service, found


def written(lines: Iterable[LogLine], replicas: Sequence[Replica]) -> tuple[Written, ...]:
    """The lines, each with its replica."""
    by_name = {writer_name(each): each for each in replicas}
    return tuple(Written(line, by_name.get(line.of)) for line in lines)


def notes_of(output: ServiceOutput) -> list[str]:
    """What is missing in the lines."""
    found = []
    if output.dropped:
        found.append(f"{output.dropped} older lines are left out.")
    if output.failure is not None:
        found.append(f"The logs of {output.failed} could not be read. {output.failure}")
    return found


async def _read(source: Source, asked: Asked) -> Look:
    look = await read_project(source, asked)
    _, replicas = chosen(look.snapshot, asked)
    logs = ServiceLogs(
        source.client, look.snapshot.project, back=asked.back, now=source.client.server_now
    )
    logs.follow(writers(replicas))
    output = await whole(logs)
    if output.failure is not None and not output.lines:
        raise UnavailableError(output.failure.message, output.failure.hint)
    notes = tuple(notes_of(output))
    return replace(look, lines=written(output.lines, replicas), notes=notes)


async def whole(logs: ServiceLogs) -> ServiceOutput:
    """Reads until every replica had its turn."""
    while True:
        async for _ in logs.poll():
            continue
        if not logs.state.unread:
            return logs.state


KIND = Kind(
    choose=lambda look, asked: look.lines,
    columns=COLUMNS,
    rows=lambda thing, snapshot: rows(thing),
    item=lambda thing, snapshot: item(thing),
    read=_read,
    notes=lambda look, asked: look.notes,
    named=lambda item: str(item["replica"] if item["replica"] is not None else "gone"),
    nothing=lambda look, asked: f"No logs of {asked.name} in that time.",
)
