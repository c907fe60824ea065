"""How much may be read, and when: what keeps the cost of reading steady."""

from __future__ import annotations

#: What may be spent on what is on screen, in each poll.
_BYTES, _SECONDS = 35_000, 0.035
#: How many polls of allowance one read may use up beforehand.
_MOST_POLLS_OWED = 5
#: The share of time that reading everything may take.
_SHARE = 0.05
#: Bytes a second that reading everything may bring, on average.
_BYTES_PER_SECOND = 10_000
#: Seconds between two full reads.
_SHORTEST, _LONGEST = 15.0, 300.0


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
    """When the next page of a full read in the background is due."""

    def __init__(self) -> None:
        self._due = 0.0
        self._between = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time."""
        return now >= self._due

    def stepped(self, now: float) -> None:
        """Waits for the next page."""
        self._due = now + self._between

    def finished(self, seconds: float, size: int, steps: int, now: float, *, spread: bool) -> None:
        """Waits for the next full read, as long as the last one's cost asks for.

        Args:
            seconds: How long the full read that ended took.
            size: How many bytes it brought.
            steps: How many pages it had.
            now: The time.
            spread: Whether events tell of changes meanwhile: then the pages are spread over the
                time, and may come more rarely for what they bring.
        """
        period = seconds / _SHARE
        if spread:
            period = max(period, size / _BYTES_PER_SECOND, _SHORTEST)
        period = min(period, _LONGEST)
        self._between = period / max(steps, 1) if spread else 0.0
        self._due = now + (self._between if spread else period)
