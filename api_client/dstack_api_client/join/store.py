"""What is known of a project while it is being read again, bit by bit."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from dstack_api_client.events.log import EventLog
from dstack_api_client.join.join import Answers
from dstack_api_client.model.replica import FINISHED
from dstack_api_client.transport import wire

#: Most runs that ended that are kept.
_FINISHED_KEPT = 50


class Known:
    """The latest answer about each fleet, instance and run.

    An answer that says the same as the one before is dropped, so that what did not change stays
    the same object and is not joined again.
    """

    def __init__(self, project: str) -> None:
        self.events = EventLog(project)
        self.fleets: dict[str, wire.Fleet] = {}
        self.instances: dict[str, wire.Instance] = {}
        self.runs: dict[str, wire.Run] = {}
        self.touched: set[str] = set()
        """Ids of fleets and runs that an answer was about since this was last emptied."""

    def answers(self) -> Answers:
        """What is known now, for joining; later changes do not reach it."""
        return Answers(
            dict(self.fleets),
            dict(self.instances),
            dict(self.runs),
            dict(self.events.links),
            dict(self.events.idle_since),
            self.events.awaits,
        )

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
        for instance in list(self.instances.values()):
            if instance.fleet_id == fleet.id and instance.id not in here:
                del self.instances[instance.id]
        for instance in instances:
            if instance.fleet_id is None:
                instance.fleet_id, instance.fleet_name = fleet.id, fleet.name
            self.put_instance(instance)
        if self.fleets.get(fleet.id) != fleet:
            self.fleets[fleet.id] = fleet

    def put_instance(self, instance: wire.Instance) -> None:
        """Takes one instance; a terminated one is forgotten."""
        if instance.status == "terminated":
            self.instances.pop(instance.id, None)
        elif self.instances.get(instance.id) != instance:
            self.instances[instance.id] = instance

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
        if known != run:
            self.runs[run.id] = run

    def drop_fleet(self, fleet_id: str) -> None:
        """Forgets a fleet and its instances."""
        self.fleets.pop(fleet_id, None)
        for instance in list(self.instances.values()):
            if instance.fleet_id == fleet_id:
                del self.instances[instance.id]

    def drop_run(self, run_id: str) -> None:
        """Forgets a run."""
        self.runs.pop(run_id, None)

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
        self.events.forget_all_but(
            {latest.id for run in self.runs.values() for _, latest in run.latest()},
            self.instances.keys(),
        )


def _last_moment(run: wire.Run) -> datetime:
    """When a run ended as far as its jobs tell, else when it began."""
    return max(
        (latest.finished_at for _, latest in run.latest() if latest.finished_at is not None),
        default=run.last_processed_at or run.submitted_at,
    )
