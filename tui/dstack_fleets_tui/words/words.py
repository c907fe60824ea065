"""How a fleet, a service or a replica is put into a few words, on screens and in plain tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dstack_api_client.analysis.group_rows import GroupRow
from dstack_api_client.analysis.health import fleet_room
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.labels import (
    counted,
    group_name,
    job_name,
    listed,
    replica_name,
    share_of,
)
from dstack_api_client.model.occupants import Unseen, namesakes, unseen
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.roles import named
from dstack_api_client.model.router import RouterStatus, RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.problems.model import Problem, Severity
from dstack_fleets_tui.words.formatting import NOTHING, age, count, rate, seconds, span

if TYPE_CHECKING:
    from dstack_api_client.edits.outlook.outlooks import ReplicaOutlook

#: A job on an instance, a replica in its service and a replica group are named as everywhere.
job, replica, group = job_name, replica_name, group_name


_UNSEEN = {
    Unseen.OTHER_PROJECT: "used by another project",
    Unseen.OF_FLEET: "a job of its fleet, not known which",
    Unseen.NOT_KNOWN: "no run of this project",
}


def runs_on(instance: Instance, snapshot: Snapshot) -> str:
    """The jobs on an instance, those of other projects as `project/run`.

    Of a busy one without, who uses it; empty where nothing runs.
    """
    jobs = [snapshot.replicas[key] for key in instance.jobs if key in snapshot.replicas]
    guests = dict.fromkeys(guest.run for guest in snapshot.guests_on(instance))
    if jobs or guests:
        return ", ".join([*map(job_name, jobs), *guests])
    who = unseen(instance, snapshot)
    return _UNSEEN[who] if who is not None else ""


def used_by_others(fleet: Fleet, snapshot: Snapshot) -> Iterator[str]:
    """That instances of a fleet are busy with what is none of this project's runs."""
    here = [snapshot.instances[key] for key in fleet.instance_ids if key in snapshot.instances]
    guests = [snapshot.guests_on(each) for each in here]
    refused = "the server will refuse until nothing runs there."
    if with_guests := sum(map(bool, guests)):
        runs = sorted({guest.run for on_it in guests for guest in on_it})
        yield (
            f"{share_of(with_guests, len(here), 'instance')} busy with {listed(runs)} of another"
            f" project: {refused}"
        )
    busy = sum(
        not snapshot.guests_on(each) and unseen(each, snapshot) not in (None, Unseen.OF_FLEET)
        for each in here
    )
    if busy:
        yield (
            f"{share_of(busy, len(here), 'instance')} busy with no run of this project, maybe with"
            f" one of a project that borrows the fleet: {refused}"
        )


def same_number(instance: Instance, snapshot: Snapshot) -> str:
    """`10.0.0.7 has the number 2 too`; empty where its number is its own."""
    others = [other.hostname or other.name for other in namesakes(instance, snapshot)]
    if not others:
        return ""
    verb = "has" if len(others) == 1 else "have"
    return f"{', '.join(others)} {verb} the number {instance.num} too"


def nodes(fleet: Fleet) -> str:
    """`2..4`, with the target where it differs from the minimum: `2..6 (4)`."""
    text = span(fleet.nodes_min, fleet.nodes_max)
    if fleet.nodes_target not in (None, fleet.nodes_min):
        text += f" ({fleet.nodes_target})"
    return text


def fleet_status(fleet: Fleet) -> str:
    """`being deleted` for one that is going, else the server's word."""
    return "being deleted" if fleet.status == "terminating" else fleet.status


def with_cordon(status: str, cordon: Cordon | None) -> str:
    """`idle, cordoned`; the status alone where nothing is cordoned."""
    return status if cordon is None else f"{status}, {cordon.word}"


def cordons(found: Sequence[Cordon]) -> str:
    """`draining` where the whole fleet is, else `1 draining, 2 cordoned`; empty without any."""
    for each in found:
        if each.number is None:
            return each.word
    counts = Counter(each.word for each in found)
    return ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))


def cordoned(cordon: Cordon, now: datetime) -> str:
    """Who took something out of service, when and why: `cordoned by ada 2h ago: new driver`."""
    reason = f": {cordon.reason}" if cordon.reason else ""
    since = cordon.draining_since or cordon.since
    return f"{cordon.word} by {cordon.user} {age(since, now)} ago{reason}"


def states(fleet: Fleet) -> str:
    """`2 busy, 1 idle, 1 not set up (1 unhealthy)`: by state; empty without any."""
    states = {**fleet.states, "not set up": len(fleet.failed)}
    text = ", ".join(f"{number} {state}" for state, number in states.items() if number)
    return text + (f" ({fleet.unhealthy} unhealthy)" if fleet.unhealthy else "")


def room(fleet: Fleet, snapshot: Snapshot) -> str:
    """`1 idle, 3 blocks, 4 more`, `full`: what a fleet has left, as its own limits say.

    One that is going or has failed takes nothing any more.
    """
    if fleet.status != "active":
        return NOTHING
    left = fleet_room(snapshot, fleet)
    parts = [f"{left.idle} idle"] if left.idle else []
    if left.blocks:
        parts.append(counted(left.blocks, "block"))
    if left.may_start is None:
        parts.append("no limit")
    elif left.may_start:
        parts.append(f"{left.may_start} more")
    return ", ".join(parts) or "full"


def gpus(fleet: Fleet) -> str:
    """`H100 24/32`: busy of total."""
    if not fleet.gpus_total:
        return NOTHING
    return f"{fleet.gpu_name} {count(fleet.gpus_busy)}/{fleet.gpus_total}"


