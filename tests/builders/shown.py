"""Shows all that there is to show of a project: tables, lines, JSON, YAML."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from dstack_api_client.analysis.fleet_facts import fleet_facts
from dstack_api_client.analysis.since import Since
from dstack_api_client.events.stream import event_of
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.configuration import as_yaml
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.transport import wire
from dstack_fleets_tui.headless.get import collect, table
from dstack_fleets_tui.headless.looking import Asked, Look
from tests.builders.painted import paint

#: What was shown last, and which configurations were written: most slips are in none of it.
_shown: deque[tuple[Snapshot, list[wire.Event]]] = deque(maxlen=40)
_written: deque[str] = deque(maxlen=200)


def show(snapshot: Snapshot, feed: Feed, kinds: Iterable[str], now: datetime) -> None:
    """Shows a snapshot, unless one like it was shown just now: it would look the same."""
    seen = (snapshot, feed.events)
    if seen in _shown:
        return
    _shown.append(seen)
    since = Since()
    since.learn(feed.events)
    events = [event_of(event) for event in feed.events]
    problems = problems_of(snapshot, now, since)
    for service in snapshot.services.values():
        _as_yaml(service.spec.get("configuration") or {})
    for fleet in snapshot.fleets.values():
        fleet_facts(fleet)
        _as_yaml(fleet.spec.get("configuration") or {})
    paint(snapshot, since, problems, events, now)
    look = Look(snapshot, problems, tuple(events))
    for kind in kinds:
        asked = Asked(kind, ended=True)
        json.dumps(collect(look, asked))
        table(look, asked, colour=True)


def _as_yaml(configuration: Any) -> None:
    """Writes a configuration, unless it was written before."""
    key = json.dumps(configuration)
    if key not in _written:
        _written.append(key)
        as_yaml(configuration)
