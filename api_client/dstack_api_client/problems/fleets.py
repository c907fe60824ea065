"""What is wrong with fleets and their instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dstack_api_client.analysis.endings import ends_with_host
from dstack_api_client.analysis.health import unreached_parts
from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.fleet import INSTANCE_GONE, Fleet, Instance
from dstack_api_client.model.jobs_only import jobs_only_line, no_minimum_line, with_jobs_only
from dstack_api_client.model.labels import counted, job_name, listed
from dstack_api_client.model.occupants import namesakes
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.roles import consequence, named, roles_of
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.losses import breaks_something
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_placement.engine import mapping

#: dstack gives most instances 10 minutes to come up and the largest kinds 30, then it takes
#: another; one that takes longer than most is worth a look.
STARTING_LONG = timedelta(minutes=15)
#: An instance that waits between two replicas is no waste; dstack's own default keeps an instance
#: idle for 5 minutes before it gives back one that it created for a run.
IDLE_LONG = timedelta(minutes=5)
#: What a failure or a warning of an instance's health comes from.
HEALTH_HINT = "Its accelerators' health check says so; see its events for what was found."
#: The server looks at a fleet's number of nodes every 15 s; right after it was created it had no
#: chance to.
NEW = timedelta(minutes=2)


@dataclass
class _Found:
    """The instances of one fleet that something is wrong with, or may be."""

    usable: int = 0
    on_hosts: int = 0
    hostnames: set[str | None] = field(default_factory=set)
    unreachable: list[Instance] = field(default_factory=list)
    failing: list[Instance] = field(default_factory=list)
    warned: list[Instance] = field(default_factory=list)
    starting: list[Instance] = field(default_factory=list)
    idle: list[Instance] = field(default_factory=list)


@dataclass(frozen=True)
class Fleets:
    """What was found.

    Attributes:
        problems: Of fleets and instances.
        unreachable: Jobs on instances that the server can't reach, which explains the rest that
            is wrong with them.
    """

    problems: tuple[Problem, ...]
    unreachable: frozenset[ReplicaKey]


def of_fleets(snapshot: Snapshot, time: Moment, since: Since) -> Fleets:
    """Finds what is wrong with fleets and instances.

    Args:
        snapshot: What is.
        time: The time, to tell what takes too long.
        since: What events told.
    """
    found: defaultdict[str | None, _Found] = defaultdict(_Found)
    found.update((fleet_id, _Found()) for fleet_id in snapshot.fleets)
    unreachable: set[ReplicaKey] = set()
    for instance in snapshot.instances.values():
        here = found[instance.fleet_id]
        here.on_hosts += 1
        here.hostnames.add(instance.hostname)
        if instance.status in INSTANCE_GONE:
            continue
        here.usable += 1
        if instance.unreachable:
            here.unreachable.append(instance)
            unreachable.update(instance.jobs)
        elif instance.health == "failure":
            here.failing.append(instance)
        elif instance.health == "warning":
            here.warned.append(instance)
        if instance.status in ("pending", "provisioning"):
            here.starting.append(instance)
        elif instance.status == "idle" and not instance.unreachable:
            here.idle.append(instance)
    problems: list[Problem] = []
    for fleet_id, here in found.items():
        fleet = snapshot.fleets.get(fleet_id or "")
        problems += _of_instances(snapshot, fleet, here, time, since)
        if fleet is not None:
            problems += _of_fleet(snapshot, fleet, here, time, since)
    return Fleets(tuple(problems), frozenset(unreachable))


def _of_instances(
    snapshot: Snapshot, fleet: Fleet | None, here: _Found, time: Moment, since: Since
) -> Iterator[Problem]:
    if here.unreachable:
        yield _together(
            snapshot, fleet, here.unreachable, here.usable, "unreachable",
            hint=unreachable_hint(snapshot, fleet, here.unreachable),
            since=_first(since.unreachable.get(each.id) for each in here.unreachable),
        )  # fmt: skip
    for health, instances in (("failure", here.failing), ("warning", here.warned)):
        if instances:
            problem = _together(
                snapshot, fleet, instances, here.usable, f"health {health}",
                hint=HEALTH_HINT,
                since=_first(since.health.get(each.id) for each in instances),
                notice=health == "warning",
            )  # fmt: skip
            yield problem
    slow = [i for i in here.starting if time.past(_began(i, since), STARTING_LONG)]
    if slow:
        yield _together(
            snapshot, fleet, slow, here.usable, "not up yet",
            hint="dstack gives up on an instance after 10 to 30 minutes, depending on its kind.",
            since=_first(_began(each, since) for each in slow),
        )  # fmt: skip


def _together(
    snapshot: Snapshot,
    fleet: Fleet | None,
    instances: Sequence[Instance],
    usable: int,
    what: str,
    *,
    hint: str,
    since: datetime | None,
    notice: bool = False,
) -> Problem:
    """One problem of all instances of a fleet that have the same."""
    first = min(instances, key=lambda instance: (instance.num, instance.id))
    name = fleet.name if fleet is not None else first.fleet_name
    text = what
    if len(instances) > 1:
        numbers = listed(str(number) for number in sorted(i.num for i in instances))
        text = f"{len(instances)} of {counted(usable, 'instance')} {what}: {numbers}"
        subject = name or "instances without a fleet"
    else:
        subject = f"{name}/{first.num}" if name is not None else first.name
        if first.hostname and namesakes(first, snapshot):
            subject += f" ({first.hostname})"
    keys = (key for instance in instances for key in instance.jobs)
    jobs = [job for key in keys if (job := snapshot.replicas.get(key)) is not None]
    if jobs:
        where = "on it" if len(instances) == 1 else "on them"
        text += f"; {where}: {listed(job_name(job) for job in jobs)}"
    if what == "unreachable":
        text += "".join(_without(snapshot, jobs))
    breaks = breaks_something(snapshot, jobs, given_up=what == "unreachable")
    loud = Severity.CRITICAL if breaks else Severity.WARNING
    return Problem(
        key=f"{what}:{fleet.id if fleet is not None else first.id}",
        kind=Kind.INSTANCE,
        severity=Severity.NOTICE if notice else loud,
        subject=subject,
        text=text,
        hint=hint,
        since=since,
        fleet_id=fleet.id if fleet is not None else None,
        view="instances",
        row=first.id,
        run_ids=tuple(dict.fromkeys(job.key.run_id for job in jobs)),
    )


def _without(snapshot: Snapshot, jobs: Iterable[Replica]) -> Iterator[str]:
    """That a disaggregated service has no worker of some part without replicas out of reach."""
    for run_id in dict.fromkeys(job.key.run_id for job in jobs):
        service = snapshot.services.get(run_id)
        if service is None:
            continue
        view = snapshot.routers.get(run_id)
        told = view.lacking if view is not None else ()  # by the router's problem
        lost = [part for part in unreached_parts(snapshot, service) if part not in told]
        if not lost:
            continue
        becomes = consequence(lost, roles_of(service.groups))
        yield f"; {named(lost)} of {service.name} can be reached: {becomes}"


def unreachable_hint(snapshot: Snapshot, fleet: Fleet | None, instances: Iterable[Instance]) -> str:
    """What becomes of instances that the server can't reach, and of what runs there.

    Args:
        snapshot: Where they are.
        fleet: Their fleet, if they have one.
        instances: The instances.
    """
    instances = list(instances)
    several = len(instances) > 1
    if fleet is not None and fleet.kind == "ssh":
        text = f"dstack keeps the host{'s' if several else ''} and goes on trying."
    else:
        text = f"dstack gives the instance{'s' if several else ''} back after 20 minutes."
    keys = [key for instance in instances for key in instance.jobs]
    if not keys:
        return text
    again: list[str] = []
    ends: list[str] = []
    for key in keys:
        service, job = snapshot.services.get(key.run_id), snapshot.replicas.get(key)
        if service is not None and job is not None:
            over = ends_with_host(snapshot, service, job, keys)
            (ends if over else again).append(service.name)
    ends = list(dict.fromkeys(ends))
    again = [name for name in dict.fromkeys(again) if name not in ends]
    text += " What runs there fails after 2 minutes"
    if ends:
        text += f": {listed(ends)} has no `retry` for that, and dstack ends all of it"
        place = f"; dstack looks for another place for {listed(again)}" if again else ""
        return f"{text}{place}."
    return f"{text}, and dstack looks for another place." if again else f"{text}."


def _of_fleet(
    snapshot: Snapshot, fleet: Fleet, here: _Found, time: Moment, since: Since
) -> Iterator[Problem]:
    if fleet.status == "failed":
        yield Problem(
            key=f"fleet:{fleet.id}",
            kind=Kind.FLEET,
            severity=Severity.WARNING,
            subject=fleet.name,
            text=f"the fleet failed: {fleet.status_message}"
            if fleet.status_message
            else "the fleet failed",
            hint="Nothing is started in it; delete it or apply it again.",
            fleet_id=fleet.id,
            view="instances",
        )
    if fleet.status != "active":
        return
    if fleet.kind == "ssh":
        yield from _of_hosts(fleet, here, time, since)
        return
    least = fleet.nodes_min or 0
    if here.usable < least and time.past(fleet.created_at, NEW):
        # Jobs run there all the same: nothing is short.
        backends = fleet.backends or snapshot.backends
        never = with_jobs_only(backends)
        yield Problem(
            key=f"nodes:{fleet.id}",
            kind=Kind.FLEET,
            severity=Severity.NOTICE if never else Severity.WARNING,
            subject=fleet.name,
            text=f"{here.usable} of at least {counted(least, 'node')}"
            + (f": {jobs_only_line(backends)}" if never else ""),
            hint=no_minimum_line(fleet.nodes_max)
            if never
            else "dstack tries again at longer and longer intervals; its events say how often.",
            fleet_id=fleet.id,
            view="instances",
        )
    yield from _idle(fleet, here, time, since)


def _of_hosts(fleet: Fleet, here: _Found, time: Moment, since: Since) -> Iterator[Problem]:
    """Hosts that the fleet's configuration names and that no instance is on."""
    configured = _hosts(fleet)
    hosts = len(configured)
    names = [name for name in configured if name and name not in here.hostnames]
    if fleet.failed:
        count = len(fleet.failed)
        which = names if len(names) == count else [f"instance {each.num}" for each in fleet.failed]
        lender = fleet.name.rpartition("/")[0]
        causes = dict.fromkeys(each.termination_message or "" for each in fleet.failed)
        cause = listed(text for text in causes if text)
        yield Problem(
            key=f"hosts failed:{fleet.id}",
            kind=Kind.FLEET,
            severity=Severity.WARNING,
            subject=fleet.name,
            text=f"{count} of {counted(max(hosts, count), 'host')} could not be set up: "
            f"{listed(which)}" + (f" ({cause.rstrip('.')})" if cause else ""),
            hint=f"dstack does not try again. The fleet is project {lender}'s: ask its owners."
            if lender
            else "dstack does not try again. Check that it can log in there, then "
            + (
                "delete the fleet and apply it again."
                if not here.usable
                else "apply the fleet without these hosts and then with them."
            ),
            since=_first(
                each.finished_at or since.instance_status.get(each.id) for each in fleet.failed
            ),
            fleet_id=fleet.id,
            view="instances",
            row=fleet.failed[0].id,
        )
    missing = hosts - here.on_hosts - len(fleet.failed)
    if missing > 0 and time.past(fleet.created_at, NEW):
        named = f": {listed(names)}" if len(names) == missing else ""
        yield Problem(
            key=f"hosts:{fleet.id}",
            kind=Kind.FLEET,
            severity=Severity.NOTICE,
            subject=fleet.name,
            text=f"{missing} of {counted(hosts, 'host')} {'has' if missing == 1 else 'have'}"
            f" no instance{named}",
            hint="Somebody deleted the instance, or dstack gave up on it; see the events. Apply"
            " the fleet without the host, and then with it to use it again.",
            fleet_id=fleet.id,
            view="instances",
        )


