"""What a replica and its group are called where people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dstack_api_client.model.engines import ROLES, ROUTER
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import Group

#: Replicas that are named one by one in a line of text; the rest is counted.
_NAMED = 3


#: How one says that something has a status, where it is not "is" and the status.
_HAS = {
    "failed": "has failed",
    "terminated": "has been terminated",
    "aborted": "has been aborted",
    "running": "runs",
}


def in_status(status: str) -> str:
    """What a run or a replica in a status does, after its name: `has failed`, `is pulling`."""
    return _HAS.get(status) or f"is {status}"


def group_name(name: str) -> str | None:
    """The name of a replica group; None where dstack numbered it because nobody named it."""
    return None if name.isdigit() else name


def group_label(name: str, role: str | None) -> str:
    """What a group of several is called: its name, or `1 prefill` where nobody gave it one.

    Args:
        name: Its name, or the number that dstack gave it.
        role: What it does, as `Replica.role` tells.
    """
    does = role if role in (ROUTER, *ROLES) and group_name(name) is None else None
    return f"{name} {does}" if does else name


def in_text(label: str) -> str:
    """A group's label in a line of text: `group 2`, since a number alone reads as a count."""
    return f"group {label}" if label.isdigit() else label


def labels_of(groups: Sequence[Group]) -> dict[str, str]:
    """The groups of a service by name, as they are called; none where it has but one without name.

    Args:
        groups: All groups of the service.
    """
    if len(groups) < 2 and all(group_name(group.name) is None for group in groups):
        return {}
    return {
        group.name: group_label(group.name, ROUTER if group.router else group.role)
        for group in groups
    }


def replica_name(replica: Replica) -> str:
    """`decode 3`, by name or by what it does; `3` where neither is known."""
    number = str(replica.key.replica_num)
    does = replica.role if replica.role in (ROUTER, *ROLES) else None
    named = group_name(replica.group) or does
    return f"{named} {number}" if named else number


def listed(names: Iterable[str]) -> str:
    """`a, b, c and 4 more`: a list that stays one line however long it is."""
    every = list(names)
    more = len(every) - _NAMED
    if more <= 0:
        return ", ".join(every)
    return f"{', '.join(every[:_NAMED])} and {more} more"


def borrowers(names: Sequence[str]) -> str:
    """The projects to which a fleet is lent, as `Client.exports` gives them: `guest, lab`."""
    return "every project" if "*" in names else listed(names)


def counted(number: int, thing: str) -> str:
    """`1 replica`, `3 replicas`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def share_of(number: int, whole: int, thing: str) -> str:
    """`1 of 4 workers is`, `0 of 1 worker is`, `3 of 4 workers are`: a part, with its verb."""
    verb = "is" if number == 1 or whole == 1 else "are"
    return f"{number} of {counted(whole, thing)} {verb}"


def replica_row(key: ReplicaKey) -> str:
    """What names a replica within its service."""
    return f"{key.replica_num}.{key.job_num}"


def replica_key(run_id: str, row: str) -> ReplicaKey:
    """The replica that a row is named after."""
    number, _, job = row.partition(".")
    return ReplicaKey(run_id, int(number), int(job or 0))


def lane_name(pool: str, fleet: str, labels: Mapping[str, str]) -> str:
    """`gpu-spot`, or `1 prefill/gpu-spot` for a lane that a group has for itself.

    Args:
        pool: The group with lanes of its own; empty for the service's.
        fleet: The fleet.
        labels: What the groups are called, by name.
    """
    return f"{labels.get(pool, pool)}/{fleet}" if pool else fleet


def lane_row(pool: str, fleet: str | None) -> str:
    """What names a fleet within a service: it may serve several groups with lanes of their own."""
    return f"{pool}/{fleet or ''}"


def job_name(job: Replica) -> str:
    """A replica or another run's job among many.

    Such as `chat-70b decode 3`, `notes (dev-environment, ann)`, `train trainer node 1 (task, ann)`.
    """
    if job.run_type == "service":
        return f"{job.run_name} {replica_name(job)}"
    group = job.node_group
    if group and group_name(group) is None:
        group = f"group {group}"
    node = f"node {job.key.job_num}" if job.nodes > 1 else None
    named = " ".join(part for part in (job.run_name, group, node) if part)
    return f"{named} ({', '.join(part for part in (job.run_type, job.user) if part)})"
