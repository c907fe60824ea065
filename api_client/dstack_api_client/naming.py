"""What a replica and its group are called where people read."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_api_client.snapshot import Replica, ReplicaKey

#: Replicas that are named one by one in a line of text; the rest is counted.
_NAMED = 3


def group_name(name: str) -> str | None:
    """The name of a replica group; None where dstack numbered it because nobody named it."""
    return None if name.isdigit() else name


def replica_name(replica: Replica) -> str:
    """`decode 3`, or `3` where the service has no named groups."""
    number = str(replica.key.replica_num)
    named = group_name(replica.group)
    return f"{named} {number}" if named else number


def listed(names: Iterable[str]) -> str:
    """`a, b, c and 4 more`: a list that stays one line however long it is."""
    every = list(names)
    more = len(every) - _NAMED
    if more <= 0:
        return ", ".join(every)
    return f"{', '.join(every[:_NAMED])} and {more} more"


def counted(number: int, thing: str) -> str:
    """`1 replica`, `3 replicas`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def replica_row(key: ReplicaKey) -> str:
    """What names a replica within its service."""
    return f"{key.replica_num}.{key.job_num}"


def lane_row(pool: str, fleet: str | None) -> str:
    """What names a fleet within a service: it may serve several groups with lanes of their own."""
    return f"{pool}/{fleet or ''}"


def job_name(job: Replica) -> str:
    """`chat-70b decode 3`, `train (task)`: a replica or another run's job among many."""
    if job.run_type != "service":
        return f"{job.run_name} ({job.run_type})"
    return f"{job.run_name} {replica_name(job)}"
