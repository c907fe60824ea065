"""Reads again what events named and what is on screen, and asks for what is not known yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from operator import is_

from dstack_api_client import errors
from dstack_api_client.events.log import Named
from dstack_api_client.feed.budget import Allowance
from dstack_api_client.join.store import Known
from dstack_api_client.model.fleet import SETUP_FAILED
from dstack_api_client.model.occupants import Unseen, unseen
from dstack_api_client.model.replica import FINISHED, Link
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.events import FILTER_ITEMS, in_groups
from dstack_api_client.transport.records import Name
from dstack_api_client.transport.wire_values import LazySpec
from dstack_placement.engine import mapping, read_stored

#: Runs named by events after which reading everything is cheaper.
_MOST_NAMED_RUNS = 30
#: Instances of one fleet named by events after which the whole fleet is read.
_MOST_NAMED_INSTANCES = 20
#: Questions for the instances of jobs in one poll.
_MOST_LINK_QUESTIONS = 4
#: Ids that are remembered as asked for.
_MOST_ASKED = 20_000
#: Idle instances up to which it is asked, unopened, since when they are.
_FEW_IDLE = 48


@dataclass(frozen=True)
class Focus:
    """What is on screen, by ids."""

    services: Collection[str] = ()
    fleets: Collection[str] = ()
    opened_service: str | None = None
    opened_fleet: str | None = None


class Rereading:
    """Reads parts of a project again.

    Args:
        client: The client to read with.
        project: The project's name.
        known: Where the answers go.
        monotonic: A clock for durations.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        known: Known,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._project = project
        self._known = known
        self._monotonic = monotonic
        self._allowance = Allowance()
        self._read_at: dict[str, float] = {}
        self._opened: set[str] = set()
        self._asked: set[str] = set()
        self._told: tuple[object, ...] = ()
        """What was looked through when there was nothing left to ask of it."""

    async def named(self, named: Named, snapshot: Snapshot | None) -> bool:
        """Reads what events named, and the instances that the jobs among it are on.

        Args:
            named: What events named.
            snapshot: Where jobs were before.

        Returns:
            False when it is so much that reading everything is cheaper; nothing was read then.
        """
        if not named:
            return True
        runs, names = self._runs_of(named)
        if len(runs) + len(names) > _MOST_NAMED_RUNS:
            return False
        fleets = set(named.fleets)
        by_fleet: dict[str | None, set[str]] = {}
        for instance in named.instances | self._instances_of(named, snapshot):
            known = self._known.instances.get(instance)
            by_fleet.setdefault(known.fleet_id if known else None, set()).add(instance)
        for fleet_id, members in by_fleet.items():
            if fleet_id is not None and len(members) > _MOST_NAMED_INSTANCES:
                fleets.add(fleet_id)
        single = {
            instance
            for fleet_id, members in by_fleet.items()
            if fleet_id not in fleets
            for instance in members
        }
        await self._charged(
            [
                *(self._read_run(run) for run in sorted(runs)),
                *(self._read_run_named(name) for name in sorted(names)),
                *(self._read_fleet(fleet) for fleet in sorted(fleets)),
                *(self._read_instance(instance) for instance in sorted(single)),
            ]
        )
        return True

    def _runs_of(self, named: Named) -> tuple[set[str], set[str]]:
        """Ids of the runs that events are about, and names of those that are not known yet."""
        by_name = {
            run.read_spec.run_name: run.id
            for run in self._known.runs.values()
            if run.status not in FINISHED
        }
        runs, names = set(named.runs), set()
        for submission, job_name in named.jobs.items():
            name = job_name.rsplit("-", 2)[0]
            run_id = self._known.run_of(submission) or by_name.get(name)
            if run_id is not None:
                runs.add(run_id)
            else:
                names.add(name)
        known_names = {
            run.read_spec.run_name for run_id, run in self._known.runs.items() if run_id in runs
        }
        return runs, names - known_names

    def _instances_of(self, named: Named, snapshot: Snapshot | None) -> set[str]:
        """The instances of jobs: a job that comes or goes changes how many blocks are busy."""
        if not named.jobs:
            return set()
        links = self._known.events.links
        found = {links[job] for job in named.jobs if job in links}
        if snapshot is not None:
            found |= {
                replica.instance_id
                for replica in snapshot.replicas.values()
                if replica.submission_id in named.jobs and replica.instance_id is not None
            }
        return found

    async def focused(self, focus: Focus) -> None:
        """Reads what is on screen, as far as the allowance of a poll goes.

        What was opened just now is read in any case.
        """
        self._allowance.refill()
        opened = [key for key in (focus.opened_service, focus.opened_fleet) if key is not None]
        listed = [*focus.services, *focus.fleets]
        turn = sorted(listed, key=lambda key: self._read_at.get(key, 0.0))
        for key in dict.fromkeys([*opened, *turn]):
            is_new = key in opened and key not in self._opened
            if self._allowance.is_spent and not is_new:
                break
            run = self._known.runs.get(key)
            if run is not None and (run.jobs is None or run.status not in FINISHED):
                await self._charged([self._read_run(key)])
            elif key in self._known.fleets:
                await self._charged([self._read_fleet(key)])
            self._read_at[key] = self._monotonic()
        # Not of all that was ever on screen.
        self._read_at = {
            key: at
            for key, at in self._read_at.items()
            if key in self._known.runs or key in self._known.fleets
        }
        self._opened = set(opened)

    async def _charged(self, reads: Iterable[Awaitable[None]]) -> None:
        """Makes several reads at once and takes what they cost from the allowance."""
        meter = self._client.meter
        bytes_before, seconds_before = meter.bytes, meter.seconds
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
        self._allowance.spend(meter.bytes - bytes_before, meter.seconds - seconds_before)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _read_run(self, run_id: str) -> None:
        known = self._known.runs.get(run_id)
        try:
            if known is None:
                run = await self._client.runs.get(self._project, run_id=run_id)
            else:
                found = await self._client.runs.now(self._project, run_id, known.submitted_at)
                if found is None:
                    self._known.drop_run(run_id)
                    return
                run = found
        except errors.NotFoundError:
            self._known.drop_run(run_id)
            return
        except errors.WrongShapeError as error:
            self._note(run_id, known.read_spec.run_name if known else None, "the runs", error)
            return
        self._known.put_run(run)

    async def _read_run_named(self, name: str) -> None:
        try:
            run = await self._client.runs.get(self._project, name=name)
        except errors.NotFoundError:
            return
        except errors.WrongShapeError as error:
            self._note(name, name, "the runs", error)
            return
        self._known.put_run(run)

    def _note(self, key: str, name: str | None, what: str, error: errors.WrongShapeError) -> None:
        """Notes what can't be read; what was known of it stays."""
        self._client.unreadable.add(
            Name(key, one_line(name or "")), what, error.message.rstrip(".")
        )

    async def _read_fleet(self, fleet_id: str) -> None:
        known = self._known.fleets.get(fleet_id)
        try:
            fleet = await self._fleet(self._owner(known), fleet_id=fleet_id)
        except (errors.NotFoundError, errors.ForbiddenError):
            self._known.drop_fleet(fleet_id)
            return
        except errors.WrongShapeError as error:
            self._note(fleet_id, known.name if known else None, "the fleets", error)
            return
        self._known.put_fleet(fleet)

    async def _read_fleet_named(self, name: str) -> None:
        """Reads a fleet as a lane names it: one of another project with that project's name."""
        owner, _, own_name = name.rpartition("/")
        try:
            fleet = await self._fleet(owner or self._project, name=own_name)
        except (errors.NotFoundError, errors.ForbiddenError):
            return
        except errors.WrongShapeError as error:
            self._note(name, own_name, "the fleets", error)
            return
        self._known.put_fleet(fleet)

    async def _fleet(
        self, owner: str, *, fleet_id: str | None = None, name: str | None = None
    ) -> wire.Fleet:
        """One fleet of a project.

        dstack 0.22.5 fails to give alone one that has an instance started for a borrower; its
        lists hold it.
        """
        try:
            return await self._client.fleets.get(owner, fleet_id=fleet_id, name=name)
        except errors.BusyError:
            raise
        except errors.ServerFailedError:
            for fleet in await self._client.fleets.list(self._project):
                if fleet.project_name == owner and (fleet.id == fleet_id or fleet.name == name):
                    return fleet
            raise

    async def _read_instance(self, instance_id: str) -> None:
        known = self._known.instances.get(instance_id)
        try:
            instance = await self._client.instances.get(self._owner(known), instance_id)
        except (errors.NotFoundError, errors.ForbiddenError):
            self._known.drop_instance(instance_id)
            return
        except errors.WrongShapeError as error:
            self._note(instance_id, known.name if known else None, "the instances", error)
            return
        gone = instance.status == "terminated"
        # A host that could not be set up stays in its fleet's list, unlike others that ended.
        again = instance.termination_reason in SETUP_FAILED if gone else known is None
        if instance.fleet_id is not None and again:
            await self._read_fleet(instance.fleet_id)  # its nodes may have been changed
        else:
            self._known.put_instance(instance)

    async def service(self, name: str) -> str | None:
        """Reads a service with the fleets of its lanes and the one that the server gave it.

        Returns:
            Its id; None where there is no service of that name, or it can't be read so.
        """
        try:
            run = await self._client.runs.get(self._project, name=name)
        except (errors.NotFoundError, errors.WrongShapeError):
            return None
        if run.read_spec.configuration.type != "service":
            return None
        self._known.put_run(run)
        spec = LazySpec(bytes(run.run_spec))
        lanes = read_stored(
            mapping(spec.get("configuration")),
            profile=mapping(spec.get("profile")),
            project=self._project,
        )
        await self._charged(self._read_fleet_named(name) for name in sorted(lanes.named_fleets))
        if run.fleet is not None and run.fleet.id not in self._known.fleets:
            await self._read_fleet(run.fleet.id)
            if run.fleet.id not in self._known.fleets:  # another project lends it
                return None
        return run.id

    async def located(self, run_id: str, snapshot: Snapshot) -> bool:
        """Reads the fleets of a service's replicas that are in none of its lanes (any more).

        Returns:
            Whether it is known of all of them where they are.
        """
        links = self._known.events.links
        replicas = [
            replica
            for replica in snapshot.active_in(snapshot.services[run_id])
            if replica.fleet_name is None and replica.has_place
        ]
        found = {links[each.submission_id] for each in replicas if each.submission_id in links}
        await self.named(Named(instances=found), snapshot)
        known = self._known.instances
        return all(links.get(replica.submission_id) in known for replica in replicas)

    def _owner(self, known: wire.Fleet | wire.Instance | None) -> str:
        """The project to ask: what is imported is asked of the project that shares it."""
        return (known.project_name if known is not None else None) or self._project

    async def unknown(self, snapshot: Snapshot, focus: Focus) -> None:
        """Asks the events for what is not known yet.

        That is the instances of jobs, since when instances are idle, and who uses a busy one.
        """
        through = (snapshot.replicas, snapshot.instances, focus.opened_fleet)
        if len(through) == len(self._told) and all(map(is_, through, self._told)):
            return
        if len(self._asked) > _MOST_ASKED:
            self._asked.clear()
        jobs = [
            replica.submission_id
            for replica in snapshot.replicas.values()
            if replica.active
            and replica.status != "submitted"
            and replica.link in (Link.RUN_FLEET, Link.UNKNOWN)
            and replica.submission_id not in self._asked
        ]
        idle = [
            instance
            for instance in snapshot.instances.values()
            if instance.status == "idle" and instance.idle_since is None
        ]
        few = len(idle) <= _FEW_IDLE
        instances = [
            instance.id
            for instance in idle
            if (few or instance.fleet_id == focus.opened_fleet) and instance.id not in self._asked
        ]
        hosts = self._known.events.guests.by_instance
        instances += [
            each.id
            for each in snapshot.instances.values()
            if each.id not in self._asked
            and unseen(each, snapshot) in (Unseen.NOT_KNOWN, Unseen.OTHER_PROJECT)
            and each.id not in hosts
        ]
        questions = [("target_jobs", group) for group in in_groups(jobs, FILTER_ITEMS)]
        questions += [("target_instances", group) for group in in_groups(instances, FILTER_ITEMS)]
        self._told = () if questions else through
        for filter_name, group in questions[:_MOST_LINK_QUESTIONS]:
            self._asked |= set(group)
            for event in await self._client.events.newest({filter_name: group}):
                self._known.events.learn(event)
