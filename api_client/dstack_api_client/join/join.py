"""Joins a server's answers into a `Snapshot`.

Pure: what comes out depends only on what goes in. What did not change since the previous joining
is taken from it, the same objects, so that joining again after one change costs little and
comparing two snapshots costs next to nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import is_
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
from dstack_api_client.slices import at_once
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire

T = TypeVar("T")

#: Jobs, or instances, that are joined at once.
_AT_ONCE = 20


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
    imported: Mapping[str, str]
    """The names of fleets of other projects, by id."""
    hosts: Mapping[str, tuple[str, ...]]
    """The instances of each host name."""


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
        previous: The joining before; it makes this one faster and nothing else. What did not
            change is the same objects, down to the mappings of the snapshot.

    Returns:
        The snapshot, with what the next joining needs.
    """
    return at_once(
        steps(
            answers,
            server=server,
            project=project,
            observed_at=observed_at,
            complete=complete,
            previous=previous,
        )
    )


def steps(
    answers: Answers,
    *,
    server: ServerInfo,
    project: str,
    observed_at: datetime,
    complete: bool = True,
    previous: Joined | None = None,
) -> Generator[None, None, Joined]:
    """Does what `build` does, and yields after each small part of it."""
    if previous is not None and (
        previous.snapshot.server != server or previous.snapshot.project != project
    ):
        previous = None
    if previous is not None and previous.answers is answers:
        same = replace(previous.snapshot, observed_at=observed_at, complete=complete)
        return replace(previous, snapshot=same)
    imported = _imported(answers, project, previous)
    if previous is not None and previous.imported != imported:
        previous = None  # whatever is in them has another name for its fleet
    hosts = _hosts(answers, previous)
    yield
    runs = yield from _join_runs(answers, server, imported, hosts, previous)
    replicas = _join_replicas(runs, previous)
    yield
    instances = yield from _join_instances(answers, replicas, imported, previous)
    fleets = yield from _join_fleets(answers, instances, replicas, imported, previous)
    snapshot = Snapshot(
        server=server,
        project=project,
        observed_at=observed_at,
        fleets=fleets,
        instances=instances,
        services=runs.services,
        other_runs=runs.other_runs,
        replicas=replicas.by_key,
        complete=complete,
    )
    return Joined(snapshot, answers, runs.replicas, imported, hosts)


def _imported(answers: Answers, project: str, previous: Joined | None) -> Mapping[str, str]:
    """The names of fleets that other projects lend, by id: `project/name`, as lanes name them."""
    if previous is not None and previous.answers.fleets is answers.fleets:
        return previous.imported
    return {
        fleet.id: one_line(f"{fleet.project_name}/{fleet.name}")
        for fleet in answers.fleets.values()
        if fleet.project_name not in ("", project)
    }


def _hosts(answers: Answers, previous: Joined | None) -> Mapping[str, tuple[str, ...]]:
    if previous is not None and previous.answers.instances is answers.instances:
        return previous.hosts
    return by_host(answers.instances)


@dataclass(frozen=True)
class _Runs:
    """All runs, joined."""

    replicas: Mapping[str, tuple[Replica, ...]]
    services: Mapping[str, Service]
    other_runs: Mapping[str, OtherRun]
    fresh: Collection[str]
    """Ids of the runs that were joined now."""


def _join_runs(
    answers: Answers,
    server: ServerInfo,
    imported: Mapping[str, str],
    hosts: Mapping[str, tuple[str, ...]],
    previous: Joined | None,
) -> Generator[None, None, _Runs]:
    fresh = set(answers.runs) if previous is None else _changed_runs(answers, previous)
    old = previous.snapshot if previous is not None else None
    fleets = _in_messages(answers, imported) if fresh else {}
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
            if not len(joined) % _AT_ONCE:
                yield
        yield
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
    if old is not None:
        return _Runs(
            replicas, _same(old.services, services), _same(old.other_runs, other_runs), fresh
        )
    return _Runs(replicas, services, other_runs, fresh)


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


@dataclass(frozen=True)
class _Replicas:
    """The jobs of all runs."""

    by_key: Mapping[ReplicaKey, Replica]
    before: Sequence[Replica]
    """Those of the joining before that are gone or others now."""
    after: Sequence[Replica]
    """Those that are new or others now."""


def _join_replicas(runs: _Runs, previous: Joined | None) -> _Replicas:
    if previous is None:
        by_key = {each.key: each for joined in runs.replicas.values() for each in joined}
        return _Replicas(by_key, (), tuple(by_key.values()))
    before: list[Replica] = []
    after: list[Replica] = []
    keys_stay = True
    for run_id in {*runs.fresh, *previous.replicas.keys() - runs.replicas.keys()}:
        old = {each.key: each for each in previous.replicas.get(run_id, ())}
        new = {each.key: each for each in runs.replicas.get(run_id, ())}
        before += [each for key, each in old.items() if new.get(key) is not each]
        after += [each for key, each in new.items() if old.get(key) is not each]
        keys_stay = keys_stay and old.keys() == new.keys()
    if not before and not after:
        return _Replicas(previous.snapshot.replicas, (), ())
    if keys_stay:
        by_key = {**previous.snapshot.replicas, **{each.key: each for each in after}}
    else:
        by_key = {each.key: each for joined in runs.replicas.values() for each in joined}
    return _Replicas(by_key, before, after)