def desired(service: Service, number: int) -> str:
    """`3`, `3 of 2..6` where the number may change, `3 +1 surge`, `3, 2 to stop`.

    A surge is a replica more while another one moves or is replaced; else those that are more are
    about to stop.

    Args:
        service: The service.
        number: How many replicas it should have now.
    """
    more = service.active - number
    extra = ""
    if more > 0 and not service.finished:
        surge = not service.gone and _is_surge(service, more)
        extra = f" +{more} surge" if surge else f", {more} to stop"
    if service.replicas_min == service.replicas_max:
        return f"{number}{extra}"
    return f"{number} of {span(service.replicas_min, service.replicas_max)}{extra}"


def _is_surge(service: Service, more: int) -> bool:
    """Whether replicas past those desired may be there for a move or a rolling deployment."""
    replaced = 0 < service.at_deployment < service.active
    return more <= len(service.groups) and (replaced or service.ready < service.active)


#: Of these the router's list of workers says more than the word.
_LISTED = (RouterStatus.READY, RouterStatus.NOT_READY)
#: Of these nothing is known but that there is a router.
_UNREAD = (RouterStatus.UNKNOWN, RouterStatus.NOT_MANAGED)


def router(service: Service, view: RouterView | None = None, lost: Sequence[str] = ()) -> str:
    """`smg`, `smg ready`, `smg not ready 4/5`: its kind, and how it is where that was looked at.

    Args:
        service: The service.
        view: Its router, where it was looked at.
        lost: The parts that no worker plays.
    """
    text = service.router or ""
    if view is not None and view.status not in _UNREAD:
        text = f"{text} {view.status.value}"
        if view.status in _LISTED and view.ready < view.expected:
            text += f" {view.ready}/{view.expected}"
    return ", ".join(filter(None, (text, named(lost) if lost else "")))


def rolling(service: Service) -> bool:
    """Whether a rolling deployment is under way."""
    return not service.gone and service.at_deployment < service.active


def rollout(service: Service) -> str:
    """`7`, or `7 (3/9)` while replicas of an older deployment are left."""
    if not rolling(service):
        return str(service.deployment_num)
    return f"{service.deployment_num} ({service.at_deployment}/{service.active})"


def rebalancing(placement: Placement | None, now: datetime) -> str:
    """`a rebalancing is under way, 3 replicas to move, for 4m`; empty where none is."""
    if placement is None or placement.rebalancing_since is None:
        return ""
    return f"{placement.rebalancing}, for {age(placement.rebalancing_since, now)}"


def next_start(service: Service) -> str:
    """`starts 2026-12-01 08:00 UTC`: of one that waits for its schedule, as that counts in UTC."""
    if service.starts_at is None or not service.waits_for_its_time:
        return ""
    return f"starts {service.starts_at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def progress(service: Service) -> str:
    """`7 (9 of 9)`: the deployment, and how many replicas have it."""
    if service.gone or not service.active:
        return str(service.deployment_num)
    return f"{service.deployment_num} ({service.at_deployment} of {service.active})"


def traffic(known: Traffic | None) -> str:
    """`3.2 requests/s, 0.41 s each`; empty where nothing is known."""
    if known is None:
        return ""
    told = f"{rate(known.per_second)} requests/s"
    return told if known.request_time is None else f"{told}, {seconds(known.request_time)} each"


def group_why(row: GroupRow, told_age: Callable[[datetime], str], *, brief: bool = False) -> str:
    """What a replica group waits for; a minimum that is not met comes first.

    Args:
        row: What the group holds.
        told_age: Tells how long ago something was.
        brief: Whether it is said elsewhere what a baseline waits for.
    """
    if not row.lacks or not row.is_baseline:
        return row.reason
    least = row.group.replicas_min
    since = f" for {told_age(row.since)}" if row.since else ""
    told = f"BASELINE {least - row.lacks} of {least}{since}"
    return f"{told}: {row.reason}" if row.reason and not brief else told


def affected(problem: Problem) -> str:
    """`DOWN`, `chat-70b DEGRADED 5/7, voice OK`: how the services are that a problem concerns."""
    return (
        ", ".join(
            " ".join(
                part
                for part in (
                    each.name if each.name != problem.subject else "",
                    str(each.health) if each.health is not None else "",
                )
                if part
            )
            for each in problem.affects
        )
        or NOTHING
    )


def problems(found: Sequence[Problem]) -> str:
    """`2!`: how many problems there are, marked where one is more than a notice."""
    if not found:
        return ""
    loud = any(problem.severity > Severity.NOTICE for problem in found)
    return f"{len(found)}!" if loud else str(len(found))


def abilities(capabilities: Capabilities, dot: str) -> str:
    """`placement 1.0 · router list through the server`: what a server can do, without its version.

    Args:
        capabilities: What was found out about the server.
        dot: The sign between two of them.
    """
    return f" {dot} ".join(capabilities.abilities)


def surge(extra: ReplicaOutlook, labels: Mapping[str, str]) -> str:
    """What a rolling deployment starts beside the replicas that it replaces, or can't start.

    Args:
        extra: What it starts.
        labels: What the groups are called, by name.
    """
    named = labels.get(extra.group) or group_name(extra.group)
    rollout = f"rolling deployment of group {named}" if named else "rolling deployment"
    if extra.action == "start":
        return f"{rollout}: first 1 more" + (f" in {extra.to}" if extra.to else "")
    return f"{rollout}: 1 more has to wait" + (f": {extra.why}" if extra.why else "")
