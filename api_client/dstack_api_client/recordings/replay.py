"""Plays a recording in the place of a feed."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta

from dstack_api_client.errors import RecordingError
from dstack_api_client.feed.update import Update
from dstack_api_client.join.join import Answers
from dstack_api_client.recordings.keyed import Told
from dstack_api_client.recordings.reader import Recording
from dstack_api_client.transport import wire
from dstack_api_client.transport.failures import NOT_DECODED

#: How fast it may be played.
SLOWEST, FASTEST = 0.1, 1000.0
#: Within this, several moments are of one poll.
_POLL = timedelta(seconds=0.4)
#: What lies between two moments of those that were before the one that one goes to.
_APART = timedelta(seconds=15)


class Replay:
    """A recording that is played, with the clock that counts in it.

    Args:
        recording: The recording.
        monotonic: A clock for durations.

    Raises:
        RecordingError: Its first moment can't be used.

    Attributes:
        recording: It ends where what it says can't be used.
        project: The project's name.
        speed: How many seconds of it pass in one second.
        paused: Whether it stands still.
    """

    def __init__(
        self, recording: Recording, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.recording = recording
        self.project = recording.head.project
        self.speed = 1.0
        self.paused = False
        self._monotonic = monotonic
        self._begin, self._begun = self.first, monotonic()
        self._told = Told(self.project)
        self._ahead = 0
        self._next = 0
        self._end = len(recording.lines)
        if next(self.due(self.first), None) is None:
            raise RecordingError("The recording can't be played.", "It is damaged.")
        self._told, self._next = Told(self.project), 0

    @property
    def first(self) -> datetime:
        """The time of the first moment."""
        return self.recording.lines[0].at

    @property
    def last(self) -> datetime:
        """The time of the last moment that can be played."""
        return self.recording.lines[self._end - 1].at

    @property
    def cut(self) -> bool:
        """Whether its end is missing or damaged."""
        return self.recording.cut or self._end < len(self.recording.lines)

    @property
    def ended(self) -> bool:
        """Whether all of it was played."""
        return self.now() >= self.last

    def now(self) -> datetime:
        """The time in the recording."""
        passed = 0.0 if self.paused else (self._monotonic() - self._begun) * self.speed
        return min(self._begin + timedelta(seconds=passed), self.last)

    def server_now(self) -> datetime:
        """The time in the recording by the server's clock."""
        return self.now() + timedelta(seconds=self._ahead)

    def pause(self, paused: bool) -> None:
        """Stops, or goes on."""
        self._stand(self.now())
        self.paused = paused

    def play(self, speed: float) -> None:
        """Goes on at another speed."""
        self._stand(self.now())
        self.speed = min(max(speed, SLOWEST), FASTEST)

    def go(self, at: datetime, *, back: timedelta = timedelta()) -> Iterator[Update]:
        """Goes to a time; to the beginning or the end where it is before or after them.

        Args:
            at: The time.
            back: How much of what was before is brought too.

        Returns:
            Moments of that, but for the one at the time itself, which the next poll brings.
        """
        self._stand(min(max(at, self.first), self.last))
        self._told = Told(self.project)
        at = self.now()
        lines = self.recording.lines
        self._next = max(self._line_at(at - back), 0)
        while not lines[self._next].whole:
            self._next -= 1
        before = self._line_before(self.shown)
        if before < self._next:
            return iter(())
        return self.due(lines[before].at, every=_APART, begin=at - back)

    @property
    def shown(self) -> datetime:
        """The time of the moment that is shown."""
        return self.recording.lines[max(self._line_at(self.now()), 0)].at

    def neighbour(self, *, later: bool) -> datetime | None:
        """The time of the poll after the one that is shown, or before it; None at the end."""
        if later:
            number = self._line_at(self.shown + _POLL) + 1
        else:
            number = self._line_before(self.shown - _POLL)
        return self.recording.lines[number].at if 0 <= number < self._end else None

    def _stand(self, at: datetime) -> None:
        self._begin, self._begun = at, self._monotonic()

    def _line_at(self, at: datetime) -> int:
        """The last line that is not after a time."""
        return bisect_right(self.recording.lines, at, hi=self._end, key=lambda each: each.at) - 1

    def _line_before(self, at: datetime) -> int:
        """The last line that is before a time."""
        return bisect_left(self.recording.lines, at, hi=self._end, key=lambda each: each.at) - 1

    # As a feed

    @property
    def events(self) -> list[wire.Event]:
        """The newest events, as of the moment that is shown."""
        return self._told.events

    @property
    def answers(self) -> Answers:
        """What the moment that is shown was joined from."""
        return self._told.answers

    def focus(self, **on_screen: object) -> None:
        """Does nothing: what was recorded was on somebody else's screen."""

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        """Brings the moments that are due."""
        del full
        for update in self.due(self.now()):
            yield update
            await asyncio.sleep(0)

    def due(
        self, until: datetime, *, every: timedelta = timedelta(), begin: datetime | None = None
    ) -> Iterator[Update]:
        """The moments up to a time that were not brought yet.

        Args:
            until: The time.
            every: What lies at least between two of them.
            begin: The time before which none is wanted.
        """
        end = self._line_at(until)
        since: datetime | None = None
        while self._next <= end:
            line = self.recording.lines[self._next]
            try:
                said = line.read()
                self._told.take(said.values, whole=said.whole)
                late = begin is None or line.at >= begin
                due = since is None or line.at - since >= every
                wanted = self._next == end or (late and due)
                update = self._told.update() if wanted else None
            except (*NOT_DECODED, KeyError):
                # It is played up to here.
                self._end = max(self._next, 1)
                return
            self._next += 1
            if update is not None:
                since = line.at
                if update.snapshot is not None:
                    self._ahead = update.snapshot.clock_ahead
                yield update
