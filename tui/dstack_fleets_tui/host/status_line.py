"""What is said beside the screens, one at a time: answers to keys, refusals and news."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

#: So many messages are kept to be looked up.
KEPT = 100
#: Seconds that an answer stands, a warning, and a warning while others wait.
_ANSWER, _WARNING, _BRIEF = 5.0, 15.0, 6.0


@dataclass(frozen=True)
class Said:
    """One message.

    Attributes:
        message: A sentence or two.
        at: When it was said.
        warning: Whether something is refused or wrong.
    """

    message: str
    at: datetime
    warning: bool = False


class StatusLine:
    """Which message stands in the line above the footer, and which ones wait for it.

    What follows a key is shown at once, since somebody waits for it; a warning that stood there
    comes back after it, but for one that followed a key before: after a newer refusal, an older
    one is of no use. Everything else waits until the one before has had its time.

    Args:
        clock: Seconds that only grow.

    Attributes:
        log: The last messages, the oldest first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.log: deque[Said] = deque(maxlen=KEPT)
        self._queue: deque[Said] = deque(maxlen=KEPT)
        self._since: float | None = None
        self._touches = 0
        #: What followed a key last.
        self._followed: Said | None = None

    def say(self, said: Said, touches: int) -> None:
        """Takes a message.

        Args:
            said: The message.
            touches: How many keys were pressed by now.
        """
        self.log.append(said)
        shown = self.current
        interrupts = shown is not None and touches != self._touches
        follows, self._touches = touches != self._touches, touches
        waiting = [each for each in self._queue if each.message != said.message]
        if interrupts and shown is not None:
            comes_back = shown.warning and not (said.warning and shown is self._followed)
            kept = waiting if comes_back else [each for each in waiting if each is not shown]
            self._queue = deque([said, *kept], KEPT)
            self._since = None
        elif len(waiting) == len(self._queue):
            self._queue.append(said)
        if follows:
            self._followed = said

    def take_back(self, message: str) -> None:
        """Shows a message no longer that is no longer true; the log keeps it."""
        if self._queue and self._queue[0].message == message:
            self._since = None
        self._queue = deque((each for each in self._queue if each.message != message), KEPT)

    @property
    def current(self) -> Said | None:
        """The message that stands now, if any."""
        now = self._clock()
        while self._queue:
            if self._since is None:
                self._since = now
            if now < self._since + self._seconds:
                return self._queue[0]
            self._queue.popleft()
            self._since = None
        return None

    @property
    def waiting(self) -> int:
        """How many wait behind it."""
        return max(0, len(self._queue) - 1)

    @property
    def _seconds(self) -> float:
        if not self._queue[0].warning:
            return _ANSWER
        return _BRIEF if len(self._queue) > 1 else _WARNING
