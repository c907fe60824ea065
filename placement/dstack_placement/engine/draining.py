"""Draining: a replica that is to stop ends its open requests first, as long as a limit lets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: How long a replica may take where nothing is said of it, and the most that may be said.
DEFAULT_DRAIN = timedelta(seconds=30)
LONGEST_DRAIN = timedelta(minutes=30)
#: Requests that were given to a replica just before it left the rotation arrive within this time.
_ARRIVING = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Drain:
    """A replica that gets no new requests and is to stop.

    Attributes:
        since: When it was to stop.
        limit: How long it may take.
    """

    since: datetime
    limit: timedelta

    def ends(self, now: datetime, *, in_rotation: bool, open_requests: int | None) -> bool:
        """Whether the replica may stop: no request can be open any more, or the limit has passed.

        Args:
            now: The time.
            in_rotation: Whether new requests may still reach it.
            open_requests: How many are open; None is not known, and then the limit is waited for.
        """
        passed = now - self.since
        if passed >= self.limit:
            return True
        return not in_rotation and open_requests == 0 and passed >= _ARRIVING

    def ended(self, now: datetime, *, in_rotation: bool, open_requests: int | None) -> str:
        """What became of it, as in `drained in 41 s`.

        Args:
            now: When it ended.
            in_rotation: Whether new requests could still reach it.
            open_requests: How many were open; None is not known.
        """
        seconds = f"{round((now - self.since).total_seconds())} s"
        if open_requests is None:
            return f"stopped after {seconds}: how many of its requests were open is not known"
        if open_requests:
            requests = "1 request" if open_requests == 1 else f"{open_requests} requests"
            return f"stopped with {requests} open after {seconds}"
        if in_rotation:
            return f"stopped after {seconds}: its router had it in its list until then"
        return f"drained in {seconds}"
