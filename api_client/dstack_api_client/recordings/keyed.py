"""What is known of a project at one moment, as values by key: what a recording is made of.

The answers of the server are kept as they were joined from, so that whoever plays a recording
joins them again, and sees in it what is seen on a server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from operator import is_
from typing import Annotated, Any, TypeVar

import msgspec

from dstack_api_client.events.log import Awaits
from dstack_api_client.feed.update import Health, Update
from dstack_api_client.join.difference import Difference, diff
from dstack_api_client.join.join import Answers, Joined, build
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.guest import Guest
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.router import RouterView, Worker
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.recordings.masking import plain
from dstack_api_client.transport import wire
from dstack_api_client.transport.requests import decoder
from dstack_api_client.transport.wire_values import known_time

T = TypeVar("T")

#: Values by key, by what they are; `GONE` for what is not there any more.
Values = Mapping[str, Mapping[str, msgspec.Raw]]
GONE = msgspec.Raw(b"null")
#: Stands between the key of a thing and that of a part of it.
_PART = "/"
#: Parts that are kept apart from what they are in, since they change far more often.
_APART = {"runs": ("jobs", "read_spec"), "routers": ("workers",), "placements": ("observed_at",)}
#: The key where there is but one.
_ONLY = "now"


class Telling:
    """Finds what changed from one moment to the next."""

    def __init__(self) -> None:
        self._kept: defaultdict[str, dict[str, tuple[Any, bytes]]] = defaultdict(dict)

    def changes(self, update: Update, answers: Answers, events: list[wire.Event]) -> Values:
        """What is other than at the call before.

        Args:
            update: What a poll brought.
            answers: What it was joined from.
            events: The newest events that were read.
        """
        found = _found(update, answers, events)
        changed = {name: self._changed(name, values) for name, values in found.items()}
        return {name: values for name, values in changed.items() if values}

    def whole(self) -> Values:
        """All that is known since the call before."""
        return {
            name: {key: msgspec.Raw(raw) for key, (_, raw) in kept.items()}
            for name, kept in self._kept.items()
            if kept
        }

    def _changed(self, name: str, values: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
        kept = self._kept[name]
        changed: dict[str, msgspec.Raw] = {}
        for key, value in values.items():
            known = kept.get(key)
            if known is not None and known[0] is value:
                continue
            raw = msgspec.json.encode(_written(name, value))
            if known is None or known[1] != raw:
                changed[key] = msgspec.Raw(raw)
            kept[key] = value, raw
        for key in kept.keys() - values.keys():
            del kept[key]
            changed[key] = GONE
        return changed


def _written(name: str, value: Any) -> Any:
    record = plain(value, but=_APART.get(name, ()))
    if isinstance(value, wire.Run) and value.jobs is not None:
        record["jobs"] = []  # unlike one that was read without them
    return record


def _found(
    update: Update, answers: Answers, events: list[wire.Event]
) -> dict[str, Mapping[str, Any]]:
    """All that is known at a moment, by key."""
    snapshot = update.snapshot
    found: dict[str, Mapping[str, Any]] = {
        "fleets": answers.fleets,
        "instances": answers.instances,
        "runs": answers.runs,
        "jobs": {
            f"{run.id}{_PART}{number}": job
            for run in answers.runs.values()
            for number, job in enumerate(run.jobs or ())
        },
        "links": answers.links,
        "idle_since": answers.idle_since,
        "awaits": answers.awaits,
        "events": {event.id: event for event in events},
        "health": {_ONLY: update.health},
    }
    if snapshot is None:
        return found
    return found | {
        "state": {name: getattr(snapshot, name) for name in _STATE},
        "placements": snapshot.placements,
        "placed_at": {key: each.observed_at for key, each in snapshot.placements.items()},
        "routers": snapshot.routers,
        "workers": {
            f"{view.run_id}{_PART}{number}": worker
            for view in snapshot.routers.values()
            for number, worker in enumerate(view.workers)
        },
        "cordons": snapshot.cordons,
        "guests": snapshot.guests,
        "traffic": snapshot.traffic,
    }


#: Seconds that two clocks may be apart.
_FURTHEST = 100 * 366 * 86400
#: What a snapshot says beside its records.
_STATE: Mapping[str, Any] = {
    "server": ServerInfo,
    "observed_at": datetime,
    "complete": bool,
    "capabilities": Capabilities,
    "placement_failure": str,
    "unreadable": tuple[str, ...],
    "clock_ahead": Annotated[int, msgspec.Meta(ge=-_FURTHEST, le=_FURTHEST)],
    "backends": tuple[str, ...],
}
_KINDS: Mapping[str, Any] = {
    "instances": wire.Instance,
    "jobs": wire.Job,
    "links": str,
    "idle_since": datetime,
    "awaits": Awaits,
    "events": wire.Event,
    "cordons": Cordon,
    "workers": Worker,
    "guests": tuple[Guest, ...],
    "traffic": Traffic,
    "placed_at": datetime,
}
#: What the values of one kind are parts of.
_PART_OF = {"jobs": "runs", "workers": "routers", "placed_at": "placements"}


def _decoded(kind: type[T], raw: bytes) -> T:
    """A value of a recording.

    Raises:
        ValueError: It is something else, or one of its times can't be reckoned with.
    """
    value = decoder(kind)(raw)
    _refuse_odd_times(value)
    return value


def _refuse_odd_times(value: Any) -> None:
    if isinstance(value, datetime):
        known_time(value)
    elif isinstance(value, tuple):
        for each in value:
            _refuse_odd_times(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            _refuse_odd_times(each)
    elif is_dataclass(value):
        for field in fields(value):
            _refuse_odd_times(getattr(value, field.name))


class _Section:
    """The values of one kind.

    Attributes:
        raw: As they are written.
        values: As they were read; the same mapping until one of them is another.
        stale: Keys of those that were not read yet, or are gone.
    """

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}
        self.values: dict[str, Any] = {}
        self.stale: set[str] = set()

    def read(self, decode: Callable[[str, bytes], Any]) -> dict[str, Any]:
        """Reads those that are others."""
        if self.stale:
            self.values = dict(self.values)
            for key in self.stale:
                if key in self.raw:
                    self.values[key] = decode(key, self.raw[key])
                else:
                    self.values.pop(key, None)
            self.stale = set()
        return self.values


class Told:
    """What is known of a project, as a recording tells it change by change.

    Args:
        project: The project's name.

    Attributes:
        events: The newest events at the last update, the oldest first.
        answers: What the last update was joined from; the same object as before where nothing of
            it is another.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._sections: defaultdict[str, _Section] = defaultdict(_Section)
        self._joined: Joined | None = None
        self.events: list[wire.Event] = []
        self.answers = Answers({}, {}, {})
        self._snapshot: Snapshot | None = None

    def take(self, values: Values, *, whole: bool = False) -> None:
        """Takes a change, or all that is known at a moment."""
        if whole:
            for name, section in self._sections.items():
                for key in section.raw.keys() - values.get(name, {}).keys():
                    self._put(name, key, GONE)
        for name, changed in values.items():
            for key, raw in changed.items():
                self._put(name, key, raw)

    def _put(self, name: str, key: str, raw: msgspec.Raw) -> None:
        section, written = self._sections[name], bytes(raw)
        if written == bytes(GONE):
            section.raw.pop(key, None)
        elif section.raw.get(key) == written:
            return
        else:
            section.raw[key] = written
        section.stale.add(key)
        if name in _PART_OF:
            self._sections[_PART_OF[name]].stale.add(key.partition(_PART)[0])

    def update(self) -> Update:
        """What the poll brought that was told of last.

        Raises:
            ValueError: The recording holds something else than it should.
        """
        before, self._snapshot = self._snapshot, self._made()
        events: dict[str, wire.Event] = self._plainly("events")
        self.events = sorted(events.values(), key=lambda each: (each.recorded_at, each.id))
        health = _decoded(Health, self._sections["health"].raw[_ONLY])
        if self._snapshot is None:
            return Update(None, Difference(), health)
        return Update(self._snapshot, diff(before, self._snapshot), health)

    def _made(self) -> Snapshot | None:
        state = {
            name: _decoded(_STATE[name], raw)
            for name, raw in self._sections["state"].raw.items()
            if name in _STATE
        }
        if not state:
            return None
        self._read_answers()
        self._joined = build(
            self.answers,
            server=state.pop("server"),
            project=self._project,
            observed_at=state.pop("observed_at"),
            complete=state.pop("complete"),
            previous=self._joined,
        )
        return replace(
            self._joined.snapshot,
            placements=self._sections["placements"].read(self._placement),
            routers=self._sections["routers"].read(self._router),
            cordons=self._plainly("cordons"),
            guests=self._plainly("guests"),
            traffic=self._plainly("traffic"),
            **state,
        )

    def _read_answers(self) -> None:
        parts = (
            self._sections["fleets"].read(lambda _, raw: wire.decode_fleet(raw)),
            self._plainly("instances"),
            self._sections["runs"].read(self._run),
            self._plainly("links"),
            self._plainly("idle_since"),
            self._plainly("awaits"),
        )
        known = self.answers
        before = (
            *(known.fleets, known.instances, known.runs),
            *(known.links, known.idle_since, known.awaits),
        )
        if not all(map(is_, parts, before)):
            self.answers = Answers(*parts)

    def _plainly(self, name: str) -> dict[str, Any]:
        kind = _KINDS[name]
        return self._sections[name].read(lambda _, raw: _decoded(kind, raw))

    def _parts(self, name: str, key: str) -> list[Any]:
        """The parts of one kind of a thing, in their order."""
        values = self._plainly(name)
        found: list[Any] = []
        while (part := f"{key}{_PART}{len(found)}") in values:
            found.append(values[part])
        return found

    def _run(self, key: str, raw: bytes) -> wire.Run:
        run = wire.decode_run(raw)
        if run.jobs is not None:
            run.jobs = self._parts("jobs", key)
        return run

    def _router(self, key: str, raw: bytes) -> RouterView:
        return replace(_decoded(RouterView, raw), workers=tuple(self._parts("workers", key)))

    def _placement(self, key: str, raw: bytes) -> Placement:
        made = dict(msgspec.json.decode(raw), observed_at=self._plainly("placed_at")[key])
        return _decoded(Placement, msgspec.json.encode(made))