def _hosts(fleet: Fleet) -> list[str]:
    ssh = mapping(mapping(fleet.spec.get("configuration")).get("ssh_config"))
    hosts = ssh.get("hosts")
    names = (
        host if isinstance(host, str) else mapping(host).get("hostname")
        for host in (hosts if isinstance(hosts, list) else ())
    )
    return [name if isinstance(name, str) else "" for name in names]


def _idle(fleet: Fleet, here: _Found, time: Moment, since: Since) -> Iterator[Problem]:
    """Instances beyond the minimum and the target that do nothing, those that idle longest."""
    kept_for = max(fleet.nodes_min or 0, fleet.nodes_target or 0)
    waiting = [
        (idle_since is not None, idle_since or time.at, instance.num, instance)
        for instance in here.idle
        if (idle_since := instance.idle_since or since.instance_status.get(instance.id)) is None
        or time.past(idle_since, IDLE_LONG)
    ]
    waiting.sort(key=lambda each: each[:3])
    extra = waiting[: max(0, here.usable - kept_for)]
    price = sum((instance.price or 0.0 for *_, instance in extra), 0.0)
    if not extra or not price:
        return
    known = [moment for told, moment, _, _ in extra if told]
    idles = counted(len(extra), "instance")
    asked = "target" if kept_for > (fleet.nodes_min or 0) else "minimum"
    if fleet.idle_duration == "off":
        hint = "Its idle_duration is off: they stay until somebody deletes them."
    else:
        kept = fleet.idle_duration or "3d"  # dstack's own default of fleets
        hint = f"dstack gives back what has been idle for {kept} (idle_duration)."
    yield Problem(
        key=f"idle:{fleet.id}",
        kind=Kind.IDLE,
        severity=Severity.NOTICE,
        subject=fleet.name,
        text=f"{idles} idle above the {asked} of {kept_for}",
        hint=hint,
        since=min(known, default=None),
        fleet_id=fleet.id,
        view="instances",
        row=extra[0][3].id,
        price=price,
    )


def _began(instance: Instance, since: Since) -> datetime:
    return since.instance_status.get(instance.id, instance.created_at)


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    """The earliest of those that are known."""
    return min((moment for moment in moments if moment is not None), default=None)
