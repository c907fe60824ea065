"""`get audit`: what was changed from this machine. The server is not asked."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.clock import utc_now
from dstack_api_client.edits.store import audit_log
from dstack_api_client.edits.store.audit_log import AuditLine
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.labels import counted
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, Source
from dstack_fleets_tui.output.payload import Item, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING

COLUMNS = (
    Column("TIME"),
    Column("BY"),
    Column("ON"),
    Column("NAME"),
    Column("ACTION"),
    Column("CHANGES"),
    Column("RESULT"),
)


async def _read(source: Source, asked: Asked) -> Look:
    server, project = source.client.url, source.feed.project
    lines, broken = audit_log.read(Store.default().folder)
    found = [
        line
        for line in lines
        if (line.server, line.project) == (server, project) and asked.name in (None, line.name)
    ]
    snapshot = Snapshot(ServerInfo(server, None), project, utc_now(), {}, {}, {}, {}, {})
    notes = (f"{counted(broken, 'line')} of the audit log can't be read.",) if broken else ()
    return Look(snapshot, notes=notes, changes=tuple(found[-asked.limit :]))


def cells(line: AuditLine) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    changes = (f"{each.field}: {each.old} -> {each.new}" for each in line.changes)
    return (
        time(line.at),
        line.user,
        line.kind,
        line.name,
        line.action,
        ", ".join(changes) or NOTHING,
        line.result,
    )


def item(line: AuditLine) -> Item:
    """A change that was asked for from here."""
    return {
        "at": time(line.at),
        "user": line.user,
        "local_user": line.local_user,
        "kind": line.kind,
        "name": line.name,
        "action": line.action,
        "changes": [
            {"field": each.field, "old": each.old, "new": each.new} for each in line.changes
        ],
        "result": line.result,
    }


KIND = Kind(
    choose=lambda look, asked: look.changes,
    columns=COLUMNS,
    rows=lambda line, snapshot: [cells(line)],
    item=lambda line, snapshot: item(line),
    read=_read,
    notes=lambda look, asked: look.notes,
    nothing=lambda look, asked: "Nothing was changed from this machine.",
    identity=lambda item: (item["at"], item["name"], item["action"]),
    past=True,
    wide=("local_user",),
    order=lambda line: line.at,
)
