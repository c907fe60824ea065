"""A time that ages are compared with, and when such an answer will be another."""

from __future__ import annotations

from datetime import datetime, timedelta


class Moment:
    """The time of a look: what takes too long is found again only once that can have changed.

    Args:
        at: The time.

    Attributes:
        until: Up to when each answer given so far stays the same; None for ever.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.until: datetime | None = None

    def past(self, since: datetime, limit: timedelta) -> bool:
        """Whether something has lasted longer than a limit."""
        end = since + limit
        if self.at <= end:
            self.changes(end)
        return self.at > end

    def reached(self, since: datetime, limit: timedelta) -> bool:
        """Whether something has lasted as long as a limit, or longer."""
        end = since + limit
        if self.at < end:
            self.changes(end)
        return self.at >= end

    def holds_at(self, time: datetime) -> bool:
        """Whether all answers given so far are the same at another time."""
        return self.at <= time and (self.until is None or time < self.until)

    def changes(self, time: datetime) -> None:
        """Notes that an answer may be another from some time on."""
        if self.until is None or time < self.until:
            self.until = time
