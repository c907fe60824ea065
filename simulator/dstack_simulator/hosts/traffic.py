"""The requests that a service gets through a gateway, from the rates that were set."""

from __future__ import annotations

import math
import time

#: The windows, in seconds, over which gateways add requests up for dstack's autoscaler.
WINDOWS = (30, 60, 300)


class Traffic:
    """The requests of one service over time, from the rates that were set."""

    def __init__(self) -> None:
        self._rates: list[tuple[float, float]] = []

    @property
    def rate(self) -> float:
        """Requests per second now."""
        return self._rates[-1][1] if self._rates else 0.0

    def set(self, requests_per_second: float, *, since: float = 0.0) -> None:
        """Sets the rate, from some seconds ago or from now on."""
        now = time.monotonic() - since
        while self._rates and self._rates[-1][0] >= now:
            self._rates.pop()
        self._rates.append((now, requests_per_second))
        # What is older than the longest window matters no more, but for the last rate before it.
        oldest = now - max(WINDOWS)
        while len(self._rates) > 1 and self._rates[1][0] < oldest:
            self._rates.pop(0)

    def requests(self, window: float) -> int:
        """The number of requests in the last `window` seconds."""
        now = time.monotonic()
        begin, total = now - window, 0.0
        ends = [*(start for start, _ in self._rates[1:]), now]
        for (start, rate), end in zip(self._rates, ends, strict=False):
            total += rate * max(0.0, end - max(start, begin))
        return math.floor(total + 0.5)
