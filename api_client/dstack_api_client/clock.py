"""The time by a server's clock: what it says of when things happened is by its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

#: Seconds that are no difference: a `Date` header has whole ones, and an answer takes its time.
_SAME = 2.0
#: Seconds from which a difference is worth a word.
WORTH_A_WORD = 5
#: Seconds that a moment lies ahead of the clock from which the clock was set back.
_SET_BACK = 30.0


def utc_now() -> datetime:
    """The time by this machine's clock, with its zone."""
    return datetime.now(timezone.utc)


def seconds_since(moment: datetime, now: datetime) -> float:
    """Seconds since a moment; without end where the clock was set back since.

    What waits for so many seconds would otherwise wait for as long as the clock was set back by.
    Two looks at clocks may differ by some seconds all the same, which is none.
    """
    seconds = (now - moment).total_seconds()
    return max(seconds, 0.0) if seconds >= -_SET_BACK else math.inf


class ServerClock:
    """The server's clock as this machine knows it.

    Args:
        now: This machine's clock.
        offset: The server's clock less this machine's in seconds, as the last answer told; None
            until one has.

    Attributes:
        ahead: Seconds that the server's clock is ahead, negative where it is behind; 0 where the
            two tell the same. It changes only when the difference does.
    """

    def __init__(self, now: Callable[[], datetime], offset: Callable[[], float | None]) -> None:
        self.ahead = 0
        self._now = now
        self._offset = offset

    def now(self) -> datetime:
        """The time by the server's clock."""
        told = self._offset() or 0.0
        if abs(told - self.ahead) > _SAME:
            self.ahead = round(told) if abs(told) > _SAME else 0
        return self._now() + timedelta(seconds=self.ahead)


class ClockSteps:
    """Notices that this machine's clock is set.

    Args:
        now: This machine's clock.
        monotonic: A clock for durations, which nobody sets.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._apart = self._seconds_apart()

    def seconds(self) -> float:
        """Seconds by which it was set forward since this was last asked; 0 where it was not."""
        before, self._apart = self._apart, self._seconds_apart()
        by = self._apart - before
        return by if abs(by) > _SAME else 0.0

    def _seconds_apart(self) -> float:
        return self._now().timestamp() - self._monotonic()


def difference(ahead: int) -> str:
    """What to say of clocks that differ; empty where that is not worth a word.

    Args:
        ahead: Seconds that the server's clock is ahead.
    """
    if abs(ahead) <= WORTH_A_WORD:
        return ""
    way = "behind" if ahead > 0 else "ahead of"
    return (
        f"This machine's clock is {_span(abs(ahead))} {way} the server's. Ages use the server's"
        " clock; correct this one."
    )


def _span(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