def _join_instances(
    answers: Answers,
    replicas: _Replicas,
    imported: Mapping[str, str],
    previous: Joined | None,
) -> Generator[None, None, Mapping[str, Instance]]:
    old = previous.snapshot.instances if previous is not None else {}
    if previous is None:
        fresh = set(answers.instances)
    else:
        touched = (each.instance_id for each in (*replicas.before, *replicas.after))
        fresh = {
            *_differing(previous.answers.instances, answers.instances),
            *_differing(previous.answers.idle_since, answers.idle_since),
            *(each for each in touched if each is not None),
        }
    gone = {each.key for each in replicas.before}
    jobs: dict[str, list[ReplicaKey]] = defaultdict(list)
    for replica in replicas.after:
        if replica.instance_id is not None and replica.active:
            jobs[replica.instance_id].append(replica.key)
    made = {}
    for instance_id in fresh & answers.instances.keys():
        answer, known = answers.instances[instance_id], old.get(instance_id)
        stay = () if known is None else (key for key in known.jobs if key not in gone)
        here = tuple(sorted((*stay, *jobs.get(instance_id, ()))))
        idle_since = answers.idle_since.get(instance_id) if answer.status == "idle" else None
        made[instance_id] = _kept(known, instance_of(answer, here, idle_since, imported))
        if not len(made) % _AT_ONCE:
            yield
    if fresh and old.keys() != answers.instances.keys():
        return {key: made[key] if key in made else old[key] for key in answers.instances}
    if all(old[key] is each for key, each in made.items()):
        return old
    return {**old, **made}


def _join_fleets(
    answers: Answers,
    instances: Mapping[str, Instance],
    replicas: _Replicas,
    imported: Mapping[str, str],
    previous: Joined | None,
) -> Generator[None, None, Mapping[str, Fleet]]:
    old = previous.snapshot.fleets if previous is not None else {}
    before = previous.snapshot.instances if previous is not None else {}
    counts = _counts(answers, replicas, old)
    touched = _differing(before, instances)
    changed = {
        known[instance_id].fleet_id
        for known in (before, instances)
        for instance_id in touched & known.keys()
    }
    stands = previous.answers.fleets if previous is not None else {}
    remade = [
        answer
        for answer in answers.fleets.values()
        if stands.get(answer.id) is not answer
        or answer.id in changed
        or _counts_of(old[answer.id]) != counts[answer.id]
    ]
    if not remade and len(old) == len(answers.fleets):
        return old
    members: dict[str | None, list[Instance]] = {answer.id: [] for answer in remade}
    for instance in instances.values():
        if instance.fleet_id in members:
            members[instance.fleet_id].append(instance)
    made = {}
    for answer in remade:
        here, others, unplaced = counts[answer.id]
        fleet = fleet_of(
            answer,
            members[answer.id],
            replicas=here,
            other_jobs=others,
            unplaced=unplaced,
            imported=imported,
        )
        made[answer.id] = _kept(old.get(answer.id), fleet)
        yield
    ordered = sorted(
        answers.fleets.values(), key=lambda fleet: (imported.get(fleet.id, fleet.name), fleet.id)
    )
    return _same(old, {each.id: made.get(each.id) or old[each.id] for each in ordered})


def _counts(
    answers: Answers, replicas: _Replicas, old: Mapping[str, Fleet]
) -> dict[str, tuple[int, int, int]]:
    """Of each fleet: replicas, jobs of other runs, and how many of both are on no instance."""
    known = answers.fleets.keys() <= old.keys()
    services, others, unplaced = Counter[str](), Counter[str](), Counter[str]()
    steps = (
        ((replicas.before, -1), (replicas.after, 1)) if known else ((replicas.by_key.values(), 1),)
    )
    for several, step in steps:
        for replica in several:
            if replica.fleet_id is not None and replica.active:
                counter = services if replica.run_type == "service" else others
                counter[replica.fleet_id] += step
                unplaced[replica.fleet_id] += step * (replica.instance_id is None)
    counts = {}
    for fleet_id in answers.fleets:
        here, rest, loose = _counts_of(old[fleet_id]) if known else (0, 0, 0)
        counts[fleet_id] = (
            here + services[fleet_id],
            rest + others[fleet_id],
            loose + unplaced[fleet_id],
        )
    return counts


def _counts_of(fleet: Fleet) -> tuple[int, int, int]:
    return fleet.replicas, fleet.other_jobs, fleet.unplaced


def _same(old: Mapping[str, T], new: Mapping[str, T]) -> Mapping[str, T]:
    """The old mapping where the new one has the same objects in the same order."""
    if len(old) == len(new) and all(map(is_, old.values(), new.values())):
        return old
    return new


def _kept(old: T | None, new: T) -> T:
    """The old object where the new one says the same."""
    return old if old is not None and old == new else new


def _newest_first(run: wire.Run) -> tuple[float, str]:
    return (-run.submitted_at.timestamp(), run.id)
