"""`get history`: what was done to services, deployment by deployment; not what their jobs did."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.events import messages
from dstack_api_client.events.stream import Event
from dstack_api_client.transport.events import FILTER_ITEMS, in_groups
from dstack_fleets_tui.headless.kinds import events
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, Source, poll
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.payload import Item, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING

COLUMNS = (
    Column("TIME"),
    Column("BY"),
    Column("SERVICE"),
    Column("DEPLOYMENT", right=True),
    Column("CHANGED"),
    Column("EVENT"),
)


async def _read(source: Source, asked: Asked) -> Look:
    snapshot = await poll(source.feed, full=True)
    ids = [each.id for each in selection.services(snapshot, asked.name, ended=asked.ended)]
    filters = [{"target_runs": group} for group in in_groups(ids, FILTER_ITEMS)]
    return Look(snapshot, events=await events.newest_of(source.client, filters, asked.limit))


def _service(event: Event) -> str | None:
    return next((target.name for target in event.targets if target.type == "run"), None)


def cells(event: Event) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    told = messages.told(event.message)
    return (
        time(event.recorded_at),
        event.actor or "server",
        _service(event) or NOTHING,
        str(told.deployment) if told.deployment is not None else NOTHING,
        ", ".join(told.fields) or NOTHING,
        messages.without_fields(event.message),
    )


def item(event: Event) -> Item:
    """Something that was done to a service, or that it came to."""
    told = messages.told(event.message)
    return {
        "id": event.id,
        "recorded_at": time(event.recorded_at),
        "actor": event.actor,
        "service": _service(event),
        "deployment": told.deployment,
        "changed_fields": list(told.fields),
        "message": event.message,
    }


KIND = Kind(
    choose=lambda look, asked: [each for each in look.events if _service(each) is not None],
    columns=COLUMNS,
    rows=lambda event, snapshot: [cells(event)],
    item=lambda event, snapshot: item(event),
    read=_read,
    named=lambda item: str(item["id"]),
)
