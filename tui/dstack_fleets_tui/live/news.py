"""Which problems are new: since the last look at the list, and since the last alert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dstack_api_client.clock import seconds_since
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem, Severity

#: Seconds for which a problem that is gone is no news if it comes back.
_FLAPPING = 60.0


class News:
    """Remembers which problems were there.

    What is found until everything was read once is no news: it was there before.

    Attributes:
        unseen: Keys of the problems that came up since somebody looked at the list.
    """

    def __init__(self) -> None:
        self.unseen: frozenset[str] = frozenset()
        self._problems: Sequence[Problem] = ()
        self._there: frozenset[str] = frozenset()
        self._gone: dict[str, datetime] = {}
        self._begun = False

    def look(
        self, problems: Sequence[Problem], snapshot: Snapshot, now: datetime
    ) -> Sequence[Problem]:
        """Compares with what was there before.

        Args:
            problems: What is wrong now.
            snapshot: What it was found in.
            now: The time.

        Returns:
            The critical problems that are new.
        """
        begun = self._begun
        self._begun = begun or (
            snapshot.complete and not any(view.awaited for view in snapshot.routers.values())
        )
        if problems is self._problems:
            return []
        self._problems = problems
        there = frozenset(each.key for each in problems)
        gone = {key: at for key, at in self._gone.items() if seconds_since(at, now) < _FLAPPING}
        known = self._there | gone.keys()
        new = [each for each in problems if each.key not in known] if begun else []
        self.unseen = (self.unseen | {each.key for each in new}) & there
        self._gone = gone | dict.fromkeys(self._there - there, now)
        self._there = there
        return [each for each in new if each.severity is Severity.CRITICAL]

    def looked_at(self) -> None:
        """Somebody has looked at the list."""
        self.unseen = frozenset()
