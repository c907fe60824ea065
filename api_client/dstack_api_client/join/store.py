"""What is known of a project while it is being read again, bit by bit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Generic, TypeVar

from dstack_api_client.events.log import Awaits, EventLog
from dstack_api_client.join.join import Answers
from dstack_api_client.model.replica import FINISHED
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire

#: Most runs that ended that are kept.
_FINISHED_KEPT = 50
_Answer = TypeVar("_Answer", wire.Fleet, wire.Instance, wire.Run)


class _Kept(Generic[_Answer]):
    """Answers by id, and a copy that stays the same object until one of them is another."""

    def __init__(self) -> None:
        self._all: dict[str, _Answer] = {}
        self._copy: dict[str, _Answer] | None = None
        self.all: Mapping[str, _Answer] = MappingProxyType(self._all)

    def put(self, answer: _Answer) -> bool:
        """Takes an answer; says whether it is another than the one before."""
        if self._all.get(answer.id) == answer:
            return False
        self._all[answer.id] = answer
        self._copy = None
        return True

    def drop(self, key: str) -> _Answer | None:
        self._copy = self._copy if key not in self._all else None
        return self._all.pop(key, None)

    def copy(self) -> dict[str, _Answer]:
        if self._copy is None:
            self._copy = dict(self._all)
        return self._copy


class Known:
    """The latest answer about each fleet, instance and run.

    An answer that says the same as the one before is dropped, so that what did not change stays
    the same object and is not joined again.
    """

    def __init__(self, project: str) -> None:
        self.events = EventLog(project)
        self.backends: tuple[str, ...] = ()
        self.touched: set[str] = set()
        """Ids of fleets and runs that an answer was about since this was last emptied."""
        self._fleets: _Kept[wire.Fleet] = _Kept()
        self._instances: _Kept[wire.Instance] = _Kept()
        self._runs: _Kept[wire.Run] = _Kept()
        self._members: defaultdict[str | None, set[str]] = defaultdict(set)
        """Ids of instances by that of their fleet."""
        self._run_of: dict[str, str] = {}
        """Ids of runs by those of the latest submissions of their jobs."""
        self._told: tuple[dict[str, str], dict[str, datetime], dict[str, Awaits]] = {}, {}, {}
        self._told_at = 0
        """The version of the events when `_told` was taken of them."""
        self._parts = self._fleets.copy(), self._instances.copy(), self._runs.copy(), *self._told
        self._answers = Answers(*self._parts)

    @property
    def fleets(self) -> Mapping[str, wire.Fleet]:
        """The fleets by id, as they are now."""
        return self._fleets.all

    @property
    def instances(self) -> Mapping[str, wire.Instance]:
        """The instances by id, as they are now."""
        return self._instances.all

    @property
    def runs(self) -> Mapping[str, wire.Run]:
        """The runs by id, as they are now."""
        return self._runs.all

    def answers(self) -> Answers:
        """What is known now, for joining; later changes do not reach it.

        Returns:
            The same object, and in it the same mappings, as long as nothing in them is another.
        """
        events = self.events
        if self._told_at != events.version:
            self._told_at = events.version
            self._told = dict(events.links), dict(events.idle_since), events.awaits
        parts = self._fleets.copy(), self._instances.copy(), self._runs.copy(), *self._told
        if any(part is not kept for part, kept in zip(parts, self._parts, strict=True)):
            self._parts, self._answers = parts, Answers(*parts)
        return self._answers

    def put_project(self, project: wire.Project) -> None:
        """Takes what the project itself says."""
        self.backends = tuple(sorted(one_line(each.name) for each in project.backends or ()))

    def put_fleet(self, fleet: wire.Fleet) -> None:
        """Takes a fleet with all of its instances."""
        self.touched.add(fleet.id)
        if fleet.status == "terminated":
            self.drop_fleet(fleet.id)
            return
        instances = fleet.instances or []
        # Kept apart: they take part in nothing but the word that they failed.
        failed = [instance for instance in instances if instance.status == "terminated"]
        fleet.instances = sorted(failed, key=lambda instance: instance.id) or None
        here = {instance.id for instance in instances} | {*fleet.unread}
        for instance_id in self._members[fleet.id] - here:
            self.drop_instance(instance_id)
        for instance in instances:
            if instance.fleet_id is None:
                instance.fleet_id, instance.fleet_name = fleet.id, fleet.name
            self.put_instance(instance)
        self._fleets.put(fleet)

    def put_instance(self, instance: wire.Instance) -> None:
        """Takes one instance; a terminated one is forgotten."""
        known = self.instances.get(instance.id)
        if instance.status == "terminated" or (known and known.fleet_id != instance.fleet_id):
            self.drop_instance(instance.id)
        if instance.status != "terminated":
            self._members[instance.fleet_id].add(instance.id)
            self._instances.put(instance)

    def drop_instance(self, instance_id: str) -> None:
        """Forgets an instance."""
        gone = self._instances.drop(instance_id)
        if gone is not None:
            self._members[gone.fleet_id].discard(instance_id)

    def put_run(self, run: wire.Run) -> None:
        """Takes a run; one that had ended and was read without jobs keeps those that are known."""
        self.touched.add(run.id)
        if run.deleted:
            self.drop_run(run.id)
            return
        if run.status not in FINISHED:
            run.last_processed_at = None  # it moves on with every look of the server
        known = self.runs.get(run.id)
        if known is not None and run.jobs is None and known.status == run.status:
            run.jobs = known.jobs
        if self._runs.put(run):
            self._forget_submissions(known)
            self._run_of |= dict.fromkeys((latest.id for _, latest in run.latest()), run.id)

    def drop_fleet(self, fleet_id: str) -> None:
        """Forgets a fleet and its instances."""
        self._fleets.drop(fleet_id)
        for instance_id in self._members.pop(fleet_id, ()):
            self._instances.drop(instance_id)

    def drop_run(self, run_id: str) -> None:
        """Forgets a run."""
        self._forget_submissions(self._runs.drop(run_id))

    def run_of(self, submission_id: str) -> str | None:
        """The id of the run whose job has that submission as its latest, if any."""
        return self._run_of.get(submission_id)

    def _forget_submissions(self, run: wire.Run | None) -> None:
        for _, latest in run.latest() if run is not None else ():
            self._run_of.pop(latest.id, None)

    def keep_only(self, fleets: Collection[str], runs: Collection[str]) -> None:
        """Forgets every other fleet and run, the oldest of those that ended, and loose ends."""
        for fleet_id in self.fleets.keys() - set(fleets):
            self.drop_fleet(fleet_id)
        for run_id in self.runs.keys() - set(runs):
            self.drop_run(run_id)
        ended = sorted(
            (run for run in self.runs.values() if run.status in FINISHED),
            key=_last_moment,
            reverse=True,
        )
        for run in ended[_FINISHED_KEPT:]:
            self.drop_run(run.id)
        self.events.forget_all_but(self._run_of.keys(), self.instances.keys())


def _last_moment(run: wire.Run) -> datetime:
    """When a run ended as far as its jobs tell, else when it began."""
    return max(
        (latest.finished_at for _, latest in run.latest() if latest.finished_at is not None),
        default=run.last_processed_at or run.submitted_at,
    )
