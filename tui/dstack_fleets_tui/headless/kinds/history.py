"""`get history`: what was done to services, deployment by deployment; not what their jobs did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dstack_api_client import sentences
from dstack_api_client.edits.base.base import Target
from dstack_api_client.edits.history.past import PastDeployment, past_deployments
from dstack_api_client.edits.store.audit_log import ChangedField
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.events.stream import Event
from dstack_api_client.model.service import Service
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
    Column("KEPT"),
)


class Done(NamedTuple):
    """Something that was done to a service, and the deployment that it made if it made one."""

    event: Event
    made: PastDeployment | None = None


async def _read(source: Source, asked: Asked) -> Look:
    snapshot = await poll(source.feed, full=True)
    services = selection.services(snapshot, asked.name, ended=asked.ended)
    filters = [
        {"target_runs": group} for group in in_groups([each.id for each in services], FILTER_ITEMS)
    ]
    found = await events.newest_of(source.client, filters, asked.limit)
    store = Store.default()
    past = {
        event_id: made
        for service in services
        for event_id, made in _made(store, source.client.url, service, found)
    }
    return Look(snapshot, events=found, past=past)


def _made(
    store: Store, server: str, service: Service, found: Sequence[Event]
) -> Iterator[tuple[str, PastDeployment]]:
    """The deployments of a service by the event that made them."""
    target = Target(server, service.project, "service", service.name)
    own = [event for event in found if any(each.id == service.id for each in event.targets)]
    for made in past_deployments(service, own, store.deployments(target, service.id)):
        if made.event is not None:
            yield made.event.id, made


def _service(event: Event) -> str | None:
    return next((target.name for target in event.targets if target.type == "run"), None)


def cells(done: Done) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    event, made = done
    told = sentences.told(event.message)
    return (
        time(event.recorded_at),
        event.actor or "server",
        _service(event) or NOTHING,
        str(told.deployment) if told.deployment is not None else NOTHING,
        _changed(made.changes if made is not None else None) or ", ".join(told.fields) or NOTHING,
        sentences.without_fields(event.message),
        _kept(made),
    )


def _kept(made: PastDeployment | None) -> str:
    if made is None or not made.is_kept:
        return NOTHING
    return "now" if made.is_latest else "yes"


def _changed(changes: Sequence[ChangedField] | None) -> str:
    return ", ".join(f"{each.field}: {each.old} -> {each.new}" for each in changes or ())


def item(done: Done) -> Item:
    """Something that was done to a service, or that it came to."""
    event, made = done
    told = sentences.told(event.message)
    return {
        "id": event.id,
        "recorded_at": time(event.recorded_at),
        "actor": event.actor,
        "service": _service(event),
        "deployment": told.deployment,
        "changed_fields": list(told.fields),
        "message": event.message,
        "kept": made is not None and made.is_kept,
        "changes": _items(made.changes if made is not None else None),
        "changed_since": _items(made.since if made is not None else None),
    }


def _items(changes: Sequence[ChangedField] | None) -> list[Item] | None:
    if changes is None:
        return None
    return [{"field": each.field, "old": each.old, "new": each.new} for each in changes]


KIND = Kind(
    choose=lambda look, asked: [
        Done(each, look.past.get(each.id)) for each in look.events if _service(each) is not None
    ],
    columns=COLUMNS,
    rows=lambda done, snapshot: [cells(done)],
    item=lambda done, snapshot: item(done),
    read=_read,
    named=lambda item: str(item["id"]),
    past=True,
    wide=("id",),
    order=lambda done: done.event.recorded_at,
)
