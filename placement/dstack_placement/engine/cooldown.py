"""Cooldown: for how long a lane is skipped after a start failed there.

The first failure skips the lane for 60 s, each further one for twice as long, up to 10 minutes. A
success, an edit of the fleet and an edit of the lanes end it: the caller, who sees the first two,
leaves such a cooldown out of what it tells the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: After the first failure.
FIRST = timedelta(seconds=60)
#: The longest, however many failures there were.
LONGEST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Cooldown:
    """One lane's failed starts since the last success or edit.

    Attributes:
        failures: How many count: starts that were under way together are one.
        since: When the last of them was seen.
        until: From then on the lane is tried again.
        cause: Why the start failed, for people to read.
    """

    failures: int
    since: datetime
    until: datetime
    cause: str = ""

    def cools(self, now: datetime) -> bool:
        """Whether the lane is still skipped at a time."""
        return now < self.until


def after_failure(
    previous: Cooldown | None, *, now: datetime, started: datetime, cause: str = ""
) -> Cooldown:
    """The lane's cooldown after a start failed.

    A start that was placed before the cooldown began failed of the same trouble, so ten replicas
    that fail together count once.

    Args:
        previous: The lane's cooldown so far; None when there is none.
        now: The time of the failure.
        started: When the failed replica was placed in the lane.
        cause: Why it failed.
    """
    if previous is not None and started <= previous.since:
        return Cooldown(previous.failures, previous.since, previous.until, cause or previous.cause)
    failures = previous.failures + 1 if previous is not None else 1
    # The exponent is bounded before it is used: a lane may fail for weeks.
    pause = min(FIRST * 2 ** min(failures - 1, 10), LONGEST)
    return Cooldown(failures, now, now + pause, cause)
