"""What was before anybody looked, as far as events say it.

Events say when replicas began and ceased to take requests, and when instances did. They tell
neither the prices of what is gone nor a number that was desired before a change: from there back
nothing is known, which is left empty.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from dstack_api_client.analysis.health import desired_of
from dstack_api_client.model.fleet import INSTANCE_GONE, Fleet, Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.sentences import Subject as About
from dstack_api_client.sentences import Told, told
from dstack_api_client.transport import wire
from dstack_api_client.trends.trend import Measure, moments

#: When a replica takes requests: since 0.21, and before.
_READY = frozenset({About.TAKEN_IN, About.REGISTERED_AT_LAST})
#: The names of a job and of an instance without their numbers.
_JOB = re.compile(r"(.+)-\d+-\d+")
_INSTANCE = re.compile(r"(.+)-\d+")

#: The statuses of what is counted.
_ON = frozenset({"running", "busy"})

#: Of a sum of prices.
_DIGITS = 9

Points = list[tuple[datetime, float]]


class _Change(NamedTuple):
    """Something happened to a job or an instance."""

    at: datetime
    id: str
    said: Told


class _Span(NamedTuple):
    """Something counted for so much, for a time; without an end, until now."""

    begin: datetime
    end: datetime | None
    amount: float


class Past:
    """What events say of the steps before a moment.

    Args:
        events: Events without a gap between the oldest of them and now.
        step: The number of the step that goes on.
        snapshot: What is.
    """

    def __init__(self, events: Collection[wire.Event], step: int, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        ordered = sorted(events, key=lambda event: event.recorded_at)
        begin = ordered[0].recorded_at
        self._moments = [at for at in moments(step) if at >= begin]
        self._begin = begin
        self._jobs: dict[str, list[_Change]] = {}
        self._instances: dict[str, list[_Change]] = {}
        self._runs: dict[str, datetime] = {}
        for event in ordered:
            self._take(event)

    def _take(self, event: wire.Event) -> None:
        said, at = told(event.message), event.recorded_at
        for target in event.targets or ():
            if target.type == "job" and said.subject in {*_READY, About.JOB_STATUS}:
                _append(self._jobs, _JOB, target, _Change(at, target.id, said))
            elif target.type == "instance":
                _append(self._instances, _INSTANCE, target, _Change(at, target.id, said))
            elif target.type == "run" and said.subject is About.DEPLOYMENT:
                self._runs[target.id] = at

    def of_service(self, service: Service) -> Mapping[Measure, Points]:
        """What is known of a service."""
        snapshot, changes = self._snapshot, self._jobs.get(service.name, [])
        begin = max(self._begin, service.submitted_at)
        replicas = {each.submission_id: each for each in snapshot.replicas_of(service)}
        found = {Measure.READY: self._counted(self._ready(changes, replicas, begin), begin)}
        if not service.autoscaled:
            changed = max(begin, self._runs.get(service.id, begin))
            desired = float(desired_of(snapshot, service))
            found[Measure.DESIRED] = [(at, desired) for at in self._moments if at >= changed]
        # What those cost that are gone is not known.
        ended = (each.at for each in changes if each.id not in replicas)
        priced = self._priced(changes, replicas)
        found[Measure.PRICE] = self._counted(priced, max([begin, *ended]))
        return found

    def of_fleet(self, fleet: Fleet) -> Mapping[Measure, Points]:
        """What is known of a fleet."""
        here = [
            each
            for key in fleet.instance_ids
            if (each := self._snapshot.instances.get(key)) is not None
        ]
        # Instances of a fleet that is lent are named without the project.
        changes = self._instances.get(fleet.name.rpartition("/")[2], [])
        ids = {each.id for each in here}
        gone = (each.at for each in changes if each.id not in ids)
        begin = max([self._begin, fleet.created_at, *gone])
        found = {
            Measure.PRICE: self._counted(
                [_Span(each.created_at, None, each.price or 0.0) for each in here], begin
            ),
            Measure.TOTAL: self._counted(
                [_Span(each.created_at, None, _size(each, fleet)) for each in here], begin
            ),
        }
        if all(each.total_blocks <= 1 for each in here):
            # Of an instance in parts, events don't tell how many of them were in use.
            by_id: dict[str, list[_Change]] = {}
            for change in changes:
                by_id.setdefault(change.id, []).append(change)
            busy = [
                span for each in here for span in self._busy(each, by_id.get(each.id, ()), fleet)
            ]
            found[Measure.BUSY] = self._counted(busy, begin)
        return found

    def _ready(
        self, changes: Iterable[_Change], replicas: Mapping[str, Replica], begin: datetime
    ) -> list[_Span]:
        """When replicas took requests."""
        by_job: dict[str, list[_Change]] = {}
        for each in changes:
            by_job.setdefault(each.id, []).append(each)
        spans = []
        for job in by_job.keys() | replicas.keys():
            of_job = by_job.get(job, [])
            is_ready = job in replicas and replicas[job].ready
            spans += _spans(of_job, begin, _takes_requests, is_on=is_ready)
        return spans

    def _priced(self, changes: Iterable[_Change], replicas: Mapping[str, Replica]) -> list[_Span]:
        """When replicas that still are cost what they cost."""
        begun = {
            each.id: each.at
            for each in changes
            if each.said.subject is About.JOB_STATUS and each.said.status == "provisioning"
        }
        return [
            _Span(begun.get(key, each.submitted_at), None, each.price)
            for key, each in replicas.items()
            if each.price is not None and each.active
        ]

    def _busy(self, instance: Instance, changes: Iterable[_Change], fleet: Fleet) -> list[_Span]:
        """When an instance was in use, by what happened to it."""
        own = [each for each in changes if each.said.subject is About.INSTANCE_STATUS]
        is_busy = instance.status == "busy"
        spans = _spans(own, max(self._begin, instance.created_at), _is_busy, is_on=is_busy)
        return [span._replace(amount=_size(instance, fleet)) for span in spans]

    def _counted(self, spans: Collection[_Span], begin: datetime) -> Points:
        """What spans add up to, from a moment on."""
        moments = self._moments
        more = [0.0] * (len(moments) + 1)
        for span in spans:
            first = bisect_left(moments, span.begin)
            end = len(moments) if span.end is None else bisect_left(moments, span.end)
            if first < end:
                more[first] += span.amount
                more[end] -= span.amount
        # What is added and taken away again leaves a rest far behind the point.
        return [
            (at, round(total, _DIGITS))
            for at, total in zip(moments, accumulate(more), strict=False)
            if at >= begin
        ]


def _size(instance: Instance, fleet: Fleet) -> float:
    """GPUs of an instance, or blocks where the fleet has none, as the fleet adds them up."""
    if instance.status in INSTANCE_GONE and not instance.busy_blocks:
        return 0.0
    if fleet.gpus_total:
        return float(instance.gpus.count) if instance.gpus is not None else 0.0
    return float(instance.total_blocks)


def _append(
    found: dict[str, list[_Change]],
    pattern: re.Pattern[str],
    target: wire.EventTarget,
    change: _Change,
) -> None:
    name = pattern.fullmatch(target.name)
    if name is not None:
        found.setdefault(name[1], []).append(change)


def _takes_requests(said: Told) -> bool | None:
    """Whether a job takes requests after a change; None where that says nothing of it."""
    if said.subject in _READY:
        return True
    return None if said.status == "running" else False


def _is_busy(said: Told) -> bool | None:
    return said.status == "busy" if said.status else None


def _spans(
    changes: Iterable[_Change],
    begin: datetime,
    tells: Callable[[Told], bool | None],
    *,
    is_on: bool,
) -> list[_Span]:
    """When something was on, each for one.

    Args:
        changes: What happened to it, the oldest first.
        begin: From when on all is known that happened.
        tells: What a change says: on, off, or nothing.
        is_on: Whether it is on now.
    """
    spans: list[_Span] = []
    since: datetime | None = None
    last = begin
    for change in changes:
        on = tells(change.said)
        if last == begin and on is False and change.said.before in _ON:
            since = begin
        last = change.at
        if on and since is None:
            since = change.at
        elif on is False and since is not None:
            spans.append(_Span(since, change.at, 1.0))
            since = None
    if is_on:
        # What is so without a word of it is so since the last word at least.
        spans.append(_Span(since or last, None, 1.0))
    return spans
