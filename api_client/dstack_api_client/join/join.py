"""Joins a server's answers into a `Snapshot`.

Pure: what comes out depends only on what goes in. What did not change since the previous joining
is taken from it, the same objects, so that joining again after one change costs little and
comparing two snapshots costs next to nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from dstack_api_client.events.log import Awaits
from dstack_api_client.join.fleets import fleet_of, instance_of
from dstack_api_client.join.locate import by_host, place
from dstack_api_client.join.runs import (
    groups_of,
    other_run_of,
    replica_of,
    service_of,
    service_spec,
    shown_jobs,
)
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import OtherRun, Service
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire

T = TypeVar("T")


@dataclass(frozen=True)
class Answers:
    """What a server said, by id, each thing as it was last read."""

    fleets: Mapping[str, wire.Fleet]
    """With those of their instances that are terminated; the others are in `instances`."""
    instances: Mapping[str, wire.Instance]
    runs: Mapping[str, wire.Run]
    links: Mapping[str, str] = field(default_factory=dict)
    """Instance by job submission, from events that name both."""
    idle_since: Mapping[str, datetime] = field(default_factory=dict)
    """When an instance became idle, from events."""
    awaits: Mapping[str, Awaits] = field(default_factory=dict)
    """What submissions wait for before requests reach them, from events."""


@dataclass(frozen=True)
class Joined:
    """A snapshot with what joining again needs."""

    snapshot: Snapshot
    answers: Answers
    replicas: Mapping[str, tuple[Replica, ...]]
    """The jobs of each run, in the order of replicas."""


def build(
    answers: Answers,
    *,
    server: ServerInfo,
    project: str,
    observed_at: datetime,
    complete: bool = True,
    previous: Joined | None = None,
) -> Joined:
    """Joins answers into a snapshot.

    Args:
        answers: What the server said.
        server: Which server it was.
        project: The project's name.
        observed_at: When it said the latest of it.
        complete: Whether everything was read at least once.
        previous: The joining before; it makes this one faster and nothing else.

    Returns:
        The snapshot, with what the next joining needs.
    """
    if previous is not None and previous.snapshot.server != server:
        previous = None
    imported = _imported(answers, project)
    if previous is not None and _imported(previous.answers, project) != imported:
        previous = None  # whatever is in them has another name for its fleet
    replicas, services, other_runs = _join_runs(answers, server, imported, previous)
    by_key = {replica.key: replica for joined in replicas.values() for replica in joined}
    instances = _join_instances(answers, by_key.values(), imported, previous)
    snapshot = Snapshot(
        server=server,
        project=project,
        observed_at=observed_at,
        fleets=_join_fleets(answers, instances, by_key.values(), imported, previous),
        instances=instances,
        services=services,
        other_runs=other_runs,
        replicas=by_key,
        complete=complete,
    )
    return Joined(snapshot, answers, replicas)


def _imported(answers: Answers, project: str) -> dict[str, str]:
    """The names of fleets that other projects lend, by id: `project/name`, as lanes name them."""
    return {
        fleet.id: one_line(f"{fleet.project_name}/{fleet.name}")
        for fleet in answers.fleets.values()
        if fleet.project_name not in ("", project)
    }


def _join_runs(
    answers: Answers,
    server: ServerInfo,
    imported: Mapping[str, str],
    previous: Joined | None,
) -> tuple[dict[str, tuple[Replica, ...]], dict[str, Service], dict[str, OtherRun]]:
    hosts = by_host(answers.instances)
    fresh = set(answers.runs) if previous is None else _changed_runs(answers, previous)
    old = previous.snapshot if previous is not None else None
    fleets = _in_messages(answers, imported)
    replicas: dict[str, tuple[Replica, ...]] = {}
    services: dict[str, Service] = {}
    other_runs: dict[str, OtherRun] = {}
    for run in sorted(answers.runs.values(), key=_newest_first):
        if run.id not in fresh and previous is not None and old is not None:
            replicas[run.id] = previous.replicas[run.id]
            if run.id in old.services:
                services[run.id] = old.services[run.id]
            else:
                other_runs[run.id] = old.other_runs[run.id]
            continue
        spec = run.read_spec
        read = service_spec(spec)
        groups = groups_of(spec, read)
        joined = []
        for job, latest in shown_jobs(run):
            found = place(
                run,
                latest,
                instances=answers.instances,
                hosts=hosts,
                links=answers.links,
                imported=imported,
                has_lanes=read.has_lanes,
            )
            awaits = answers.awaits.get(latest.id)
            replica = replica_of(run, spec, groups, job, latest, found, awaits, fleets)
            joined.append(_kept(old.replicas.get(replica.key) if old else None, replica))
        replicas[run.id] = tuple(sorted(joined, key=lambda replica: replica.key))
        if spec.configuration.type == "service":
            service = service_of(
                run,
                spec,
                groups,
                replicas[run.id],
                server.url,
                imported,
                has_lanes=read.has_lanes,
            )
            services[run.id] = _kept(old.services.get(run.id) if old else None, service)
        else:
            other = other_run_of(run, spec, replicas[run.id], imported)
            other_runs[run.id] = _kept(old.other_runs.get(run.id) if old else None, other)
    return replicas, services, other_runs


def _in_messages(answers: Answers, imported: Mapping[str, str]) -> dict[str, str]:
    """What fleets are called, by the name in messages, which has no project, if only one has it."""
    counts = Counter(fleet.name for fleet in answers.fleets.values())
    return {
        fleet.name: imported.get(fleet.id) or one_line(fleet.name)
        for fleet in answers.fleets.values()
        if counts[fleet.name] == 1
    }


def _changed_runs(answers: Answers, previous: Joined) -> set[str]:
    """Runs that were read again, or that may be placed otherwise than before."""
    before = previous.answers
    changed = {run_id for run_id, run in answers.runs.items() if before.runs.get(run_id) is not run}
    instances = _differing(before.instances, answers.instances)
    links = _differing(before.links, answers.links)
    awaits = _differing(before.awaits, answers.awaits)
    if not instances and not links and not awaits:
        return changed
    hosts = {
        one_line(instance.hostname)
        for known in (before.instances, answers.instances)
        for instance_id in instances
        if (instance := known.get(instance_id)) is not None and instance.hostname
    }
    for run_id in answers.runs:
        if run_id not in changed and any(
            replica.hostname in hosts
            or replica.instance_id in instances
            or replica.submission_id in links
            or replica.submission_id in awaits
            or answers.links.get(replica.submission_id) in instances
            for replica in previous.replicas[run_id]
        ):
            changed.add(run_id)
    return changed


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    """Keys whose values are not the same objects."""
    if old is new:
        return set()
    return {key for key, value in new.items() if old.get(key) is not value} | (
        old.keys() - new.keys()
    )


def _join_instances(
    answers: Answers,
    replicas: Iterable[Replica],
    imported: Mapping[str, str],
    previous: Joined | None,
) -> dict[str, Instance]:
    jobs: dict[str, list[ReplicaKey]] = defaultdict(list)
    for replica in replicas:
        if replica.instance_id is not None and replica.active:
            jobs[replica.instance_id].append(replica.key)
    before = previous.answers.instances if previous else {}
    old = previous.snapshot.instances if previous else {}
    instances = {}
    for instance_id, answer in answers.instances.items():
        here = tuple(sorted(jobs[instance_id])) if instance_id in jobs else ()
        idle_since = answers.idle_since.get(instance_id) if answer.status == "idle" else None
        known = old.get(instance_id)
        if (
            known is not None
            and before.get(instance_id) is answer
            and known.jobs == here
            and known.idle_since == idle_since
        ):
            instances[instance_id] = known
        else:
            instances[instance_id] = _kept(known, instance_of(answer, here, idle_since, imported))
    return instances


def _join_fleets(
    answers: Answers,
    instances: Mapping[str, Instance],
    replicas: Iterable[Replica],
    imported: Mapping[str, str],
    previous: Joined | None,
) -> dict[str, Fleet]:
    members: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances.values():
        if instance.fleet_id is not None:
            members[instance.fleet_id].append(instance)
    services: Counter[str] = Counter()
    other_jobs: Counter[str] = Counter()
    unplaced: Counter[str] = Counter()
    for replica in replicas:
        if replica.fleet_id is not None and replica.active:
            counter = services if replica.run_type == "service" else other_jobs
            counter[replica.fleet_id] += 1
            unplaced[replica.fleet_id] += replica.instance_id is None
    before = previous.snapshot.instances if previous else {}
    changed = {
        instance.fleet_id
        for known, others in ((instances, before), (before, instances))
        for instance_id, instance in known.items()
        if others.get(instance_id) is not instance
    }
    fleets = {}
    ordered = sorted(
        answers.fleets.values(), key=lambda fleet: (imported.get(fleet.id, fleet.name), fleet.id)
    )
    for answer in ordered:
        fleet_id = answer.id
        old = previous.snapshot.fleets.get(fleet_id) if previous else None
        if (
            old is not None
            and previous is not None
            and previous.answers.fleets.get(fleet_id) is answer
            and fleet_id not in changed
            and old.replicas == services[fleet_id]
            and old.other_jobs == other_jobs[fleet_id]
            and old.unplaced == unplaced[fleet_id]
        ):
            fleets[fleet_id] = old
        else:
            fleet = fleet_of(
                answer,
                members[fleet_id],
                replicas=services[fleet_id],
                other_jobs=other_jobs[fleet_id],
                unplaced=unplaced[fleet_id],
                imported=imported,
            )
            fleets[fleet_id] = _kept(old, fleet)
    return fleets


def _kept(old: T | None, new: T) -> T:
    """The old object where the new one says the same."""
    return old if old is not None and old == new else new


def _newest_first(run: wire.Run) -> tuple[float, str]:
    return (-run.submitted_at.timestamp(), run.id)
