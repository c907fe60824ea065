"""How much may be read, and when: what keeps the cost of reading steady."""

from __future__ import annotations

#: What may be spent on what is on screen, in each poll.
_BYTES, _SECONDS = 30_000, 0.035
#: How many polls of allowance one read may use up beforehand.
_MOST_POLLS_OWED = 5
#: The share of time that reading everything may take.
_SHARE = 0.05
#: Bytes a second that reading everything may bring, on average.
_BYTES_PER_SECOND = 10_000
#: Seconds between two full reads.
_SHORTEST, _LONGEST = 15.0, 300.0
#: Seconds of that before the first page.
_REST = 5.0


class Allowance:
    """What reading may cost the server and the line; a dear read is paid by later polls."""

    def __init__(self) -> None:
        self._bytes = float(_BYTES)
        self._seconds = _SECONDS

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be read in this poll."""
        return self._bytes <= 0 or self._seconds <= 0

    def refill(self) -> None:
        """Begins a poll."""
        self._bytes = min(self._bytes + _BYTES, _BYTES)
        self._seconds = min(self._seconds + _SECONDS, _SECONDS)

    def spend(self, size: int, seconds: float) -> None:
        """Takes what a read cost."""
        self._bytes = max(self._bytes - size, -_BYTES * _MOST_POLLS_OWED)
        self._seconds = max(self._seconds - seconds, -_SECONDS * _MOST_POLLS_OWED)


class Pace:
    """When the next page of a full read in the background is due.

    Where events say of changes, pages are spread over the time until everything is to have been
    read again; otherwise all of them are read when that time is over.
    """

    def __init__(self) -> None:
        self._due = 0.0
        self._seconds_per_byte = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time."""
        return now >= self._due

    def stepped(self, size: int, now: float) -> None:
        """Waits for the next page.

        Args:
            size: How many bytes the last one brought.
            now: The time.
        """
        self._due = now + size * self._seconds_per_byte

    def finished(self, size: int, seconds: float, now: float, *, spread: bool) -> None:
        """Waits as long as the cost of the full read that ended asks for.

        Args:
            size: How many bytes it brought.
            seconds: How long it took.
            now: The time.
            spread: Whether events say of changes; then it may also be rarer for its bytes.
        """
        period = seconds / _SHARE
        if spread:
            period = max(period, size / _BYTES_PER_SECOND, _SHORTEST)
        period = min(period, _LONGEST)
        self._seconds_per_byte = max(period - _REST, 0.0) / max(size, 1)
        self._due = now + (_REST if spread else period)
