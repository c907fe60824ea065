"""`get events`: what happened."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.events.stream import Event, Filters, event_of
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, Source
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.payload import Item, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING

COLUMNS = (
    Column("TIME"),
    Column("BY"),
    Column("TARGETS"),
    Column("EVENT"),
)


def cells(event: Event) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    return (
        time(event.recorded_at),
        event.actor or "server",
        ", ".join(f"{target.type} {target.name}" for target in event.targets) or NOTHING,
        event.message,
    )


def item(event: Event) -> Item:
    """Something that happened."""
    return {
        "id": event.id,
        "recorded_at": time(event.recorded_at),
        "message": event.message,
        "actor": event.actor,
        "targets": [
            {"type": target.type, "id": target.id, "name": target.name} for target in event.targets
        ],
    }


async def _read(source: Source, asked: Asked) -> Look:
    snapshot = await source.snapshot()
    return Look(snapshot, events=await newest(source.client, snapshot, asked))


async def newest(client: Client, snapshot: Snapshot, asked: Asked) -> tuple[Event, ...]:
    """The newest events of everything or of one service or fleet, the oldest of them first."""
    if asked.name is None:
        project = await client.projects.get(snapshot.project)
        filters = [{"within_projects": [project.project_id]}]
    else:
        service_id, fleet_id = selection.either(snapshot, asked.name)
        filters = [{"within_runs": [service_id]}] if service_id is not None else []
        filters += [{"within_fleets": [fleet_id]}] if fleet_id is not None else []
    return await newest_of(client, filters, asked.limit)


async def newest_of(client: Client, filters: Sequence[Filters], limit: int) -> tuple[Event, ...]:
    """The newest events that any of several filters lets through, the oldest of them first."""
    found: dict[str, Event] = {}
    for each in filters:
        before = None
        read = 0
        while read < limit:
            page = await client.events.newest(each, limit=min(PAGE, limit - read), before=before)
            if not page:
                break
            found |= {event.id: event_of(event) for event in page}
            read += len(page)
            before = (page[-1].recorded_at, page[-1].id)
    events = sorted(found.values(), key=lambda event: (event.recorded_at, event.id))
    return tuple(events[-limit:])


KIND = Kind(
    choose=lambda look, asked: look.events,
    columns=COLUMNS,
    rows=lambda event, snapshot: [cells(event)],
    item=lambda event, snapshot: item(event),
    read=_read,
    named=lambda item: str(item["id"]),
    past=True,
    wide=("id",),
    order=lambda event: event.recorded_at,
)
