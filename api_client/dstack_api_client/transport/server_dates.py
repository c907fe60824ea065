"""How far behind a server's clock can be, by the dates of its answers."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime

#: Different dates that must agree.
_AGREE = 5
#: Seconds behind that one date is enough for: no server is late by that much with its dates.
_AT_ONCE = 30.0


class ServerDates:
    """The last dates that a server's answers had.

    A web server makes the date once a second, and later while it is busy, so that an answer may
    bear one from well before its request. A date is never early: the one that puts the server the
    least behind is the nearest to the truth.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, float]] = deque(maxlen=_AGREE)

    def most(self, said: datetime, most: float) -> float:
        """What the server's clock is ahead at the most; without limit until enough dates agree.

        Args:
            said: The date of an answer.
            most: Seconds that the clock is ahead at the most if the date is that of the moment
                when the request came.
        """
        if self._seen and self._seen[-1][0] == said:
            most = max(most, self._seen.pop()[1])
        self._seen.append((said, most))
        known = max(seen for _, seen in self._seen)
        return known if len(self._seen) == _AGREE or known < -_AT_ONCE else math.inf
