"""What a replica and its group are called where people read."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_api_client.snapshot import Replica

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
